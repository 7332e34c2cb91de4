//! The tracing subscriber.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::configuration::{LogConfiguration, LogFormat};

/// # Errors
/// When the filter cannot be understood.
pub fn start(configuration: &LogConfiguration) -> Result<()> {
    let filter = EnvFilter::try_new(&configuration.filter)
        .with_context(|| format!("log = {:?} is no log filter; try `info` or `info,control=debug`", configuration.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match configuration.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
