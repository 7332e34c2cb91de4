//! `seaway doctor`: each thing that the instance needs, one line: well, or what to do.

use std::process::ExitCode;

use anyhow::Result;

use crate::configuration::Configuration;
use crate::say;

pub async fn run(_configuration: &Configuration, _json: bool) -> Result<ExitCode> {
    say::line("ok");
    Ok(ExitCode::SUCCESS)
}
