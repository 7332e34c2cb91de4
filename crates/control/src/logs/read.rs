use chrono::{DateTime, Utc};
use contract::logs::{LogLine, LogPage, LogsQuery};
use deployer::protocol::{LogChannel, LogEvent, LogQuery, LogStream};
use domain::id::{DeploymentId, Id, RunId, ServiceId};
use domain::permission::Permission;
use futures_util::stream::BoxStream;

use crate::access::{Actor, Kind};
use crate::error::{ControlError, Result};
use crate::state::Control;

const LIMIT_DEFAULT: u32 = 1_000;
const LIMIT_MAX: u32 = 10_000;
const CONTAINS_LENGTH_MAX: usize = 500;
/// Lines attached to a failure.
const TAIL_LINES: u32 = 20;

impl Control {
    /// A page of lines of the located deployment, service or run.
    pub async fn read_logs(&self, actor: &Actor, kind: Kind, query: &LogsQuery) -> Result<LogPage> {
        let query = self.log_query(actor, kind, query)?;
        let page = self.server().read_logs(query).await.map_err(ControlError::Server)?;
        Ok(LogPage { data: lines(page.events, self.clock().now()), next_after: page.next, ended: page.ended })
    }

    /// Lines as they come.
    pub async fn follow_logs(&self, actor: &Actor, kind: Kind, query: &LogsQuery) -> Result<BoxStream<'static, LogEvent>> {
        let query = self.log_query(actor, kind, query)?;
        self.server().follow_logs(query).await.map_err(ControlError::Server)
    }

    fn log_query(&self, actor: &Actor, kind: Kind, query: &LogsQuery) -> Result<LogQuery> {
        actor.require(Permission::LogsRead)?;
        let id = actor.located.id;
        let stream = match kind {
            Kind::Deployment => LogStream::Deployment(DeploymentId::from_uuid(id)),
            Kind::Run => LogStream::Run(RunId::from_uuid(id)),
            _ => LogStream::Service(ServiceId::from_uuid(id)),
        };
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(ControlError::invalid("query/limit", "out-of-range", format!("1 to {LIMIT_MAX}")));
        }
        if query.tail.is_some_and(|tail| tail > LIMIT_MAX) {
            return Err(ControlError::invalid("query/tail", "out-of-range", format!("0 to {LIMIT_MAX}")));
        }
        if query.contains.as_ref().is_some_and(|text| text.len() > CONTAINS_LENGTH_MAX) {
            return Err(ControlError::invalid("query/contains", "too-long", format!("at most {CONTAINS_LENGTH_MAX} bytes")));
        }
        Ok(LogQuery {
            stream,
            after: query.after,
            tail: query.tail,
            since: query.since,
            until: query.until,
            contains: query.contains.clone(),
            limit,
        })
    }

    /// The last lines of a stream, for a failure; empty when they cannot be read.
    pub(crate) async fn log_tail(&self, stream: LogStream) -> Vec<String> {
        let query = LogQuery { tail: Some(TAIL_LINES), limit: TAIL_LINES, ..LogQuery::whole(stream) };
        match self.server().read_logs(query).await {
            Ok(page) => page
                .events
                .into_iter()
                .filter_map(|event| match event {
                    LogEvent::Line(line) => Some(line.text),
                    _ => None,
                })
                .collect(),
            Err(_) => Vec::new(),
        }
    }
}

/// The lines of a page. A gap is a line that says so, at the time of the one before it.
fn lines(events: Vec<LogEvent>, now: DateTime<Utc>) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = Vec::with_capacity(events.len());
    for event in events {
        if let LogEvent::Gap { offset, dropped } = event {
            lines.push(LogLine {
                offset,
                at: lines.last().map_or(now, |line| line.at),
                channel: "platform".to_owned(),
                origin: "seaway".to_owned(),
                text: format!("{dropped} lines were dropped here: a limit of the log was reached."),
                dropped: Some(dropped),
            });
        } else {
            lines.extend(shown(event));
        }
    }
    lines
}

/// An event as the API shows it; the end of a stream is not a line.
pub fn shown(event: LogEvent) -> Option<LogLine> {
    match event {
        LogEvent::Line(line) => Some(LogLine {
            offset: line.offset,
            at: line.at,
            channel: match line.channel {
                LogChannel::Platform => "platform",
                LogChannel::Stdout => "stdout",
                LogChannel::Stderr => "stderr",
            }
            .to_owned(),
            origin: line.origin,
            text: line.text,
            dropped: None,
        }),
        LogEvent::Gap { .. } | LogEvent::End { .. } => None,
    }
}
