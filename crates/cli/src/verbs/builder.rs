//! What makes an image of the code.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::arguments::When;
use crate::configuration::{self, at};
use crate::failure::{Failure, Result};
use crate::target::Context;

#[derive(Debug, Subcommand)]
pub enum BuilderVerb {
    /// The present builder
    Show,
    /// A Dockerfile
    Dockerfile {
        #[arg(long, default_value = "Dockerfile")]
        path: String,
        /// Folder that is sent to the build
        #[arg(long, default_value = ".")]
        context: String,
        /// Stage to build
        #[arg(long)]
        target: Option<String>,
        /// Build argument; more than once; it is visible in the image, so never a secret
        #[arg(long = "arg", value_name = "NAME=VALUE")]
        arguments: Vec<String>,
        /// Variable that is mounted as a build secret; more than once
        #[arg(long = "secret", value_name = "NAME")]
        secrets: Vec<String>,
    },
    /// A folder of files, served by Seaway's own web server
    Static {
        #[arg(long, default_value = ".")]
        folder: String,
        /// Unknown paths answer index.html
        #[arg(long)]
        single_page: bool,
    },
    /// None: the source is an image
    None,
}

pub async fn run(context: &Context, verb: BuilderVerb) -> Result<()> {
    let api = context.api()?;
    let service = context.target(&api).await?;
    let builder = match verb {
        BuilderVerb::Show => {
            let configuration = configuration::read(&api, &service).await?;
            let builder = at(&configuration, "builder").cloned().unwrap_or_default();
            super::settings::list(context, &builder);
            return Ok(());
        }
        BuilderVerb::Dockerfile { path, context, target, arguments, secrets } => {
            let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), Value::from(value)));
            let wrong = |text: &str| Failure::usage(format!("{text:?} is not NAME=VALUE"));
            let arguments = arguments.iter().map(|text| pair(text).ok_or_else(|| wrong(text))).collect::<Result<Map<_, _>>>()?;
            json!({"type": "dockerfile", "path": path, "context": context, "target": target, "arguments": arguments, "secrets": secrets})
        }
        BuilderVerb::Static { folder, single_page } => json!({"type": "static", "folder": folder, "single_page": single_page}),
        BuilderVerb::None => json!({"type": "none"}),
    };
    // What is built differently comes with a deployment, not with a new release of the present image.
    let patch = json!({"builder": builder});
    configuration::change(context, &api, &service, patch, &When { draft: true }).await
}
