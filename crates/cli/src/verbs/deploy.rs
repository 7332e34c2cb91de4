//! Deploying, and following a deployment to its end.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use contract::deployments::{CreateDeployment, Deployment};
use domain::deployment::Phase;
use serde_json::{Value, json};

use super::{credentials, source};
use crate::api::Api;
use crate::archive;
use crate::configuration::{self, at};
use crate::failure::{Failure, Result};
use crate::follow::{Event, follow};
use crate::target::{Context, Target, text};

/// Seconds that one question about a deployment may take.
const WAIT_SECONDS: u32 = 30;
const TAIL_LINES: usize = 20;

/// Deploy the linked folder, or a git repository, or an image; follows the log to the end
#[derive(Debug, Args)]
pub struct Deploy {
    /// Deploy this git repository from now on
    #[arg(long, value_name = "URL", conflicts_with_all = ["image", "upload"])]
    git: Option<String>,
    /// Branch, tag or commit
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Deploy this image from now on
    #[arg(long, value_name = "NAME", conflicts_with = "upload")]
    image: Option<String>,
    /// Name of the credential of the repository or the registry
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// Send this folder, whatever the service's source is
    #[arg(long, alias = "archive")]
    upload: bool,
    /// The folder to send
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Build without the cache
    #[arg(long)]
    clean: bool,
    /// Shown in the history
    #[arg(long)]
    title: Option<String>,
    /// Do not wait for the end
    #[arg(short = 'd', long)]
    detach: bool,
}

pub async fn run(context: &Context, order: Deploy) -> Result<ExitCode> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let path = format!("/services/{}", target.service);
    if let Some(patch) = new_source(&api, &target, &order).await? {
        let _service: Value = api.patch(&format!("{path}?deploy=false"), &json!({"configuration": patch})).await?;
    }
    let upload = match uploads(&api, &order, &path).await? {
        true => Some(send_folder(context, &api, &order, &target).await?),
        false => None,
    };
    let mut body = serde_json::to_value(CreateDeployment { reference: None, upload: None, clean: order.clean, title: order.title.clone() })
        .map_err(|error| Failure::other(error.to_string()))?;
    if let Some(body) = body.as_object_mut() {
        if let Some(upload) = upload {
            body.insert("upload".to_owned(), Value::String(upload));
        } else if let Some(reference) = order.reference.filter(|_| order.image.is_none()) {
            body.insert("reference".to_owned(), Value::String(reference));
        }
    }
    let deployment: Deployment = api.post(&format!("{path}/deployments"), &body).await?;
    watch(context, &api, deployment, order.detach).await
}

/// What the command line says about the source, as a change of the configuration. The same repository keeps what it has; to
/// another one no credential goes along that was not named.
async fn new_source(api: &Api, target: &Target, order: &Deploy) -> Result<Option<Value>> {
    if order.git.is_none() && order.image.is_none() && order.credential.is_none() {
        return Ok(None);
    }
    let credential = match &order.credential {
        Some(name) => Some(credentials::id_of(api, &target.organization, name).await?),
        None => None,
    };
    let present = configuration::read(api, target).await?;
    let same = order.git.as_deref() == at(&present, "source.url").and_then(Value::as_str);
    let patch = match (&order.git, &order.image, credential) {
        (Some(_), _, None) if same => return Ok(None),
        (Some(_), _, Some(credential)) if same => json!({"source": {"credential": credential}}),
        (Some(url), _, credential) => source::git(url, order.reference.clone(), credential, false, false),
        (None, Some(image), credential) => source::image_of(image, credential),
        (None, None, credential) => json!({"source": {"credential": credential}}),
    };
    Ok(Some(source::with_builder(patch, &present)))
}

/// A folder is sent when it was asked for, or when the service has no other source.
async fn uploads(api: &Api, order: &Deploy, path: &str) -> Result<bool> {
    if order.upload || order.folder.is_some() {
        return Ok(true);
    }
    if order.git.is_some() || order.image.is_some() {
        return Ok(false);
    }
    let service: Value = api.get(path).await?;
    let kind = service.pointer("/configuration/source/type").and_then(Value::as_str);
    Ok(matches!(kind, None | Some("archive")))
}

