//! Text files that are put into the replicas: kept sealed and versioned like variables, mounted at a path.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::env::{Kind, changed, with_kind};
use crate::api::segment;
use crate::arguments::When;
use crate::configuration::{self, at};
use crate::failure::{Failure, Result};
use crate::input;
use crate::target::{Context, find, text};

#[derive(Debug, Subcommand)]
pub enum FilesVerb {
    /// Names, kinds, and where they are mounted
    Ls,
    /// Save a file, and mount it with --path; a new one is secret unless --plain or --sealed says otherwise
    Set {
        name: String,
        /// The file with the content; `-` reads the input
        file: PathBuf,
        /// Where the replicas see it, e.g. /etc/app/config.toml
        #[arg(long)]
        path: Option<String>,
        #[command(flatten)]
        kind: Kind,
        #[command(flatten)]
        when: When,
    },
    /// Print a file that was set with --plain
    Get { name: String },
    /// Remove a file and its mount
    #[command(visible_alias = "rm")]
    Remove {
        name: String,
        #[command(flatten)]
        when: When,
    },
}

pub async fn run(context: &Context, verb: FilesVerb) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let all = format!("/services/{}/files", target.service);
    let one = |name: &str, draft: bool| format!("{all}/{}?deploy={}", segment(name), !draft);
    match verb {
        FilesVerb::Ls => {
            let mounts = mounts(&configuration::read(&api, &target).await?);
            let files: Vec<Value> = api.all(&all).await?;
            context.output.table(&files, &["NAME", "KIND", "PATH"], |file| {
                let mount = mounts.iter().find(|mount| is_of(mount, text(file, "name")));
                let path = mount.map_or("(not mounted)", |mount| text(mount, "path"));
                vec![text(file, "name").to_owned(), text(file, "kind").to_owned(), path.to_owned()]
            });
        }
        FilesVerb::Set { name, file, path, kind, when } => {
            let body = with_kind(json!({"value": input::read(&file)?}), &kind);
            // With a mount to come the content waits for it, so that one release takes both.
            let answer: Value = api.put(&one(&name, when.draft || path.is_some()), &body).await?;
            let Some(path) = path else {
                changed(context, &answer);
                return Ok(());
            };
            let mut mounts = mounts(&configuration::read(&api, &target).await?);
            mounts.retain(|mount| !is_of(mount, &name));
            mounts.push(json!({"type": "file", "path": path, "file": name}));
            configuration::change(context, &api, &target, json!({"mounts": mounts}), &when).await?;
        }
        FilesVerb::Get { name } => {
            let file = find(&api, &all, "file", &name).await?;
            let value = file.get("value").and_then(Value::as_str).ok_or_else(|| {
                Failure::other(format!("{name} is {}: its content is not shown again; set a new one", text(&file, "kind")))
            })?;
            match context.output.json() {
                true => context.output.document(&file),
                false => context.output.bytes(value.as_bytes()),
            }
        }
        FilesVerb::Remove { name, when } => {
            let mut mounts = mounts(&configuration::read(&api, &target).await?);
            let before = mounts.len();
            mounts.retain(|mount| !is_of(mount, &name));
            if mounts.len() < before {
                let path = format!("/services/{}?deploy=false", target.service);
                let _service: Value = api.patch(&path, &json!({"configuration": {"mounts": mounts}})).await?;
            }
            changed(context, &api.delete(&one(&name, when.draft)).await?);
        }
    }
    Ok(())
}

fn mounts(configuration: &Value) -> Vec<Value> {
    at(configuration, "mounts").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_of(mount: &Value, name: &str) -> bool {
    text(mount, "type") == "file" && text(mount, "file") == name
}
