//! The instance, for its operator. Its settings are changed by the right of a password, never of a token.

use clap::Subcommand;
use contract::cleanup::Cleanup;
use serde_json::{Value, json};

use crate::api::{Api, Right};
use crate::configuration::{merge, patch_of, value_of};
use crate::failure::{Failure, Result};
use crate::target::Context;
use crate::units::shown_bytes;

use super::settings::list;

const PATH: &str = "/instance";

#[derive(Debug, Subcommand)]
pub enum InstanceVerb {
    /// What anybody may know: name, version, whether sign-up is open
    Show,
    /// The settings; asks for your password
    Get,
    /// Change settings: sign_up=open name=Harbor limits.members_per_organization=50; asks for your password
    Set {
        #[arg(required = true, value_name = "NAME=VALUE")]
        settings: Vec<String>,
    },
    /// Remove what nothing can return to; without --yes only shows what. Asks for your password
    Cleanup,
}

pub async fn run(context: &Context, verb: InstanceVerb) -> Result<()> {
    match verb {
        InstanceVerb::Show => list(context, &Api::new(&context.url()?, Right::Nobody)?.get("/instance/public").await?),
        InstanceVerb::Get => list(context, &context.in_session(async |api| api.get(PATH).await).await?),
        InstanceVerb::Set { settings } => {
            let mut patch = json!({});
            for setting in settings {
                let pair =
                    setting.split_once('=').ok_or_else(|| Failure::usage(format!("{setting:?} is not NAME=VALUE, e.g. sign_up=open")))?;
                merge(&mut patch, patch_of(pair.0, value_of(pair.0, pair.1)?)?);
            }
            let instance = context
                .in_session(async |api| {
                    // The limits are one object: those that are not named keep their values.
                    if let Some(limits) = patch.get("limits").cloned() {
                        let present: Value = api.get(PATH).await?;
                        let mut all = present.get("limits").cloned().unwrap_or_default();
                        merge(&mut all, limits);
                        merge(&mut patch, json!({"limits": all}));
                    }
                    api.patch(PATH, &patch).await
                })
                .await?;
            list(context, &instance);
        }
        InstanceVerb::Cleanup => {
            let path = format!("{PATH}/cleanup");
            let act = context.globals.yes;
            let cleanup: Cleanup =
                context.in_session(async |api| if act { api.post(&path, &json!({})).await } else { api.get(&path).await }).await?;
            context.output.answer(&cleanup, || {
                let word = if act { "removed" } else { "would be removed" };
                let mut lines: Vec<String> = cleanup.removed.iter().map(|name| format!("{word}: {name}")).collect();
                lines.extend(cleanup.repaired.iter().map(|name| format!("repaired: {name}")));
                lines.push(format!("{} {word}, {}", cleanup.removed.len(), shown_bytes(cleanup.bytes_freed)));
                lines
            });
            if !act {
                context.output.remark("nothing was removed; add --yes to do it");
            }
        }
    }
    Ok(())
}
