//! Releases of the service, and the way back to one.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use contract::deployments::Deployment;
use contract::releases::Release;
use domain::{Clock, SystemClock};
use serde_json::json;

use super::deploy::watch;
use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::target::{Context, Target};
use crate::time::ago;

/// Releases, newest first
#[derive(Debug, Args)]
pub struct Releases {
    #[command(subcommand)]
    verb: Option<ReleasesVerb>,
}

#[derive(Debug, Subcommand)]
pub enum ReleasesVerb {
    /// What a release is made of, and what changed with it
    Show {
        /// v4, or 4
        version: String,
    },
    /// Say whether a release changed data so that an older one cannot work with it
    Mark {
        /// v4, or 4
        version: String,
        /// A rollback across it is refused, unless forced
        #[arg(long, conflicts_with = "reversible", required_unless_present = "reversible")]
        irreversible: bool,
        /// Take the mark away
        #[arg(long)]
        reversible: bool,
    },
}

/// Go back to the release before, or to the one named
#[derive(Debug, Args)]
pub struct Rollback {
    /// v4, or 4
    version: Option<String>,
    /// Even across a release whose migration is marked irreversible
    #[arg(long)]
    force: bool,
    /// Do not wait for the end
    #[arg(short = 'd', long)]
    detach: bool,
}

pub async fn run(context: &Context, wanted: Releases) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    match wanted.verb {
        None => list(context, &all(&api, &target).await?),
        Some(ReleasesVerb::Show { version }) => {
            let found = find(&api, &target, &version).await?;
            let release: Release = api.get(&format!("/releases/{}", found.id)).await?;
            let pairs = [
                ("release", format!("v{}", release.version)),
                ("why", release.reason.clone()),
                ("image", release.image.clone()),
                ("revision", release.revision.clone()),
                ("hosts", release.hosts.join(", ")),
                ("variables", release.variable_names.join(", ")),
                ("changes", release.changes.join(", ")),
                ("irreversible", release.irreversible.to_string()),
            ];
            context.output.record(&release, &pairs);
        }
        Some(ReleasesVerb::Mark { version, irreversible, .. }) => {
            let found = find(&api, &target, &version).await?;
            let release: Release = api.patch(&format!("/releases/{}", found.id), &json!({"irreversible": irreversible})).await?;
            let word = if irreversible { "a rollback across it needs --force" } else { "a rollback across it is possible" };
            context.output.answer(&release, || vec![format!("v{}: {word}", release.version)]);
        }
    }
    Ok(())
}

async fn all(api: &Api, target: &Target) -> Result<Vec<Release>> {
    api.all(&format!("/services/{}/releases", target.service)).await
}

async fn find(api: &Api, target: &Target, version: &str) -> Result<Release> {
    let number = number(version)?;
    let found = all(api, target).await?.into_iter().find(|release| release.version == number);
    found.ok_or_else(|| Failure::NotFound(format!("there is no release v{number}; list them: seaway releases")))
}

fn number(text: &str) -> Result<u64> {
    let number = text.trim_start_matches('v').parse();
    number.map_err(|_| Failure::usage(format!("{text:?} is no release; write v4, or list them: seaway releases")))
}

fn list(context: &Context, releases: &[Release]) {
    let now = SystemClock.now();
    context.output.table(releases, &["RELEASE", "", "WHEN", "WHY", "BY"], |release| {
        let mark = match (release.current, release.rollback_possible) {
            (true, _) => "serves",
            (false, true) => "",
            (false, false) => "image gone",
        };
        let author = release.author.clone().or(release.commit_author.clone()).unwrap_or_default();
        vec![format!("v{}", release.version), mark.to_owned(), ago(release.created_at, now), release.reason.clone(), author]
    });
}

pub async fn rollback(context: &Context, wanted: Rollback) -> Result<ExitCode> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let version = wanted.version.as_deref().map(number).transpose()?;
    let body = json!({"force": wanted.force, "version": version});
    let deployment: Deployment = api.post(&format!("/services/{}/rollback", target.service), &body).await?;
    watch(context, &api, deployment, wanted.detach).await
}
