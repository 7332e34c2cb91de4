//! Where the code comes from.

use clap::Subcommand;
use serde_json::{Value, json};

use super::credentials;
use crate::api::Api;
use crate::arguments::When;
use crate::configuration::{self, at, merge};
use crate::failure::Result;
use crate::target::{Context, Target};

#[derive(Debug, Subcommand)]
pub enum SourceVerb {
    /// The present source
    Show,
    /// A git repository
    Git {
        /// https://host/path.git, ssh://user@host/path or user@host:path
        repository: String,
        /// Branch, tag or commit; default: the repository's default branch
        #[arg(long = "ref", value_name = "REF")]
        reference: Option<String>,
        /// Name of a git token or deploy key
        #[arg(long, value_name = "NAME")]
        credential: Option<String>,
        /// With submodules
        #[arg(long)]
        submodules: bool,
        /// With large files (LFS)
        #[arg(long)]
        lfs: bool,
    },
    /// A finished image
    Image {
        /// NAME:TAG or NAME@sha256:…
        image: String,
        /// Name of a registry's credential
        #[arg(long, value_name = "NAME")]
        credential: Option<String>,
    },
    /// The folder that `deploy` sends
    Upload,
}

pub async fn run(context: &Context, verb: SourceVerb) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let patch = match verb {
        SourceVerb::Show => {
            let configuration = configuration::read(&api, &target).await?;
            let source = at(&configuration, "source").cloned().unwrap_or_default();
            super::settings::list(context, &source);
            if source.is_null() {
                context.output.remark("none yet: `seaway deploy` sends the folder; for a repository: seaway source git URL");
            }
            return Ok(());
        }
        SourceVerb::Git { repository, reference, credential, submodules, lfs } => {
            let credential = credential_of(&api, &target, credential).await?;
            git(&repository, reference, credential, submodules, lfs)
        }
        SourceVerb::Image { image, credential } => image_of(&image, credential_of(&api, &target, credential).await?),
        SourceVerb::Upload => json!({"source": {"type": "archive"}}),
    };
    let patch = with_builder(patch, &configuration::read(&api, &target).await?);
    // The code comes with a deployment, not with a new release of the present image.
    configuration::change(context, &api, &target, patch, &When { draft: true }).await
}

async fn credential_of(api: &Api, target: &Target, name: Option<String>) -> Result<Option<String>> {
    match name {
        Some(name) => credentials::id_of(api, &target.organization, &name).await.map(Some),
        None => Ok(None),
    }
}

/// The change that makes a repository the source, with nothing of the source before: a credential belongs to its repository.
pub fn git(repository: &str, reference: Option<String>, credential: Option<String>, submodules: bool, lfs: bool) -> Value {
    json!({"source": {
        "type": "git", "url": repository, "reference": reference, "credential": credential, "submodules": submodules, "lfs": lfs,
    }})
}

/// The change that makes an image the source.
pub fn image_of(image: &str, credential: Option<String>) -> Value {
    json!({"source": {"type": "image", "reference": image, "credential": credential}})
}

/// Completes a change of the source: an image needs no builder, and what was an image before gets the usual one back.
pub fn with_builder(mut patch: Value, present: &Value) -> Value {
    let kind = |configuration: &Value, name: &str| at(configuration, name).and_then(Value::as_str).map(str::to_owned);
    match (kind(&patch, "source.type").as_deref(), kind(present, "builder.type").as_deref()) {
        (Some("image"), _) => merge(&mut patch, json!({"builder": {"type": "none"}})),
        (Some(_), Some("none")) => merge(&mut patch, json!({"builder": {"type": "dockerfile"}})),
        _ => {}
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_goes_with_the_source() {
        let image = with_builder(image_of("nginx:1.27", None), &json!({"builder": {"type": "dockerfile"}}));
        assert_eq!(image["builder"]["type"], "none");
        let repository = || git("https://x/y.git", None, None, false, false);
        assert_eq!(with_builder(repository(), &json!({"builder": {"type": "none"}}))["builder"]["type"], "dockerfile");
        assert!(with_builder(repository(), &json!({"builder": {"type": "static"}})).get("builder").is_none());
        assert_eq!(repository()["source"]["credential"], Value::Null, "a new repository does not get the credential of the one before");
    }
}
