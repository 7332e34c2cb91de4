//! Invitations into the organization.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::named;
use crate::failure::{Failure, Result};
use crate::target::{Context, project_of, text};

#[derive(Debug, Subcommand)]
pub enum InvitationsVerb {
    /// Those that are open
    Ls,
    /// Invite somebody; the link is mailed and shown once
    Create {
        email: String,
        /// viewer, member or admin; default: the organization's
        #[arg(long)]
        role: Option<String>,
        /// Shows them only this project; more than once
        #[arg(long = "only-project", value_name = "NAME")]
        only_projects: Vec<String>,
    },
    /// Take an invitation back
    Revoke {
        /// E-mail address or id
        invitation: String,
    },
    /// Join the organization that invited you; asks for your password. Without an account: seaway sign-up LINK
    Accept { link: String },
}

pub async fn run(context: &Context, verb: InvitationsVerb) -> Result<()> {
    let output = context.output;
    if let InvitationsVerb::Accept { link } = verb {
        let body = json!({"token": named::token_in(&link)});
        let organization: Value = context.in_session(async |api| api.post("/invitations/accept", &body).await).await?;
        output.answer(&organization, || vec![format!("you are {} of {} now", text(&organization, "role"), text(&organization, "slug"))]);
        return Ok(());
    }
    let api = context.api()?;
    let organization = context.organization(&api).await?;
    let path = format!("/organizations/{organization}/invitations");
    match verb {
        InvitationsVerb::Ls => {
            let all: Vec<Value> = api.all(&path).await?;
            output.table(&all, &["E-MAIL", "ROLE", "ENDS", "ID"], |one| {
                vec![text(one, "email").to_owned(), text(one, "role").to_owned(), named::day(one, "expires_at"), text(one, "id").to_owned()]
            });
        }
        InvitationsVerb::Create { email, role, only_projects } => {
            let mut projects = Vec::new();
            for project in &only_projects {
                projects.push(project_of(&api, &organization, project).await?);
            }
            let projects = Some(projects).filter(|projects| !projects.is_empty());
            let made: Value = api.post(&path, &json!({"email": email, "role": role, "projects": projects})).await?;
            output.answer(&made, || vec![text(&made, "link").to_owned()]);
            output.remark(format!(
                "it works for {email} only; with an account: seaway invitations accept LINK, without: seaway sign-up LINK"
            ));
        }
        InvitationsVerb::Revoke { invitation } => {
            let all: Vec<Value> = api.all(&path).await?;
            let found = all.iter().find(|one| text(one, "id") == invitation || text(one, "email").eq_ignore_ascii_case(&invitation));
            let found = found.ok_or_else(|| {
                Failure::NotFound(format!("there is no open invitation of {invitation}; list them: seaway invitations ls"))
            })?;
            api.act(Method::DELETE, &format!("{path}/{}", text(found, "id")), None).await?;
            output.answer(&json!({"revoked": invitation}), || vec![format!("the invitation of {invitation} is taken back")]);
        }
        InvitationsVerb::Accept { .. } => {}
    }
    Ok(())
}
