//! One-off commands that ran or run.

use clap::Subcommand;
use contract::runs::Run;
use domain::{Clock, SystemClock};
use serde_json::json;

use crate::api::segment;
use crate::failure::Result;
use crate::target::Context;
use crate::time::ago;

#[derive(Debug, Subcommand)]
pub enum RunsVerb {
    /// Newest first
    Ls,
    /// End one that runs or waits
    Cancel { run: String },
}

pub async fn run(context: &Context, verb: RunsVerb) -> Result<()> {
    let api = context.api()?;
    match verb {
        RunsVerb::Ls => {
            let runs: Vec<Run> = api.all(&format!("/services/{}/runs", context.target(&api).await?.service)).await?;
            let now = SystemClock.now();
            context.output.table(&runs, &["RUN", "STATE", "EXIT", "WHEN", "COMMAND"], |run| {
                let exit = run.exit_code.map_or_else(String::new, |code| code.to_string());
                vec![run.id.to_string(), run.state.clone(), exit, ago(run.created_at, now), crate::output::clean(&run.command.join(" "))]
            });
        }
        RunsVerb::Cancel { run } => {
            let ended: Run = api.post(&format!("/runs/{}/cancel", segment(&run)), &json!({})).await?;
            context.output.answer(&ended, || vec![format!("{run}: {}", ended.state)]);
        }
    }
    Ok(())
}
