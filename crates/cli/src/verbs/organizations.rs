//! Organizations.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::named;
use crate::failure::{Failure, Result};
use crate::input;
use crate::target::{Context, find, text};

const PATH: &str = "/organizations";

#[derive(Debug, Subcommand)]
pub enum OrgsVerb {
    /// Yours, with your role
    Ls,
    /// Make an organization; you own it
    Create { name: String },
    /// Choose the one that verbs are about
    Switch { name: String },
    /// Change its name
    Rename {
        name: String,
        new_name: String,
        /// Also change the name in addresses
        #[arg(long)]
        slug: Option<String>,
    },
    /// Leave it
    Leave { name: String },
    /// Offer the ownership to a member
    Transfer {
        name: String,
        /// E-mail address or id of the member
        member: String,
    },
    /// Accept the ownership that was offered to you
    AcceptTransfer { name: String },
    /// Delete an organization without projects
    #[command(visible_alias = "rm")]
    Delete { name: String },
}

pub async fn run(mut context: Context, verb: OrgsVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    let found = async |name: &str| find(&api, PATH, "organization", name).await;
    let path = |organization: &Value| format!("{PATH}/{}", text(organization, "id"));
    match verb {
        OrgsVerb::Ls => {
            let all: Vec<Value> = api.all(PATH).await?;
            named::list(&context, &all, "role");
        }
        OrgsVerb::Create { name } => named::one(&context, &api.post(PATH, &json!({"name": name})).await?),
        OrgsVerb::Switch { name } => {
            let organization = found(&name).await?;
            let url = api.url().to_owned();
            let instance = context.settings.instances.get_mut(&url).ok_or_else(|| {
                Failure::other("with SEAWAY_TOKEN nothing is kept on this machine; set SEAWAY_ORGANIZATION, or sign in: seaway login")
            })?;
            instance.organization = Some(text(&organization, "id").to_owned());
            context.settings.write(&context.settings_path)?;
            output.answer(&organization, || {
                vec![format!("verbs are about {} now, unless a link or --organization says otherwise", text(&organization, "slug"))]
            });
        }
        OrgsVerb::Rename { name, new_name, slug } => {
            let organization = found(&name).await?;
            let mut body = json!({"name": new_name});
            if let Some(slug) = slug {
                crate::configuration::merge(&mut body, json!({"slug": slug}));
            }
            named::one(&context, &api.patch(&path(&organization), &body).await?);
        }
        OrgsVerb::Leave { name } => {
            let organization = found(&name).await?;
            input::confirm_name(output, context.globals.yes, &name)?;
            let leave = format!("{}/leave", path(&organization));
            context.in_session(async |api| api.act(Method::POST, &leave, Some(&json!({}))).await).await?;
            output.answer(&json!({"left": name}), || vec![format!("you left {name}")]);
        }
        OrgsVerb::Transfer { name, member } => {
            let organization = found(&name).await?;
            let member = super::members::find_member(&api, text(&organization, "id"), &member).await?;
            let transfer = format!("{}/transfer", path(&organization));
            let body = json!({"user": text(&member, "user")});
            let notice: Value = context.in_session(async |api| api.post(&transfer, &body).await).await?;
            output.answer(&notice, || vec![text(&notice, "detail").to_owned()]);
        }
        OrgsVerb::AcceptTransfer { name } => {
            let organization = found(&name).await?;
            let accept = format!("{}/transfer/accept", path(&organization));
            context.in_session(async |api| api.act(Method::POST, &accept, Some(&json!({}))).await).await?;
            output.answer(&json!({"owner_of": name}), || vec![format!("you own {name}")]);
        }
        OrgsVerb::Delete { name } => {
            let organization = found(&name).await?;
            input::confirm_name(output, context.globals.yes, &name)?;
            api.act(Method::DELETE, &path(&organization), None).await?;
            output.answer(&json!({"deleted": name}), || vec![format!("{name} is deleted")]);
        }
    }
    Ok(())
}
