//! Custom domains.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::target::{Context, text};

#[derive(Debug, Subcommand)]
pub enum DomainsVerb {
    /// Domains of the service
    Ls {
        /// Those of the whole organization
        #[arg(long)]
        all: bool,
    },
    /// Add a domain of your own
    Add {
        host: String,
        /// Links name this one
        #[arg(long)]
        primary: bool,
    },
    /// Let links name this one
    MakePrimary { host: String },
    /// Remove a domain
    #[command(visible_alias = "rm")]
    Remove { host: String },
}

pub async fn run(context: &Context, verb: DomainsVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    let path = match verb {
        DomainsVerb::Ls { all: true } => format!("/organizations/{}/domains", context.organization(&api).await?),
        _ => format!("/services/{}/domains", context.target(&api).await?.service),
    };
    match verb {
        DomainsVerb::Ls { .. } => {
            let domains: Vec<Value> = api.all(&path).await?;
            let is = |domain: &Value, key: &str| domain.get(key) == Some(&Value::Bool(true));
            output.table(&domains, &["HOST", "", "ADDRESS"], |domain| {
                let note = match (is(domain, "generated"), is(domain, "primary")) {
                    (true, _) => "by Seaway",
                    (_, true) => "primary",
                    _ => "",
                };
                vec![text(domain, "host").to_owned(), note.to_owned(), text(domain, "url").to_owned()]
            });
        }
        DomainsVerb::Add { host, primary } => {
            let domain: Value = api.post(&path, &json!({"host": host, "primary": primary})).await?;
            output.answer(&domain, || {
                vec![format!(
                    "{} is served as soon as its DNS record points at this instance: {}",
                    text(&domain, "host"),
                    text(&domain, "url")
                )]
            });
        }
        DomainsVerb::MakePrimary { host } => {
            let id = id_of(&api, &path, &host).await?;
            let domain: Value = api.post(&format!("{path}/{id}/primary"), &json!({})).await?;
            output.answer(&domain, || vec![format!("links name {host}")]);
        }
        DomainsVerb::Remove { host } => {
            let id = id_of(&api, &path, &host).await?;
            api.act(Method::DELETE, &format!("{path}/{id}"), None).await?;
            output.answer(&json!({"removed": host}), || vec![format!("{host} is removed")]);
        }
    }
    Ok(())
}

async fn id_of(api: &Api, path: &str, host: &str) -> Result<String> {
    let domains: Vec<Value> = api.all(path).await?;
    let found = domains.iter().find(|domain| text(domain, "host") == host || text(domain, "id") == host);
    let id = found.map(|domain| text(domain, "id").to_owned()).filter(|id| !id.is_empty());
    id.ok_or_else(|| Failure::NotFound(format!("the service has no custom domain {host}; list them: seaway domains ls")))
}
