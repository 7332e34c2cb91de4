//! The WebSocket of a terminal. The first message is the ticket with the size, so that no credential is in an address; then
//! binary frames are bytes both ways, and text frames are `{"resize": {"columns": 80, "rows": 24}}`.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use contract::Code;
use control::Control;
use control::access::Actor;
use control::runs::{ExecInput, ExecSession, TerminalSize};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::Instant;

use crate::ApiError;
use crate::endpoint::{Access, Endpoint, Media};

const FRAME_BYTES_MAX: usize = 64 * 1024;
const FIRST_MESSAGE_WAIT: Duration = Duration::from_secs(10);
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
const LIFE_MAX: Duration = Duration::from_secs(8 * 3600);
/// The right is asked again this often.
const RECHECK: Duration = Duration::from_secs(5);

pub fn endpoint() -> Endpoint {
    Endpoint::get("open_terminal", "/terminal", Access::Public)
        .tag("runs")
        .summary("Open a terminal by its ticket (WebSocket)")
        .description(
            "The first message is `{\"ticket\": \"…\", \"columns\": 80, \"rows\": 24}`; without a valid ticket the socket is closed.",
        )
        .media(Media::WebSocket)
        .status(101)
        .handle(handle)
}

#[derive(Deserialize)]
struct Hello {
    ticket: String,
    columns: u16,
    rows: u16,
}

#[derive(Deserialize)]
struct Resize {
    resize: TerminalSize,
}

async fn handle(request: HttpRequest, payload: Payload, control: Data<Control>) -> Result<HttpResponse, ApiError> {
    same_origin(&request, &control)?;
    let (response, session, stream) =
        actix_ws::handle(&request, payload).map_err(|_| ApiError::new(Code::BadRequest, "This address is a WebSocket; open it as one."))?;
    let messages = stream.max_frame_size(FRAME_BYTES_MAX).aggregate_continuations().max_continuation_size(FRAME_BYTES_MAX);
    let control = control.get_ref().clone();
    actix_web::rt::spawn(converse(control, session, messages));
    Ok(response)
}

/// Another site's page may not open a terminal with a person's browser.
fn same_origin(request: &HttpRequest, control: &Control) -> Result<(), ApiError> {
    match request.headers().get("origin").map(|value| value.to_str().unwrap_or_default()) {
        Some(origin) if origin != control.base_url().trim_end_matches('/') => {
            Err(ApiError::new(Code::CsrfRejected, "Terminals open from Seaway's own pages only."))
        }
        _ => Ok(()),
    }
}

async fn converse(control: Control, mut session: Session, mut messages: AggregatedMessageStream) {
    let reason = match hello(&control, &mut messages).await {
        Ok((exec, actor)) => relay(&control, &mut session, &mut messages, exec, &actor).await,
        Err(why) => why,
    };
    let code = if reason.starts_with("exit ") { CloseCode::Normal } else { CloseCode::Policy };
    // The client may be gone already; then nobody is left to be told.
    let _gone = session.close(Some(CloseReason { code, description: Some(reason) })).await;
}

async fn hello(control: &Control, messages: &mut AggregatedMessageStream) -> Result<(ExecSession, Actor), String> {
    let first = tokio::time::timeout(FIRST_MESSAGE_WAIT, messages.next()).await.ok().flatten();
    let Some(Ok(AggregatedMessage::Text(text))) = first else {
        return Err("the first message is not a ticket".to_owned());
    };
    let hello: Hello = serde_json::from_str(&text).map_err(|_| "the first message is not a ticket".to_owned())?;
    let size = TerminalSize { columns: hello.columns, rows: hello.rows };
    control.open_terminal(&hello.ticket, size).await.map_err(|error| error.to_string())
}

/// Carries bytes until either side ends; answers why.
async fn relay(
    control: &Control,
    session: &mut Session,
    messages: &mut AggregatedMessageStream,
    mut exec: ExecSession,
    actor: &Actor,
) -> String {
    let end = Instant::now() + LIFE_MAX;
    let mut idle = Instant::now() + IDLE_MAX;
    let mut recheck = tokio::time::interval_at(Instant::now() + RECHECK, RECHECK);
    loop {
        tokio::select! {
            output = exec.output.next() => match output {
                Some(Ok(bytes)) => {
                    idle = Instant::now() + IDLE_MAX;
                    if session.binary(bytes).await.is_err() {
                        return "the client is gone".to_owned();
                    }
                }
                Some(Err(failure)) => return failure.message,
                None => return exec.exit.await.map_or_else(|_| "the terminal ended".to_owned(), |code| format!("exit {code}")),
            },
            message = messages.next() => {
                idle = Instant::now() + IDLE_MAX;
                let input = match message {
                    Some(Ok(AggregatedMessage::Binary(bytes))) => ExecInput::Bytes(bytes),
                    Some(Ok(AggregatedMessage::Text(text))) => match serde_json::from_str::<Resize>(&text) {
                        Ok(resize) => ExecInput::Resize(resize.resize),
                        Err(_) => ExecInput::Bytes(text.into_bytes()),
                    },
                    Some(Ok(AggregatedMessage::Ping(bytes))) => {
                        let _gone = session.pong(&bytes).await;
                        continue;
                    }
                    Some(Ok(AggregatedMessage::Pong(_))) => continue,
                    Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => return "the client is gone".to_owned(),
                };
                if exec.input.send(input).await.is_err() {
                    return "the terminal ended".to_owned();
                }
            }
            _ = recheck.tick() => if !control.terminal_allowed(actor).await.unwrap_or(false) {
                return "the right to this terminal has ended".to_owned();
            },
            () = tokio::time::sleep_until(idle) => return "idle for 15 minutes".to_owned(),
            () = tokio::time::sleep_until(end) => return "open for 8 hours".to_owned(),
        }
    }
}
