//! How a replica proves that it is ready.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::arguments::When;
use crate::configuration::{self, at, merge};
use crate::failure::Result;
use crate::target::Context;
use crate::units::duration;

#[derive(Debug, Subcommand)]
pub enum HealthVerb {
    /// The present check
    Show,
    /// GET of a path answers 2xx or 3xx
    Http {
        path: String,
        #[command(flatten)]
        timing: Timing,
    },
    /// The port takes a connection
    Tcp {
        #[command(flatten)]
        timing: Timing,
    },
    /// A command inside the replica ends with 0
    Command {
        #[command(flatten)]
        timing: Timing,
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// No check: the port is open, and the process stays up for a while
    None {
        /// How long
        #[arg(long, value_name = "TIME", value_parser = duration)]
        stay_up: Option<Duration>,
        #[command(flatten)]
        timing: Timing,
    },
}

#[derive(Debug, Args, Default)]
pub struct Timing {
    /// Pause between two probes: 250ms
    #[arg(long, value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,
    /// Limit of one probe: 5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// The deployment fails when a replica is not ready by then: 120s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// Probes in a row that must pass
    #[arg(long, value_name = "COUNT")]
    successes: Option<u32>,
    #[command(flatten)]
    when: When,
}

pub async fn run(context: &Context, verb: HealthVerb) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let (probe, stay_up, timing) = match verb {
        HealthVerb::Show => {
            let configuration = configuration::read(&api, &target).await?;
            let health = at(&configuration, "health").cloned().unwrap_or_default();
            super::settings::list(context, &health);
            return Ok(());
        }
        HealthVerb::Http { path, timing } => (json!({"type": "http", "path": path}), None, timing),
        HealthVerb::Tcp { timing } => (json!({"type": "tcp"}), None, timing),
        HealthVerb::Command { command, timing } => (json!({"type": "command", "argv": command}), None, timing),
        HealthVerb::None { stay_up, timing } => (json!({"type": "stay_up"}), stay_up, timing),
    };
    let milliseconds = |time: Duration| Value::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let seconds = |time: Duration| Value::from(time.as_secs());
    let mut health = json!({"probe": probe});
    let fields = [
        ("interval_ms", timing.interval.map(milliseconds)),
        ("timeout_ms", timing.timeout.map(milliseconds)),
        ("deadline_seconds", timing.deadline.map(seconds)),
        ("successes", timing.successes.map(Value::from)),
        ("stay_up_seconds", stay_up.map(seconds)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            merge(&mut health, json!({ name: value }));
        }
    }
    configuration::change(context, &api, &target, json!({"health": health}), &timing.when).await
}
