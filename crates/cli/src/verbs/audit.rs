//! What was done in the organization.

use clap::Subcommand;
use domain::{Clock, SystemClock};
use serde_json::Value;

use crate::api::segment;
use crate::failure::Result;
use crate::target::{Context, text};
use crate::time;

#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Who did what, newest first
    Ls {
        /// Id of a person or token
        #[arg(long, value_name = "ID")]
        actor: Option<String>,
        /// E.g. service.updated
        #[arg(long, value_name = "NAME")]
        action: Option<String>,
        /// Id of what it was done to
        #[arg(long, value_name = "ID")]
        resource: Option<String>,
        /// From then on: 2h, 3d, or a time such as 2026-11-01T12:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[arg(short = 'n', long, default_value_t = 50, value_name = "COUNT")]
        limit: u32,
    },
}

pub async fn run(context: &Context, verb: AuditVerb) -> Result<()> {
    let AuditVerb::Ls { actor, action, resource, since, until, limit } = verb;
    let api = context.api()?;
    let organization = context.organization(&api).await?;
    let now = SystemClock.now();
    let moment = |text: Option<String>| text.map(|text| time::parse(&text, now).map(|time| time.to_rfc3339())).transpose();
    let filters = [("actor", actor), ("action", action), ("resource", resource), ("from", moment(since)?), ("to", moment(until)?)];
    let mut query = format!("limit={}", limit.clamp(1, contract::page::LIMIT_MAX));
    for (name, value) in filters {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(&value)));
        }
    }
    let page: contract::Page<Value> = api.get(&format!("/organizations/{organization}/audit-events?{query}")).await?;
    context.output.table(&page.data, &["WHEN", "WHO", "WHAT", "ON"], |event| {
        let at = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let who = Some(at("/actor/id")).filter(|id| !id.is_empty()).unwrap_or_else(|| at("/actor/kind"));
        let on = Some(at("/resource/name")).filter(|name| !name.is_empty()).unwrap_or_else(|| at("/resource/id"));
        vec![text(event, "at").to_owned(), who, text(event, "action").to_owned(), on]
    });
    Ok(())
}
