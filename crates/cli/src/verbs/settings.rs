//! Every setting of the service by its dotted name.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::arguments::When;
use crate::configuration::{self, at, flat, merge, patch_of, value_of};
use crate::failure::{Failure, Result};
use crate::target::Context;

#[derive(Debug, Subcommand)]
pub enum SettingsVerb {
    /// All settings, or the one that is named
    #[command(visible_alias = "ls")]
    Get { name: Option<String> },
    /// Change settings: port=8080 drain_seconds=1m engine.user=app release_command='["./migrate"]'
    Set {
        #[arg(required = true, value_name = "NAME=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        when: When,
    },
    /// Give settings their default back
    Unset {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        when: When,
    },
}

pub async fn run(context: &Context, verb: SettingsVerb) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let (patch, when) = match verb {
        SettingsVerb::Get { name } => {
            let configuration = configuration::read(&api, &target).await?;
            let Some(name) = name else {
                list(context, &configuration);
                return Ok(());
            };
            let value = at(&configuration, &name)
                .ok_or_else(|| Failure::NotFound(format!("there is no setting {name}; list them: seaway settings get")))?;
            context.output.answer(value, || vec![shown(value)]);
            return Ok(());
        }
        SettingsVerb::Set { settings, when } => {
            let mut patch = json!({});
            for setting in settings {
                let pair =
                    setting.split_once('=').ok_or_else(|| Failure::usage(format!("{setting:?} is not NAME=VALUE, e.g. port=8080")))?;
                merge(&mut patch, patch_of(pair.0, value_of(pair.0, pair.1)?)?);
            }
            (patch, when)
        }
        SettingsVerb::Unset { names, when } => {
            let mut patch = json!({});
            for name in names {
                merge(&mut patch, patch_of(&name, Value::Null)?);
            }
            (patch, when)
        }
    };
    configuration::change(context, &api, &target, patch, &when).await
}

/// Every value with its dotted name.
pub fn list(context: &Context, document: &Value) {
    let flat = flat(document);
    let pairs: Vec<(&str, String)> = flat.iter().map(|(name, value)| (name.as_str(), shown(value))).collect();
    context.output.record(document, &pairs);
}

/// A text as it is, everything else as JSON; nothing is `-`.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
