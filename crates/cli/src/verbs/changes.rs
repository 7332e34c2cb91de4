//! Changes that wait for the next deployment.

use clap::{Args, Subcommand};
use contract::services::StagedChanges;
use serde_json::{Value, json};

use super::settings::shown;
use crate::failure::Result;
use crate::input;
use crate::target::Context;

/// What differs from the release that serves
#[derive(Debug, Args)]
pub struct Changes {
    #[command(subcommand)]
    verb: Option<ChangesVerb>,
}

#[derive(Debug, Subcommand)]
pub enum ChangesVerb {
    /// Go back to the settings of the release that serves
    Discard,
}

pub async fn run(context: &Context, wanted: Changes) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let path = format!("/services/{}/changes", target.service);
    match wanted.verb {
        None => {
            let staged: StagedChanges = api.get(&path).await?;
            context.output.answer(&staged, || {
                let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), shown);
                let line = |change: &contract::services::StagedChange| match change.kind.as_str() {
                    "configuration" => format!("{}: {} -> {}", change.name, value(&change.before), value(&change.after)),
                    kind => format!("{kind} {}: {}", change.name, change.change),
                };
                match staged.changes.is_empty() {
                    true => vec!["nothing waits for a deployment".to_owned()],
                    false => staged.changes.iter().map(line).collect(),
                }
            });
        }
        Some(ChangesVerb::Discard) => {
            input::confirm(context.output, context.globals.yes, "The waiting changes of the configuration will be lost.")?;
            let service: Value = api.post(&format!("{path}/discard"), &json!({})).await?;
            context.output.answer(&service, || vec!["the settings are those of the release that serves".to_owned()]);
        }
    }
    Ok(())
}
