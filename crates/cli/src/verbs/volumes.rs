//! Data that outlives releases.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::arguments::When;
use crate::configuration::{self, at};
use crate::failure::Result;
use crate::input;
use crate::target::{Context, find, text};

#[derive(Debug, Subcommand)]
pub enum VolumesVerb {
    /// Volumes of the service, and where they are mounted
    Ls,
    /// Make a volume and mount it; the next deployment brings it to the app
    Add {
        name: String,
        /// Where the replicas see it, e.g. /data
        #[arg(long)]
        path: String,
    },
    /// Take a volume out of the replicas; its data stays
    Unmount {
        name: String,
        #[command(flatten)]
        when: When,
    },
    /// Delete a volume with its data; it must be unmounted and no longer in the running release
    #[command(visible_alias = "rm")]
    Remove { name: String },
}

pub async fn run(context: &Context, verb: VolumesVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    let target = context.target(&api).await?;
    let all = format!("/services/{}/volumes", target.service);
    match verb {
        VolumesVerb::Ls => {
            let volumes: Vec<Value> = api.all(&all).await?;
            output.table(&volumes, &["NAME", "PATH", "ID"], |volume| {
                let path = Some(text(volume, "path")).filter(|path| !path.is_empty()).unwrap_or("(not mounted)");
                vec![text(volume, "name").to_owned(), path.to_owned(), text(volume, "id").to_owned()]
            });
        }
        VolumesVerb::Add { name, path } => {
            let volume: Value = api.post(&all, &json!({"name": name, "path": path})).await?;
            output.answer(&volume, || {
                vec![format!("{name} ({}) will be at {path}; bring it to the app: seaway deploy", text(&volume, "id"))]
            });
        }
        VolumesVerb::Unmount { name, when } => {
            let volume = find(&api, &all, "volume", &name).await?;
            let configuration = configuration::read(&api, &target).await?;
            let mut mounts = at(&configuration, "mounts").and_then(Value::as_array).cloned().unwrap_or_default();
            mounts.retain(|mount| text(mount, "volume") != text(&volume, "id"));
            configuration::change(context, &api, &target, json!({"mounts": mounts}), &when).await?;
        }
        VolumesVerb::Remove { name } => {
            let volume = find(&api, &all, "volume", &name).await?;
            output.remark(format!("the volume {name} will be deleted with its data"));
            input::confirm_name(output, context.globals.yes, &name)?;
            api.act(Method::DELETE, &format!("/volumes/{}", text(&volume, "id")), None).await?;
            output.answer(&json!({"removed": name}), || vec![format!("{name} is removed with its data")]);
        }
    }
    Ok(())
}
