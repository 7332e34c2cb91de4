//! Finding things, and the organization at a glance.

use clap::Args;
use contract::overview::Overview as Document;
use domain::{Clock, SystemClock};
use serde_json::Value;

use super::deployments;
use crate::api::segment;
use crate::failure::Result;
use crate::target::{Context, text};

/// Find projects, environments and services by a part of their name
#[derive(Debug, Args)]
pub struct Search {
    text: String,
}

/// The organization at a glance: counts, what is being deployed, what was
#[derive(Debug, Args)]
pub struct Overview {}

pub async fn search(context: &Context, wanted: Search) -> Result<()> {
    let found: Vec<Value> = context.api()?.all(&format!("/search?q={}", segment(&wanted.text))).await?;
    context.output.table(&found, &["KIND", "NAME", "ID"], |item| {
        vec![text(item, "kind").to_owned(), text(item, "slug").to_owned(), text(item, "id").to_owned()]
    });
    Ok(())
}

pub async fn overview(context: &Context) -> Result<()> {
    let api = context.api()?;
    let organization = context.organization(&api).await?;
    let overview: Document = api.get(&format!("/organizations/{organization}/overview")).await?;
    context.output.answer(&overview, || {
        let counts = [
            (overview.projects, "projects"),
            (overview.environments, "environments"),
            (overview.services, "services"),
            (overview.domains, "domains"),
            (overview.credentials, "credentials"),
        ];
        let mut lines = vec![counts.map(|(count, what)| format!("{count} {what}")).join(", ")];
        let now = SystemClock.now();
        for (what, all) in [("now", &overview.open_deployments), ("lately", &overview.recent_deployments)] {
            lines.extend(all.iter().map(|one| format!("{what}: {}", deployments::row(one, now).join("  "))));
        }
        lines
    });
    Ok(())
}
