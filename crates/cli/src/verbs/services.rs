//! Services of the environment.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{deletion, named};
use crate::api::Api;
use crate::arguments::Volumes;
use crate::failure::Result;
use crate::target::{Context, environment_of, find, project_of, text};

#[derive(Debug, Subcommand)]
pub enum ServicesVerb {
    /// Services of the environment
    Ls {
        /// Those of the whole organization
        #[arg(long)]
        all: bool,
    },
    /// Make a service
    Create {
        name: String,
        /// Port that the app listens on
        #[arg(long)]
        port: Option<u16>,
    },
    /// Change a service's name
    Rename {
        service: String,
        new_name: String,
        /// Also change the name in addresses
        #[arg(long)]
        slug: Option<String>,
    },
    /// Make a copy: settings and variables, never data or domains
    Duplicate {
        service: String,
        name: String,
        /// Environment of the copy; default: the service's own
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// Leave variables and files out
        #[arg(long)]
        without_variables: bool,
    },
    /// Move a service to another environment; the next deployment brings it there
    Move {
        service: String,
        /// Environment, or PROJECT/ENVIRONMENT
        to: String,
    },
    /// Delete a service; shows what goes with it first
    #[command(visible_alias = "rm")]
    Delete {
        /// Default: the one that -a names or this folder is linked to
        service: Option<String>,
        #[command(flatten)]
        volumes: Volumes,
    },
}

pub async fn run(context: &Context, verb: ServicesVerb) -> Result<()> {
    let api = context.api()?;
    let found =
        async |name: &str| find(&api, &format!("/environments/{}/services", context.environment(&api).await?), "service", name).await;
    let path = |service: &Value| format!("/services/{}", text(service, "id"));
    match verb {
        ServicesVerb::Ls { all } => {
            let list = match all {
                true => format!("/organizations/{}/services", context.organization(&api).await?),
                false => format!("/environments/{}/services", context.environment(&api).await?),
            };
            let services: Vec<Value> = api.all(&list).await?;
            named::list(context, &services, "url");
        }
        ServicesVerb::Create { name, port } => {
            let environment = context.environment(&api).await?;
            let configuration = port.map_or_else(|| json!({}), |port| json!({"port": port}));
            let body = json!({"name": name, "configuration": configuration});
            named::one(context, &api.post(&format!("/environments/{environment}/services"), &body).await?);
        }
        ServicesVerb::Rename { service, new_name, slug } => {
            let mut body = json!({"name": new_name});
            if let Some(slug) = slug {
                crate::configuration::merge(&mut body, json!({"slug": slug}));
            }
            named::one(context, &api.patch(&path(&found(&service).await?), &body).await?);
        }
        ServicesVerb::Duplicate { service, name, to, without_variables } => {
            let service = found(&service).await?;
            let environment = match to {
                Some(to) => Some(environment_named(context, &api, &to).await?),
                None => None,
            };
            let body = json!({"name": name, "environment": environment, "variables": !without_variables});
            named::one(context, &api.post(&format!("{}/duplicate", path(&service)), &body).await?);
        }
        ServicesVerb::Move { service, to } => {
            let service = found(&service).await?;
            let body = json!({"environment": environment_named(context, &api, &to).await?});
            let moved: Value = api.post(&format!("{}/move", path(&service)), &body).await?;
            context.output.answer(&moved, || vec![format!("{} moves with its next deployment: seaway deploy", named::called(&moved))]);
        }
        ServicesVerb::Delete { service, volumes } => {
            let service = match service {
                Some(service) => found(&service).await?,
                None => api.get(&format!("/services/{}", context.target(&api).await?.service)).await?,
            };
            deletion::delete(context, &api, "service", named::called(&service), &path(&service), volumes.volumes).await?;
        }
    }
    Ok(())
}

/// `staging`, or `shop/staging`.
async fn environment_named(context: &Context, api: &Api, name: &str) -> Result<String> {
    let project = match name.split_once('/') {
        Some((project, _)) => project_of(api, &context.organization(api).await?, project).await?,
        None => context.project(api).await?,
    };
    environment_of(api, &project, name.rsplit('/').next()).await
}
