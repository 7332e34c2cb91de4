//! Environments of the project.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{deletion, named};
use crate::arguments::Volumes;
use crate::failure::Result;
use crate::target::{Context, find, text};

#[derive(Debug, Subcommand)]
pub enum EnvironmentsVerb {
    /// Environments of the project
    Ls,
    /// Make an empty environment
    Create {
        name: String,
        /// production, staging or preview; default: staging
        #[arg(long)]
        kind: Option<String>,
    },
    /// Change an environment's name
    Rename {
        environment: String,
        new_name: String,
        /// Also change the name in addresses
        #[arg(long)]
        slug: Option<String>,
    },
    /// Make a copy: services with their settings and variables, never data or domains
    Duplicate {
        environment: String,
        name: String,
        /// Leave variables and files out
        #[arg(long)]
        without_variables: bool,
    },
    /// Delete an environment with everything in it; shows what first
    #[command(visible_alias = "rm")]
    Delete {
        environment: String,
        #[command(flatten)]
        volumes: Volumes,
    },
}

pub async fn run(context: &Context, verb: EnvironmentsVerb) -> Result<()> {
    let api = context.api()?;
    let all = format!("/projects/{}/environments", context.project(&api).await?);
    let found = async |name: &str| find(&api, &all, "environment", name).await;
    let path = |environment: &Value| format!("/environments/{}", text(environment, "id"));
    match verb {
        EnvironmentsVerb::Ls => {
            let environments: Vec<Value> = api.all(&all).await?;
            named::list(context, &environments, "kind");
        }
        EnvironmentsVerb::Create { name, kind } => named::one(context, &api.post(&all, &json!({"name": name, "kind": kind})).await?),
        EnvironmentsVerb::Rename { environment, new_name, slug } => {
            let mut body = json!({"name": new_name});
            if let Some(slug) = slug {
                crate::configuration::merge(&mut body, json!({"slug": slug}));
            }
            named::one(context, &api.patch(&path(&found(&environment).await?), &body).await?);
        }
        EnvironmentsVerb::Duplicate { environment, name, without_variables } => {
            let body = json!({"name": name, "variables": !without_variables});
            named::one(context, &api.post(&format!("{}/duplicate", path(&found(&environment).await?)), &body).await?);
        }
        EnvironmentsVerb::Delete { environment, volumes } => {
            let environment = found(&environment).await?;
            deletion::delete(context, &api, "environment", named::called(&environment), &path(&environment), volumes.volumes).await?;
        }
    }
    Ok(())
}
