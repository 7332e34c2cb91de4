//! Commands inside a running replica. The target is found here, from the service; no id of a container comes from outside.

use std::sync::Arc;
use std::time::Duration;

use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use domain::deployment::{Cause, Failure, Step};
use domain::service::WEB;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::engine::failure::failure;
use crate::parts::Parts;
use crate::policy;
use crate::protocol::{ExecInput, ExecOrder, ExecSession};

/// Inputs and outputs on their way.
const CHANNEL_SIZE: usize = 64;
/// Output of a probe that is shown.
const PROBE_OUTPUT_CHARACTERS: usize = 200;
/// A command whose terminal closed gets this long before it is killed.
const HANG_UP_WAIT: Duration = Duration::from_secs(1);
/// The engine is asked this long for the end of a command.
const END_WAIT: Duration = Duration::from_secs(30);
const END_PAUSE: Duration = Duration::from_millis(50);

/// A health command: exit code 0 is healthy.
pub async fn probe(engine: &Engine, container: &str, argv: &[String]) -> Result<(), String> {
    let docker = engine.docker().await.map_err(|error| error.to_string())?;
    let options =
        CreateExecOptions { attach_stdout: Some(true), attach_stderr: Some(true), cmd: Some(argv.to_vec()), ..Default::default() };
    let exec = docker.create_exec(container, options).await.map_err(|error| error.to_string())?.id;
    let started = docker.start_exec(&exec, None::<StartExecOptions>).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(Ok(part)) = output.next().await {
            if text.len() < PROBE_OUTPUT_CHARACTERS {
                text.push_str(&String::from_utf8_lossy(part.as_ref()));
            }
        }
    }
    match docker.inspect_exec(&exec).await.map_err(|error| error.to_string())?.exit_code {
        Some(0) => Ok(()),
        code => {
            let shown: String = text.trim().chars().take(PROBE_OUTPUT_CHARACTERS).collect();
            Err(format!("the health command ended with exit code {}: {shown}", code.unwrap_or(-1)))
        }
    }
}

pub async fn open(parts: &Arc<Parts>, order: ExecOrder) -> Result<ExecSession, Failure> {
    policy::check_arguments("command", &order.command)?;
    let wanted = order.replica.as_deref();
    let serving = parts.states.find(order.service).and_then(|record| record.serving);
    let mut found = parts.engine.replicas(order.service).await?;
    found.retain(|replica| matches!(replica.state, bollard::models::ContainerSummaryStateEnum::RUNNING));
    found.retain(|replica| serving.as_ref().is_none_or(|serving| serving.has(&replica.id)));
    found.sort_by_key(|replica| (replica.labels.process != WEB, replica.labels.name()));
    let target = found.into_iter().find(|replica| wanted.is_none_or(|name| replica.labels.name() == name));
    let Some(target) = target else {
        return Err(Failure::new(
            Cause::Start,
            Step::Start,
            format!("{} of the service does not run.", wanted.unwrap_or("No replica")),
            "Look at the list of replicas and choose one that runs.",
        ));
    };
    attach(parts, target.id, order).await
}

async fn attach(parts: &Arc<Parts>, container: String, order: ExecOrder) -> Result<ExecSession, Failure> {
    let problem = |error: &bollard::errors::Error| failure(Step::Start, "open the command", error);
    let docker = parts.engine.docker().await.map_err(|error| problem(&error))?;
    let tty = order.terminal.is_some();
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(tty),
        env: tty.then(|| vec!["TERM=xterm-256color".to_owned()]),
        cmd: Some(order.command),
        ..Default::default()
    };
    let exec = docker.create_exec(&container, options).await.map_err(|error| problem(&error))?.id;
    let start = StartExecOptions { detach: false, tty, output_capacity: None };
    let StartExecResults::Attached { mut output, input: mut stdin } =
        docker.start_exec(&exec, Some(start)).await.map_err(|error| problem(&error))?
    else {
        return Err(Failure::new(Cause::Engine, Step::Start, "The engine did not attach to the command.", "Try again."));
    };
    let (input, mut inputs) = mpsc::channel::<ExecInput>(CHANNEL_SIZE);
    let (shown, outputs) = mpsc::channel::<Result<Bytes, Failure>>(CHANNEL_SIZE);
    let (ended, exit) = oneshot::channel();
    // Cancelled when the receiver of the output is dropped or the server stops.
    let gone = parts.stop.child_token();
    if let Some(size) = order.terminal {
        let resize = ResizeExecOptions { height: size.rows, width: size.columns };
        let _ = docker.resize_exec(&exec, resize).await;
    }
    let engine = Arc::clone(&parts.engine);
    parts.tasks.spawn(async move {
        let mut typing = true;
        let is_left = loop {
            tokio::select! {
                part = output.next() => match part {
                    Some(Ok(part)) => {
                        if shown.send(Ok(part.into_bytes())).await.is_err() {
                            break true;
                        }
                    }
                    Some(Err(error)) => {
                        let _ = shown.send(Err(failure(Step::Start, "read the command's output", &error))).await;
                        break true;
                    }
                    None => break false,
                },
                typed = inputs.recv(), if typing => match typed {
                    Some(ExecInput::Bytes(bytes)) => {
                        if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                            typing = false;
                        }
                    }
                    Some(ExecInput::Resize(size)) => {
                        let resize = ResizeExecOptions { height: size.rows, width: size.columns };
                        let _ = docker.resize_exec(&exec, resize).await;
                    }
                    Some(ExecInput::Close) | None => {
                        let _ = stdin.shutdown().await;
                        typing = false;
                    }
                },
                () = shown.closed() => break true,
                () = gone.cancelled() => break true,
            }
        };
        let _ = stdin.shutdown().await;
        drop((output, stdin));
        let code = finish(&engine, &exec, is_left).await;
        let _ = ended.send(code);
    });
    let stream = async_stream::stream! {
        let mut outputs = outputs;
        while let Some(part) = outputs.recv().await {
            yield part;
        }
    };
    Ok(ExecSession { output: Box::pin(stream), input, exit })
}

/// The exit code. A command that its people left is hung up on and then killed from the host's side, by the process id that
/// the engine names; nothing is executed in the container for that. One that only closed its output is waited for.
async fn finish(engine: &Engine, exec: &str, is_left: bool) -> i64 {
    let Ok(docker) = engine.docker().await else { return -1 };
    let began = tokio::time::Instant::now();
    loop {
        let Ok(state) = docker.inspect_exec(exec).await else { return -1 };
        if !state.running.unwrap_or(false) {
            return state.exit_code.unwrap_or(-1);
        }
        if began.elapsed() >= END_WAIT {
            return -1;
        }
        if is_left {
            let signal = if began.elapsed() < HANG_UP_WAIT { Signal::HUP } else { Signal::KILL };
            let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = kill_process(pid, signal);
            }
        }
        tokio::time::sleep(END_PAUSE).await;
    }
}
