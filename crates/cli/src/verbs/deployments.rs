//! Deployments of the service, or of the whole organization.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use contract::deployments::{Deployment, QueueCleared};
use domain::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};

use super::deploy::summary;
use crate::api::segment;
use crate::failure::Result;
use crate::input;
use crate::target::Context;
use crate::time::ago;

#[derive(Debug, Subcommand)]
pub enum DeploymentsVerb {
    /// Newest first
    Ls {
        /// Those of the whole organization
        #[arg(long)]
        all: bool,
        /// Only those that run or wait; with --all
        #[arg(long, requires = "all")]
        open: bool,
        #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
        limit: u32,
    },
    /// How one went: steps, times, cause
    Show { deployment: String },
    /// End one that runs or waits
    Cancel { deployment: String },
    /// End all that wait
    ClearQueue,
    /// Delete one from the history, with its log
    #[command(visible_alias = "rm")]
    Delete { deployment: String },
}

pub async fn run(context: &Context, verb: DeploymentsVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    match verb {
        DeploymentsVerb::Ls { all, open, limit } => {
            let limit = limit.clamp(1, contract::page::LIMIT_MAX);
            let path = match all {
                true => format!("/organizations/{}/deployments?limit={limit}&open={open}", context.organization(&api).await?),
                false => format!("/services/{}/deployments?limit={limit}", context.target(&api).await?.service),
            };
            let page: contract::Page<Deployment> = api.get(&path).await?;
            let now = SystemClock.now();
            output.table(&page.data, &["DEPLOYMENT", "STATE", "RELEASE", "WHEN", "WHAT"], |deployment| row(deployment, now));
        }
        DeploymentsVerb::Show { deployment } => {
            let deployment: Deployment = api.get(&format!("/deployments/{}", segment(&deployment))).await?;
            output.answer(&deployment, || {
                let mut lines = vec![row(&deployment, SystemClock.now()).join("  ")];
                lines.extend(deployment.steps.iter().map(|step| {
                    let took = step
                        .finished_at
                        .map_or_else(|| "runs".to_owned(), |end| format!("{} ms", (end - step.started_at).num_milliseconds()));
                    format!("  {}: {took}", word(&step.step))
                }));
                if deployment.phase.is_end() {
                    lines.extend(summary(&deployment));
                }
                lines
            });
        }
        DeploymentsVerb::Cancel { deployment } => {
            let answer: Value = api.post(&format!("/deployments/{}/cancel", segment(&deployment)), &json!({})).await?;
            output.answer(&answer, || vec![format!("{deployment} is being canceled")]);
        }
        DeploymentsVerb::ClearQueue => {
            let target = context.target(&api).await?;
            let cleared: QueueCleared = api.post(&format!("/services/{}/queue/clear", target.service), &json!({})).await?;
            output.answer(&cleared, || vec![format!("{} deployments no longer wait", cleared.canceled.len())]);
        }
        DeploymentsVerb::Delete { deployment } => {
            input::confirm(output, context.globals.yes, &format!("{deployment} and its log will be deleted."))?;
            api.act(Method::DELETE, &format!("/deployments/{}", segment(&deployment)), None).await?;
            output.answer(&json!({"deleted": deployment}), || vec![format!("{deployment} is deleted")]);
        }
    }
    Ok(())
}

/// The word that JSON has for it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// One line about a deployment.
pub fn row(deployment: &Deployment, now: DateTime<Utc>) -> Vec<String> {
    let version = deployment.version.map_or_else(String::new, |version| format!("v{version}"));
    let what = deployment.title.clone().or(deployment.reference.clone()).unwrap_or_else(|| deployment.work.clone());
    vec![deployment.id.to_string(), word(&deployment.phase), version, ago(deployment.created_at, now), what]
}
