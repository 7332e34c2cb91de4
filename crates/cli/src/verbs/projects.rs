//! Projects.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{deletion, named};
use crate::arguments::Volumes;
use crate::failure::Result;
use crate::target::{Context, find, text};

#[derive(Debug, Subcommand)]
pub enum ProjectsVerb {
    /// Projects of the organization
    Ls {
        /// Only those with this tag
        #[arg(long, value_name = "NAME")]
        tag: Option<String>,
    },
    /// Make a project with its production environment
    Create {
        name: String,
        #[arg(long)]
        description: Option<String>,
    },
    /// Change a project's name
    Rename {
        project: String,
        new_name: String,
        /// Also change the name in addresses
        #[arg(long)]
        slug: Option<String>,
    },
    /// Make a copy: settings and variables, never data or domains
    Duplicate {
        project: String,
        name: String,
        /// Leave variables and files out
        #[arg(long)]
        without_variables: bool,
    },
    /// Delete a project with everything in it; shows what first
    #[command(visible_alias = "rm")]
    Delete {
        project: String,
        #[command(flatten)]
        volumes: Volumes,
    },
}

pub async fn run(context: &Context, verb: ProjectsVerb) -> Result<()> {
    let api = context.api()?;
    let organization = context.organization(&api).await?;
    let all = format!("/organizations/{organization}/projects");
    let found = async |name: &str| find(&api, &all, "project", name).await;
    match verb {
        ProjectsVerb::Ls { tag } => {
            let filter = match tag {
                Some(tag) => {
                    let tag = find(&api, &format!("/organizations/{organization}/tags"), "tag", &tag).await?;
                    format!("?tag={}", text(&tag, "id"))
                }
                None => String::new(),
            };
            let projects: Vec<Value> = api.all(&format!("{all}{filter}")).await?;
            named::list(context, &projects, "description");
        }
        ProjectsVerb::Create { name, description } => {
            named::one(context, &api.post(&all, &json!({"name": name, "description": description.unwrap_or_default()})).await?);
        }
        ProjectsVerb::Rename { project, new_name, slug } => {
            let project = found(&project).await?;
            let mut body = json!({"name": new_name});
            if let Some(slug) = slug {
                crate::configuration::merge(&mut body, json!({"slug": slug}));
            }
            named::one(context, &api.patch(&format!("/projects/{}", text(&project, "id")), &body).await?);
        }
        ProjectsVerb::Duplicate { project, name, without_variables } => {
            let project = found(&project).await?;
            let body = json!({"name": name, "variables": !without_variables});
            named::one(context, &api.post(&format!("/projects/{}/duplicate", text(&project, "id")), &body).await?);
        }
        ProjectsVerb::Delete { project, volumes } => {
            let project = found(&project).await?;
            let path = format!("/projects/{}", text(&project, "id"));
            deletion::delete(context, &api, "project", named::called(&project), &path, volumes.volumes).await?;
        }
    }
    Ok(())
}
