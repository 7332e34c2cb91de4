//! One-off commands and terminals.

use std::process::ExitCode;

use contract::runs::{CreateRun, CreateTerminal, Run, Terminal};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::follow::{Event, follow};
use crate::target::Context;
use crate::terminal;

const POLL: std::time::Duration = std::time::Duration::from_millis(250);

/// Runs a command, streams what it prints, ends with its exit code.
pub async fn run(context: &Context, command: Vec<String>, timeout_seconds: Option<u32>, detach: bool) -> Result<ExitCode> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let output = context.output;
    let made: Run = api.post(&format!("/services/{}/runs", target.service), &CreateRun { command, timeout_seconds }).await?;
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
        let run: Run = api.get(&format!("/runs/{}", made.id)).await?;
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

pub async fn terminal(context: &Context, replica: Option<String>, command: Vec<String>) -> Result<ExitCode> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let command = Some(command).filter(|command| !command.is_empty());
    let ticket: Terminal = api.post(&format!("/services/{}/terminals", target.service), &CreateTerminal { replica, command }).await?;
    terminal::converse(&api, &ticket, context.output).await.map(ExitCode::from)
}
