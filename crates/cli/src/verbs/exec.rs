//! One-off commands and terminals.

use std::process::ExitCode;

use clap::Args;
use contract::runs::{CreateRun, CreateTerminal, Run as Made, Terminal};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::follow::{Event, follow};
use crate::target::Context;
use crate::terminal;

const POLL: std::time::Duration = std::time::Duration::from_millis(250);

/// Run a command once in the current release; its exit code is the client's
#[derive(Debug, Args)]
pub struct Run {
    /// Do not wait for the end
    #[arg(short = 'd', long)]
    detach: bool,
    /// Seconds after which it is ended
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Open a terminal in a running replica
#[derive(Debug, Args)]
pub struct Exec {
    /// web.1; default: the first one that runs
    #[arg(long)]
    replica: Option<String>,
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs a command, streams what it prints, ends with its exit code.
pub async fn run(context: &Context, wanted: Run) -> Result<ExitCode> {
    let Run { detach, timeout: timeout_seconds, command } = wanted;
    let api = context.api()?;
    let target = context.target(&api).await?;
    let output = context.output;
    let made: Made = api.post(&format!("/services/{}/runs", target.service), &CreateRun { command, timeout_seconds }).await?;
    if detach {
        output.answer(&made, || vec![made.id.to_string()]);
        return Ok(ExitCode::SUCCESS);
    }
    follow(&api, &format!("/runs/{}/logs?follow=true", made.id), |event| match event {
        Event::Line(line) if output.json() => output.log_line(&line),
        Event::Line(line) => match line.channel.as_str() {
            "stdout" => output.line(line.text),
            _ => output.remark(line.text),
        },
        Event::Gap { dropped } => output.remark(format!("[{dropped} lines were dropped: the output is too fast]")),
        Event::End { .. } => {}
    })
    .await?;
    let ended = loop {
        let run: Made = api.get(&format!("/runs/{}", made.id)).await?;
        if run.finished_at.is_some() {
            break run;
        }
        tokio::time::sleep(POLL).await;
    };
    if output.json() {
        output.document(&json!({"event": "end", "data": ended}));
    }
    match ended.exit_code {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => Err(Failure::other(format!("the command ended as {}: {}", ended.state, ended.reason.unwrap_or_default()))),
    }
}

pub async fn terminal(context: &Context, wanted: Exec) -> Result<ExitCode> {
    let Exec { replica, command } = wanted;
    let api = context.api()?;
    let target = context.target(&api).await?;
    let command = Some(command).filter(|command| !command.is_empty());
    let ticket: Terminal = api.post(&format!("/services/{}/terminals", target.service), &CreateTerminal { replica, command }).await?;
    terminal::converse(&api, &ticket, context.output).await.map(ExitCode::from)
}
