//! The service as a whole: state, replicas, switching.

use std::process::ExitCode;

use clap::Args;
use contract::deployments::Deployment;
use contract::replicas::ServiceStatus;
use domain::{Clock, SystemClock};
use serde_json::{Map, Value, json};

use super::deploy::watch;
use crate::failure::{Failure, Result};
use crate::target::{Context, text};
use crate::time::ago;

/// The service: state, address, replicas
#[derive(Debug, Args)]
pub struct Status {}

/// The replicas
#[derive(Debug, Args)]
pub struct Ps {}

/// Open the app in the browser
#[derive(Debug, Args)]
pub struct Open {
    /// Only print the address
    #[arg(long)]
    print: bool,
}

/// Set the number of replicas: web=2 worker=1
#[derive(Debug, Args)]
pub struct Scale {
    #[arg(required = true, value_name = "PROCESS=COUNT")]
    processes: Vec<String>,
    /// Do not wait for the end
    #[arg(short = 'd', long)]
    detach: bool,
}

/// Start every replica anew, without a gap
#[derive(Debug, Args)]
pub struct Restart {
    /// Do not wait for the end
    #[arg(short = 'd', long)]
    detach: bool,
}

/// Stop the service; its address says so
#[derive(Debug, Args)]
pub struct Stop {}

/// Start a stopped service
#[derive(Debug, Args)]
pub struct Start {
    /// Do not wait for the end
    #[arg(short = 'd', long)]
    detach: bool,
}

pub async fn status(context: &Context) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let status: ServiceStatus = api.get(&format!("/services/{}/status", target.service)).await?;
    context.output.answer(&json!({"service": target.service, "name": target.name, "status": status}), || {
        let word = serde_json::to_value(status.state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        let version = status.version.map_or_else(String::new, |version| format!(" v{version}"));
        let mut lines = vec![format!("{}{version}: {word}", target.name)];
        lines.extend(Some(&status.reason).filter(|reason| !reason.is_empty()).map(|reason| format!("  {reason}")));
        lines.extend(status.url.as_ref().map(|url| format!("  {url}")));
        lines.extend(status.replicas.iter().map(|replica| format!("  {}: {}", replica.name, replica.state)));
        lines
    });
    Ok(())
}

pub async fn replicas(context: &Context) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let status: ServiceStatus = api.get(&format!("/services/{}/status", target.service)).await?;
    let now = SystemClock.now();
    context.output.table(&status.replicas, &["REPLICA", "STATE", "RELEASE", "STARTED", "RESTARTS", ""], |replica| {
        let started = replica.started_at.map_or_else(String::new, |time| ago(time, now));
        let note = match (replica.out_of_memory, replica.exit_code) {
            (true, _) => "out of memory".to_owned(),
            (false, Some(code)) => format!("exit {code}"),
            _ => String::new(),
        };
        vec![replica.name.clone(), replica.state.clone(), format!("v{}", replica.version), started, replica.restarts.to_string(), note]
    });
    Ok(())
}

pub async fn scale(context: &Context, wanted: Scale) -> Result<ExitCode> {
    let mut counts = Map::new();
    for text in &wanted.processes {
        let parsed = text.split_once('=').and_then(|(name, count)| Some((name, count.parse::<u32>().ok()?)));
        let (name, count) = parsed.ok_or_else(|| Failure::usage(format!("{text:?} is not PROCESS=COUNT, e.g. web=2")))?;
        counts.insert(name.to_owned(), count.into());
    }
    let api = context.api()?;
    let target = context.target(&api).await?;
    let answer: Value = api.post(&format!("/services/{}/scale", target.service), &json!({"processes": counts})).await?;
    finish(context, &api, answer, wanted.detach).await
}

pub async fn restart(context: &Context, wanted: Restart) -> Result<ExitCode> {
    let api = context.api()?;
    let answer = switch(context, &api, "restart").await?;
    finish(context, &api, answer, wanted.detach).await
}

pub async fn start(context: &Context, wanted: Start) -> Result<ExitCode> {
    let api = context.api()?;
    let answer = switch(context, &api, "start").await?;
    finish(context, &api, answer, wanted.detach).await
}

pub async fn stop(context: &Context) -> Result<()> {
    let answer = switch(context, &context.api()?, "stop").await?;
    context.output.answer(&answer, || vec!["the service stops; start it again: seaway start".to_owned()]);
    Ok(())
}

async fn switch(context: &Context, api: &crate::api::Api, verb: &str) -> Result<Value> {
    let target = context.target(api).await?;
    api.post(&format!("/services/{}/{verb}", target.service), &json!({})).await
}

/// Some changes need no deployment (nothing runs yet, nothing changed): then there is nothing to follow.
async fn finish(context: &Context, api: &crate::api::Api, answer: Value, detach: bool) -> Result<ExitCode> {
    if !text(&answer, "id").starts_with("dep_") {
        context.output.answer(&answer, || vec!["done; nothing had to be deployed".to_owned()]);
        return Ok(ExitCode::SUCCESS);
    }
    let deployment: Deployment = serde_json::from_value(answer).map_err(|error| Failure::other(error.to_string()))?;
    watch(context, api, deployment, detach).await
}

/// Prints the address; a browser is opened by the desktop's own handler of links when there is one.
pub async fn open(context: &Context, wanted: Open) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let status: ServiceStatus = api.get(&format!("/services/{}/status", target.service)).await?;
    let url = match status.url {
        Some(url) => url,
        None => {
            let service: Value = api.get(&format!("/services/{}", target.service)).await?;
            text(&service, "url").to_owned()
        }
    };
    if url.is_empty() {
        return Err(Failure::NotFound("the service has no address yet; deploy it: seaway deploy".to_owned()));
    }
    context.output.answer(&json!({"url": url}), || vec![url.clone()]);
    if !wanted.print && !context.output.json() && !open_browser(&url) {
        context.output.remark("no browser was found; open the address yourself");
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "on the person's own machine: opens the address in the browser, as an argument, without a shell"
)]
fn open_browser(url: &str) -> bool {
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return false;
    }
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    (desktop || cfg!(target_os = "macos"))
        && std::process::Command::new(program)
            .arg(url)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}
