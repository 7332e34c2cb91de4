//! A log as a page, as server-sent events or as NDJSON. The event's id is the line's offset, so `Last-Event-ID` resumes
//! without loss or repetition.

use std::time::Duration;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL};
use actix_web::{HttpRequest, HttpResponse};
use async_stream::stream;
use bytes::Bytes;
use contract::logs::LogsQuery;
use control::Control;
use control::access::{Actor, Kind};
use control::logs::{LogEvent, shown};
use futures_util::{Stream, StreamExt};
use serde_json::json;
use tokio::time::Instant;

use crate::problem::ApiError;

pub const DESCRIPTION: &str = "A page of lines, oldest first. With `follow=true`, or `Accept: text/event-stream`, lines as they come: events `log`, \
    `gap`, `end`; the id is the line's offset and `Last-Event-ID` resumes after it. With `Accept: application/x-ndjson` one JSON object per line; with `text/plain` the whole log to download.";

/// A silent stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The right to read is asked again this often.
const RECHECK: Duration = Duration::from_secs(5);
/// The server closes after this long; the client resumes.
const STREAM_LIFE: Duration = Duration::from_secs(3600);
const RETRY_MS: u32 = 2_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    Events,
    Lines,
    Text,
}

/// Answers in the form that the request asks for.
pub async fn answer(
    actor: &Actor,
    control: &Control,
    kind: Kind,
    request: &HttpRequest,
    mut query: LogsQuery,
) -> Result<HttpResponse, ApiError> {
    let form = form(request, &query);
    if form == Form::Text {
        return text(actor, control, kind, query).await;
    }
    if form == Form::Page {
        return Ok(HttpResponse::Ok().json(control.read_logs(actor, kind, &query).await?));
    }
    if let Some(last) = request.headers().get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok()) {
        query.after = Some(last);
        query.tail = None;
    }
    let events = control.follow_logs(actor, kind, &query).await?;
    let body = body(events, form, control.clone(), actor.clone(), kind);
    let media = match form {
        Form::Events => "text/event-stream",
        Form::Text => "text/plain; charset=utf-8",
        Form::Lines | Form::Page => "application/x-ndjson",
    };
    Ok(HttpResponse::Ok()
        .content_type(media)
        .insert_header((CACHE_CONTROL, "no-cache, no-transform"))
        .insert_header(("content-encoding", "identity"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// The whole log as a text to keep: every page, one line each with its time.
async fn text(actor: &Actor, control: &Control, kind: Kind, mut query: LogsQuery) -> Result<HttpResponse, ApiError> {
    let first = control.read_logs(actor, kind, &query).await?;
    let (control, actor) = (control.clone(), actor.clone());
    let body = stream! {
        let mut page = first;
        loop {
            let mut text = String::new();
            for line in &page.data {
                text.push_str(&format!("{} {} {}\n", line.at.to_rfc3339(), line.origin, line.text));
            }
            let more = !page.data.is_empty() && query.tail.is_none();
            query.after = page.next_after;
            yield Ok::<_, ApiError>(Bytes::from(text));
            if !more || query.after.is_none() { break; }
            match control.read_logs(&actor, kind, &query).await {
                Ok(next) => page = next,
                Err(error) => { yield Err(error.into()); break; }
            }
        }
    };
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("content-disposition", "attachment; filename=\"log.txt\""))
        .streaming(body))
}

fn form(request: &HttpRequest, query: &LogsQuery) -> Form {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/x-ndjson") {
        Form::Lines
    } else if accept.contains("text/plain") && !query.follow {
        Form::Text
    } else if query.follow || accept.contains("text/event-stream") {
        Form::Events
    } else {
        Form::Page
    }
}

fn body(
    mut events: futures_util::stream::BoxStream<'static, LogEvent>,
    form: Form,
    control: Control,
    actor: Actor,
    kind: Kind,
) -> impl Stream<Item = Result<Bytes, ApiError>> {
    stream! {
        if form == Form::Events {
            yield Ok(Bytes::from(format!("retry: {RETRY_MS}\n\n")));
        }
        let end = Instant::now() + STREAM_LIFE;
        let mut recheck = tokio::time::interval_at(Instant::now() + RECHECK, RECHECK);
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        loop {
            tokio::select! {
                biased;
                _ = recheck.tick() => {
                    // The stream ends when the session, the token or the right ends.
                    if control.recheck(&actor, kind, domain::permission::Permission::LogsRead).await.is_err() {
                        break;
                    }
                }
                event = events.next() => match event {
                    Some(event) => {
                        let last = matches!(event, LogEvent::End { .. });
                        yield Ok(written(event, form));
                        if last { break; }
                    }
                    None => break,
                },
                _ = heartbeat.tick() => if form == Form::Events {
                    yield Ok(Bytes::from_static(b": alive\n\n"));
                },
                () = tokio::time::sleep_until(end) => break,
            }
        }
    }
}

fn written(event: LogEvent, form: Form) -> Bytes {
    let (name, id, data) = match event {
        LogEvent::Gap { offset, dropped } => ("gap", Some(offset), json!({ "offset": offset, "dropped": dropped })),
        LogEvent::End { status } => ("end", None, json!({ "status": status })),
        line => match shown(line) {
            Some(line) => ("log", Some(line.offset), serde_json::to_value(line).unwrap_or_default()),
            None => return Bytes::new(),
        },
    };
    match (form, id) {
        (Form::Lines, _) => Bytes::from(format!("{}\n", json!({ "event": name, "data": data }))),
        (_, Some(id)) => Bytes::from(format!("event: {name}\nid: {id}\ndata: {data}\n\n")),
        (_, None) => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
    }
}
