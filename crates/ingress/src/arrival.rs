//! A request that found its service: what is known of it from its head, until its answer is counted.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderValue, Request, StatusCode, request, uri::PathAndQuery};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    body::BodyProgress,
    hygiene::FORWARDED_PREFIX,
    live::{Active, ServiceLive},
    pages::Page,
    path,
    policy::{
        address,
        decide::{Visit, Wishes},
    },
    proxy::Connection,
    routes::Place,
    seen::{
        counters::ReleaseSeen,
        line::Captured,
        log::AccessLogs,
        meter::{Line, Meter},
    },
};

/// Where a request leads.
#[derive(Debug)]
pub struct Found {
    pub service: Arc<ServiceLive>,
    pub place: Arc<Place>,
    /// As the client wrote it.
    pub host: HeaderValue,
    /// Normalised.
    pub name: String,
    /// Normalised.
    pub path: String,
}

#[derive(Debug)]
pub struct Arrival {
    pub service: Arc<ServiceLive>,
    pub place: Arc<Place>,
    pub host: HeaderValue,
    name: String,
    path: String,
    /// The route and policy under which the request is judged; a request that waits is served under a later one.
    pub active: Arc<Active>,
    pub request_id: HeaderValue,
    pub start_ms: i64,
    pub begin: Instant,
    pub is_https: bool,
    client: IpAddr,
    pub wishes: Wishes,
    pub progress: Option<Arc<BodyProgress>>,
    /// Of the replica that was asked last.
    pub release: Option<Arc<ReleaseSeen>>,
    captured: Captured,
}

impl Arrival {
    pub fn new(connection: &Connection, found: Found, request: &Request<Incoming>, request_id: &HeaderValue, now_ms: i64) -> Self {
        let Found { service, place, host, name, path } = found;
        let active = service.active.load_full();
        let (hop, headers, policy) = (&connection.hop, request.headers(), &active.policy);
        let is_trusted = hop.is_trusted || address::is_in(&policy.trusted_proxies, hop.peer);
        let client = address::client(hop.peer, is_trusted, headers, &policy.trusted_proxies);
        let log = policy.access_log.as_ref();
        let captured = Captured::new(now_ms, request.method(), request.uri(), &host, headers, client, request_id, log);
        let mut wishes = Wishes::new(request.method(), headers);
        wishes.stripped = (place.strip && place.path != "/").then(|| place.path.clone());
        Self {
            is_https: hop.is_https(headers),
            request_id: request_id.clone(),
            start_ms: now_ms,
            begin: Instant::now(),
            progress: None,
            release: None,
            service,
            place,
            host,
            name,
            path,
            client,
            wishes,
            captured,
            active,
        }
    }

    pub fn visit<'a>(&'a self, request: &'a Request<Incoming>) -> Visit<'a> {
        Visit {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            host: &self.name,
            authority: self.host.to_str().unwrap_or_default(),
            scheme: if self.is_https { "https" } else { "http" },
            path: &self.path,
            client: self.client,
            state: self.active.route.as_ref().map(|route| route.state),
        }
    }

    /// The path as the app sees it. Called when the client's headers are gone.
    pub fn rewrite(&self, parts: &mut request::Parts) -> Result<(), Page> {
        let prefix = self.place.internal_path.as_deref().map_or("", |internal| internal.trim_end_matches('/'));
        let rest = match &self.wishes.stripped {
            Some(stripped) => {
                if let Ok(value) = HeaderValue::from_str(stripped) {
                    parts.headers.insert(FORWARDED_PREFIX, value);
                }
                path::after_prefix(&self.path, stripped).unwrap_or(&self.path)
            }
            None => &self.path,
        };
        if prefix.is_empty() && self.wishes.stripped.is_none() && rest == parts.uri.path() {
            return Ok(());
        }
        // Two slashes at the start could be read as a host.
        let rest = if self.wishes.stripped.is_some() || !prefix.is_empty() {
            format!("/{}", rest.trim_start_matches('/'))
        } else {
            rest.to_owned()
        };
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target: PathAndQuery = format!("{prefix}{rest}{query}").parse().map_err(|_| Page::Malformed)?;
        parts.uri = http::Uri::from(target);
        Ok(())
    }

    /// Counts the answer to its end.
    pub fn meter(self, status: StatusCode, error: Option<&str>, logs: &AccessLogs) -> Meter {
        let is_logged = self.captured.is_logged();
        let samples = &self.service.seen.samples;
        let is_sample = samples.is_due(self.start_ms, false) || (status.is_server_error() && samples.is_due(self.start_ms, true));
        let line = (is_logged || is_sample).then(|| {
            let latency_us = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
            let release = self.release.as_ref().map(|release| release.release);
            let line = self.captured.line(status.as_u16(), release, latency_us, error);
            Box::new(Line { line, logs: is_logged.then(|| logs.clone()), is_sample })
        });
        Meter { service: self.service, release: self.release, begin: self.begin, progress: self.progress, bytes_out: 0, line }
    }
}
