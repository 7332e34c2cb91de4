//! Members of the organization.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::named;
use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::input;
use crate::target::{Context, project_of, text};

#[derive(Debug, Subcommand)]
pub enum MembersVerb {
    /// Who is in the organization, with which role
    Ls,
    /// Change a member's role
    SetRole {
        /// E-mail address or id
        member: String,
        /// viewer, member or admin
        role: String,
    },
    /// Change what a member may do beside the role
    SetRights {
        /// E-mail address or id
        member: String,
        /// Allow this right, e.g. projects:delete; more than once
        #[arg(long, value_name = "RIGHT")]
        allow: Vec<String>,
        /// Take this right away; more than once
        #[arg(long, value_name = "RIGHT")]
        deny: Vec<String>,
        /// See only this project; more than once
        #[arg(long = "only-project", value_name = "NAME", conflicts_with = "all_projects")]
        only_projects: Vec<String>,
        /// See all projects
        #[arg(long)]
        all_projects: bool,
    },
    /// Remove a member
    #[command(visible_alias = "rm")]
    Remove { member: String },
}

pub async fn run(context: &Context, verb: MembersVerb) -> Result<()> {
    let api = context.api()?;
    let organization = context.organization(&api).await?;
    let path = |member: &Value| format!("/organizations/{organization}/members/{}", text(member, "user"));
    match verb {
        MembersVerb::Ls => {
            let members: Vec<Value> = api.all(&format!("/organizations/{organization}/members")).await?;
            context.output.table(&members, &["E-MAIL", "NAME", "ROLE", "SINCE", "ID"], |member| {
                let at = |key: &str| text(member, key).to_owned();
                vec![at("email"), at("name"), at("role"), named::day(member, "joined_at"), at("user")]
            });
        }
        MembersVerb::SetRole { member, role } => {
            let found = find_member(&api, &organization, &member).await?;
            shown(context, &api.patch(&path(&found), &json!({"role": role})).await?);
        }
        MembersVerb::SetRights { member, allow, deny, only_projects, all_projects } => {
            let found = find_member(&api, &organization, &member).await?;
            let mut switches = found.get("switches").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
            switches.extend(allow.into_iter().map(|right| (right, Value::Bool(true))));
            switches.extend(deny.into_iter().map(|right| (right, Value::Bool(false))));
            let mut body = json!({"switches": switches});
            if all_projects || !only_projects.is_empty() {
                let mut ids = Vec::new();
                for project in &only_projects {
                    ids.push(project_of(&api, &organization, project).await?);
                }
                let projects = if all_projects { Value::Null } else { json!(ids) };
                if let Some(body) = body.as_object_mut() {
                    body.insert("projects".to_owned(), projects);
                }
            }
            shown(context, &api.patch(&path(&found), &body).await?);
        }
        MembersVerb::Remove { member } => {
            let found = find_member(&api, &organization, &member).await?;
            input::confirm_name(context.output, context.globals.yes, text(&found, "email"))?;
            api.act(Method::DELETE, &path(&found), None).await?;
            context.output.answer(&json!({"removed": member}), || vec![format!("{member} is no longer a member")]);
        }
    }
    Ok(())
}

fn shown(context: &Context, member: &Value) {
    context.output.answer(member, || vec![format!("{}: {}", text(member, "email"), text(member, "role"))]);
}

/// By e-mail address or id.
pub async fn find_member(api: &Api, organization: &str, name: &str) -> Result<Value> {
    let members: Vec<Value> = api.all(&format!("/organizations/{organization}/members")).await?;
    let is = |member: &Value| text(member, "user") == name || text(member, "email").eq_ignore_ascii_case(name);
    let found = members.iter().find(|member| is(member)).cloned();
    found.ok_or_else(|| Failure::NotFound(format!("{name} is no member; list them: seaway members ls")))
}
