//! Custom domains.

use reqwest::Method;
use serde_json::{Value, json};

use crate::arguments::DomainsVerb;
use crate::failure::{Failure, Result};
use crate::target::{Context, text};

pub async fn run(context: &Context, verb: DomainsVerb) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let path = format!("/services/{}/domains", target.service);
    let output = context.output;
    match verb {
        DomainsVerb::Ls => {
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
        DomainsVerb::Rm { host } => {
            let domains: Vec<Value> = api.all(&path).await?;
            let found = domains.iter().find(|domain| text(domain, "host") == host || text(domain, "id") == host);
            let id = found.map(|domain| text(domain, "id")).filter(|id| !id.is_empty());
            let id =
                id.ok_or_else(|| Failure::NotFound(format!("the service has no custom domain {host}; list them: seaway domains ls")))?;
            api.act(Method::DELETE, &format!("{path}/{id}"), None).await?;
            output.answer(&json!({"removed": host}), || vec![format!("{host} is removed")]);
        }
    }
    Ok(())
}
