//! Logs of the service, or of a deployment.

use clap::Args;
use contract::logs::LogPage;
use domain::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::api::{Api, segment};
use crate::failure::{Failure, Result};
use crate::follow::{Event, follow};
use crate::target::{Context, text};
use crate::time;

/// Lines of the app that are shown when nothing else is said.
const TAIL_DEFAULT: u32 = 100;
const TAIL_MAX: u32 = 10_000;

/// Lines of the app, or of a build
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on with new lines
    #[arg(short = 'f', long)]
    follow: bool,
    /// The log of the newest deployment
    #[arg(long)]
    build: bool,
    /// The log of this deployment
    #[arg(long, value_name = "ID", conflicts_with = "build")]
    deployment: Option<String>,
    /// Lines from then on: 10m, 2h, 3d, or a time such as 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The last lines
    #[arg(short = 'n', long, value_name = "COUNT")]
    tail: Option<u32>,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

pub async fn run(context: &Context, arguments: Logs) -> Result<()> {
    let api = context.api()?;
    let (path, whole) = path_of(context, &api, &arguments).await?;
    let now = SystemClock.now();
    let mut query = Vec::new();
    for (name, value) in [("since", &arguments.since), ("until", &arguments.until)] {
        if let Some(value) = value {
            query.push(format!("{name}={}", segment(&time::parse(value, now)?.to_rfc3339())));
        }
    }
    if let Some(filter) = &arguments.filter {
        query.push(format!("contains={}", segment(filter)));
    }
    let tail = arguments.tail.or((!whole && arguments.since.is_none()).then_some(TAIL_DEFAULT));
    if let Some(tail) = tail {
        query.push(format!("tail={}", tail.min(TAIL_MAX)));
    }
    let output = context.output;
    if arguments.follow {
        query.push("follow=true".to_owned());
        return follow(&api, &format!("{path}?{}", query.join("&")), |event| match event {
            Event::Line(line) => output.log_line(&line),
            Event::Gap { dropped } if output.json() => output.document(&json!({"event": "gap", "data": {"dropped": dropped}})),
            Event::Gap { dropped } => output.remark(format!("[{dropped} lines were dropped: the log is too fast]")),
            Event::End { status } if output.json() => output.document(&json!({"event": "end", "data": {"status": status}})),
            Event::End { .. } => {}
        })
        .await;
    }
    let mut after = None;
    loop {
        let position = after.map(|after: u64| format!("after={after}"));
        let all: Vec<String> = query.iter().cloned().chain(position).collect();
        let page: LogPage = api.get(&format!("{path}?{}", all.join("&"))).await?;
        page.data.iter().for_each(|line| output.log_line(line));
        match page.next_after {
            Some(next) if tail.is_none() && !page.data.is_empty() && Some(next) != after => after = Some(next),
            _ => return Ok(()),
        }
    }
}

/// Which log, and whether all of it is wanted.
async fn path_of(context: &Context, api: &Api, arguments: &Logs) -> Result<(String, bool)> {
    if let Some(deployment) = &arguments.deployment {
        return Ok((format!("/deployments/{}/logs", segment(deployment)), true));
    }
    let target = context.target(api).await?;
    if !arguments.build {
        return Ok((format!("/services/{}/logs", target.service), false));
    }
    let page: Value = api.get(&format!("/services/{}/deployments?limit=1", target.service)).await?;
    match page.pointer("/data/0") {
        Some(deployment) => Ok((format!("/deployments/{}/logs", text(deployment, "id")), true)),
        None => Err(Failure::NotFound("there is no deployment yet; make one: seaway deploy".to_owned())),
    }
}