async fn send_folder(context: &Context, api: &Api, order: &Deploy, target: &Target) -> Result<String> {
    let linked = context.link.as_ref().map(|(folder, _)| folder.clone());
    let Some(folder) = order.folder.clone().or(linked) else {
        return Err(Failure::usage(
            "this folder is not linked, so it is not sent by itself; name it with --folder ., or link it: seaway link -a …",
        ));
    };
    let packed = tokio::task::spawn_blocking(move || archive::pack(&folder)).await.map_err(|error| Failure::other(error.to_string()))??;
    if !context.output.json() {
        context.output.remark(format!("sending {} files, {} KiB", packed.files, packed.size_bytes.div_ceil(1024)));
    }
    let body = reqwest::Body::from(tokio::fs::File::from_std(packed.file));
    let upload: Value = api.upload(&format!("/services/{}/uploads", target.service), "application/gzip", packed.size_bytes, body).await?;
    Ok(text(&upload, "id").to_owned())
}

/// Follows the log to the end and says how it ended; the exit code tells too.
pub async fn watch(context: &Context, api: &Api, deployment: Deployment, detach: bool) -> Result<ExitCode> {
    let output = context.output;
    if detach {
        output.answer(&deployment, || vec![deployment.id.to_string()]);
        return Ok(ExitCode::SUCCESS);
    }
    if output.json() {
        output.document(&json!({"event": "deployment", "data": deployment}));
    } else {
        output.remark(format!("deployment {}", deployment.id));
    }
    follow(api, &format!("/deployments/{}/logs?follow=true", deployment.id), |event| match event {
        Event::Line(line) => output.log_line(&line),
        Event::Gap { dropped } => output.remark(format!("[{dropped} lines were dropped: the log is too fast]")),
        Event::End { .. } => {}
    })
    .await?;
    let ended = wait(api, deployment).await?;
    if output.json() {
        output.document(&json!({"event": "end", "data": ended}));
    } else {
        summary(&ended).iter().for_each(|line| output.line(line));
    }
    match ended.phase {
        Phase::Live => Ok(ExitCode::SUCCESS),
        // A newer deployment takes its place, or there was nothing to do: not this one's failure.
        Phase::Skipped => Ok(ExitCode::SUCCESS),
        _ => Err(Failure::Ended(format!("deployment {} did not get live", ended.id))),
    }
}

async fn wait(api: &Api, mut deployment: Deployment) -> Result<Deployment> {
    loop {
        deployment = api.get(&format!("/deployments/{}?wait={WAIT_SECONDS}", deployment.id)).await?;
        if deployment.phase.is_end() {
            return Ok(deployment);
        }
    }
}

/// What a person wants to know at the end.
pub fn summary(deployment: &Deployment) -> Vec<String> {
    let mut lines = Vec::new();
    match deployment.phase {
        Phase::Live => {
            let version = deployment.version.map_or_else(String::new, |version| format!("v{version} "));
            let after = deployment.healthy_after_ms.map_or_else(String::new, |ms| format!(" (healthy after {:.1} s)", to_seconds(ms)));
            lines.push(format!("{version}is live{after}"));
            lines.extend(deployment.url.clone());
        }
        Phase::Failed => lines.push("the deployment failed; the release before it serves on".to_owned()),
        Phase::Canceled => lines.push(format!("canceled by {}", deployment.canceled_by.as_deref().unwrap_or("somebody"))),
        _ => lines.push(match deployment.superseded_by {
            Some(newer) => format!("skipped: {newer} takes its place"),
            None => "skipped: there was nothing to do".to_owned(),
        }),
    }
    if let Some(gap_ms) = deployment.gap_ms {
        lines.push(format!("requests were held for {:.2} s while the volume was handed over", to_seconds(gap_ms)));
    }
    if let Some(cut) = deployment.requests_cut.filter(|cut| *cut > 0) {
        lines.push(format!("{cut} requests of the old release were cut after the grace"));
    }
    lines.extend(deployment.warning.clone().map(|warning| format!("warning: {warning}")));
    if let Some(failure) = &deployment.failure {
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let cause = word(serde_json::to_value(failure.cause).unwrap_or_default());
        let step = word(serde_json::to_value(failure.step).unwrap_or_default());
        let tail = failure.log_tail.iter().skip(failure.log_tail.len().saturating_sub(TAIL_LINES));
        lines.extend(tail.map(|line| format!("  | {}", crate::output::clean(line))));
        lines.push(format!("cause: {cause} (at {step}): {}", failure.message));
        lines.push(format!("next: {}", failure.next_step));
    }
    lines
}

fn to_seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
