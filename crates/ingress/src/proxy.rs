//! One request: find the service, claim a replica, send, stream the answer back.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::Clock;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, UPGRADE},
    request, uri,
};
use hyper::{body::Incoming, client::conn::TrySendError, upgrade::OnUpgrade};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    arrival::{Arrival, Found},
    balance::{Pick, Preference, visitor},
    body::{BodyEnd, BodyProgress, Relayed, RequestBody, ResponseBody},
    config::Limits,
    events::EventLog,
    front::Front,
    host,
    hygiene::{self, Facts, Hop},
    live::{Active, Claim, InFlight, ReplicaLive, ServiceLive},
    pages::{Failure, Page},
    path,
    phase::{Phase, PhaseGuard},
    policy::{address, auth::Gatekeeper, decide},
    pool::{self, Upstream},
    registry::Registry,
    request_id::RequestIds,
    routes::{AppProtocol, RouteState, ServiceRoute},
    seen::{counters::ReleaseSeen, log::AccessLogs},
    traffic::Traffic,
    tunnel,
    wire::EventKind,
};

/// A sleeping service is asked for again after this, while requests wait for it.
const WAKE_INTERVAL_MS: i64 = 5_000;
/// Between two attempts when every replica was tried once.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

pub struct Proxy {
    pub registry: Arc<Registry>,
    pub front: Front,
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
    pub ids: RequestIds,
    /// Tunnels; a shutdown waits for them.
    pub tunnels: TaskTracker,
    /// Connections to replicas; they end with the last request that uses them.
    pub upstream: TaskTracker,
    pub traffic: Traffic,
    pub gate: Gatekeeper,
    pub events: EventLog,
    pub logs: AccessLogs,
}

/// One client connection, as its requests see it.
#[derive(Debug)]
pub struct Connection {
    pub hop: Hop,
    /// HTTP/1.1 only.
    pub phase: Option<Arc<Phase>>,
}

/// A request on its way: what every attempt needs.
struct Journey<'a> {
    service: &'a Arc<ServiceLive>,
    /// Moves into the answer.
    in_flight: Option<InFlight>,
    request_id: HeaderValue,
    begin: Instant,
    /// Another port than the replicas' own.
    port: Option<u16>,
    preference: Preference,
    /// That of the last replica that was asked.
    release: Option<Arc<ReleaseSeen>>,
    /// The token of the replica that answered.
    used: Option<u64>,
    deadline: Option<Instant>,
    hold_deadline: Option<Instant>,
    progress: Option<Arc<BodyProgress>>,
    /// The client's side of a WebSocket handshake.
    upgrade: Option<OnUpgrade>,
    attempts: u8,
    tried: Vec<Arc<ReplicaLive>>,
}

enum Attempt {
    Answered(Response<ResponseBody>),
    Failed(Page),
    /// Nothing reached the app: again, with the same request.
    Again(Box<Request<RequestBody>>, Page),
}

impl Proxy {
    /// Never fails: what goes wrong is a page.
    pub async fn handle(&self, connection: &Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        let mut phase = connection.phase.as_ref().map(PhaseGuard::new);
        if let Some(response) = self.front.challenge(&connection.hop, &request) {
            phase_of_unread(&mut phase, &request);
            return response.map(|body| body.with_phase(phase));
        }
        let now_ms = self.clock.now().timestamp_millis();
        let request_id = hygiene::trusted_request_id(request.headers(), &connection.hop).unwrap_or_else(|| self.ids.next(now_ms));
        let is_http1 = request.version() != Version::HTTP_2;
        let response = match self.route(connection, &request) {
            Err(page) => {
                self.traffic.count_page(page);
                phase_of_unread(&mut phase, &request);
                page.answer(request.headers(), &request_id, is_http1)
            }
            Ok(found) => {
                let arrival = Arrival::new(connection, found, &request, &request_id, now_ms);
                arrival.service.counters.requests.fetch_add(1, Ordering::Relaxed);
                arrival.service.seen.last_request_ms.store(now_ms, Ordering::Relaxed);
                self.answer(connection, arrival, request, is_http1, &mut phase).await
            }
        };
        response.map(|body| body.with_phase(phase))
    }

    /// Everything that is decided by the head alone.
    fn route(&self, connection: &Connection, request: &Request<Incoming>) -> Result<Found, Page> {
        if connection.phase.as_ref().is_some_and(|phase| phase.is_malformed()) {
            return Err(Page::Malformed);
        }
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Page::MethodRefused);
        }
        let host = host_of(request)?;
        let name = host.to_str().map_err(|_| Page::Malformed)?;
        let name = host::normalise(name).map_err(|_| Page::Malformed)?;
        let path = path::normalise(request.uri().path()).map_err(|_| Page::Malformed)?;
        let (service, place) = self.registry.find_place(&name, &path).ok_or(Page::UnknownHost)?;
        self.front.check(&connection.hop, &self.registry, &service, &name)?;
        let (name, path) = (name.into_owned(), path.into_owned());
        Ok(Found { service, place, host, name, path })
    }

    /// Answers, finishes the answer as the policy says, and counts it.
    async fn answer(
        &self,
        connection: &Connection,
        mut arrival: Arrival,
        request: Request<Incoming>,
        is_http1: bool,
        phase: &mut Option<PhaseGuard>,
    ) -> Response<ResponseBody> {
        let (service, active) = (Arc::clone(&arrival.service), Arc::clone(&arrival.active));
        let https = active.route.as_ref().map(|route| &route.https);
        if let Some(response) = https.and_then(|https| self.front.redirect(&connection.hop, https, &arrival.host, &request)) {
            phase_of_unread(phase, &request);
            service.count_status(response.status());
            let meter = arrival.meter(response.status(), None, &self.logs);
            return response.map(|body| body.with_meter(meter));
        }
        let accept = request.headers().get(http::header::ACCEPT).cloned();
        let result = self.serve(connection, &mut arrival, request, phase).await;
        let (mut response, error) = match result {
            Ok(response) => (decide::finish(&active.policy, std::mem::take(&mut arrival.wishes), response), None),
            Err(failure) => {
                if failure.page.status().is_server_error() {
                    service.counters.ingress_5xx.fetch_add(1, Ordering::Relaxed);
                }
                let headers: HeaderMap = accept.map(|accept| (http::header::ACCEPT, accept)).into_iter().collect();
                let response = Page::answer_failure(failure, &headers, &arrival.request_id, is_http1);
                (decide::finish_page(&active.policy, failure.page, &arrival.wishes, response), Some(failure.page.code()))
            }
        };
        if let Some(https) = https {
            self.front.promise(&connection.hop, https, &mut response);
        }
        service.count_status(response.status());
        let meter = arrival.meter(response.status(), error, &self.logs);
        response.map(|body| body.with_meter(meter))
    }

    async fn serve(
        &self,
        connection: &Connection,
        arrival: &mut Arrival,
        request: Request<Incoming>,
        phase: &mut Option<PhaseGuard>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let (service, active) = (Arc::clone(&arrival.service), Arc::clone(&arrival.active));
        let Some(in_flight) = InFlight::try_new(&service, self.limits.in_flight_per_service_max) else {
            phase_of_unread(phase, &request);
            return Err(Page::Busy.into());
        };
        match decide::decide(&active.policy, &self.gate, &service.rates, &arrival.visit(&request)).await {
            Ok(None) => {}
            decided => {
                phase_of_unread(phase, &request);
                return decided.map(|response| response.unwrap_or_else(|| Response::new(ResponseBody::page(bytes::Bytes::new()))));
            }
        }
        let body_bytes_max = active.route.as_ref().map_or(0, |route| route.body_bytes_max);
        let (mut parts, body) = request.into_parts();
        let stall = Duration::from_millis(self.limits.body_read_timeout_ms);
        let (body, progress) = RequestBody::new(body, body_bytes_max, stall);
        arrival.progress.clone_from(&progress);
        if let Some(phase) = phase {
            phase.set_body(progress.clone());
        }
        if content_length(&parts.headers).is_some_and(|length| length > body_bytes_max) {
            return Err(Page::BodyTooLarge.into());
        }
        let (preference, cookie) = visitor::preference(&active, &parts.headers, &arrival.request_id, arrival.is_https);
        arrival.wishes.cookies.extend(cookie);
        let is_websocket = hygiene::is_websocket(parts.version, &parts.method, &parts.headers);
        let upgrade = is_websocket.then(|| parts.extensions.remove::<OnUpgrade>()).flatten();
        let facts = Facts {
            host: arrival.host.clone(),
            request_id: arrival.request_id.clone(),
            start_ms: arrival.start_ms,
            is_websocket: upgrade.is_some(),
            version: parts.version,
        };
        let believed = address::is_in(&active.policy.trusted_proxies, connection.hop.peer);
        if believed && !connection.hop.is_trusted {
            let mut hop = connection.hop.clone();
            hop.is_trusted = true;
            hygiene::to_replica(&mut parts.headers, &hop, facts);
        } else {
            hygiene::to_replica(&mut parts.headers, &connection.hop, facts);
        }
        arrival.rewrite(&mut parts)?;
        for edit in &active.policy.request_edits {
            edit.apply(&mut parts.headers);
        }
        let request = onward(parts, body)?;
        let mut journey = Journey {
            service: &service,
            in_flight: Some(in_flight),
            request_id: arrival.request_id.clone(),
            begin: arrival.begin,
            port: arrival.place.port,
            preference,
            release: None,
            used: None,
            deadline: None,
            hold_deadline: None,
            progress,
            upgrade,
            attempts: 0,
            tried: Vec::new(),
        };
        let result = self.travel(&mut journey, request).await;
        if let (Err(Page::Unreachable | Page::BadAnswer | Page::TimedOut), Some(release)) = (&result, &journey.release) {
            release.unanswered();
        }
        if let Some(token) = journey.used {
            arrival.wishes.cookies.extend(visitor::sticky_cookie(&active, &journey.preference, token, arrival.is_https));
        }
        arrival.release = journey.release;
        Ok(result?)
    }

    async fn travel(&self, journey: &mut Journey<'_>, mut request: Request<RequestBody>) -> Result<Response<ResponseBody>, Page> {
        loop {
            let (active, claim) = self.admit(journey).await?;
            let Some(route) = &active.route else {
                return Err(Page::UnknownHost);
            };
            journey.attempts += 1;
            match self.attempt(journey, route, claim, request).await {
                Attempt::Answered(response) => return Ok(response),
                Attempt::Failed(page) => return Err(page),
                Attempt::Again(_, page) if journey.attempts >= route.retry.attempts_max => {
                    return Err(page);
                }
                Attempt::Again(same, _) => {
                    journey.service.counters.retries.fetch_add(1, Ordering::Relaxed);
                    request = *same;
                }
            }
        }
    }

    /// Waits while the service is holding, then claims a replica under one snapshot of the route.
    async fn admit(&self, journey: &mut Journey<'_>) -> Result<(Arc<Active>, Claim), Page> {
        let service = journey.service;
        loop {
            let active = service.active.load_full();
            match active.route.as_ref().map(|route| route.state) {
                None => return Err(Page::UnknownHost),
                Some(RouteState::Deploying) => return Err(Page::Deploying),
                Some(RouteState::Crashed) => return Err(Page::Crashed),
                Some(RouteState::Stopped) => return Err(Page::Stopped),
                Some(RouteState::Holding | RouteState::Paused | RouteState::Asleep) => self.hold(journey).await?,
                Some(RouteState::Serving) => match active.pick(&journey.tried, service.next_turn(), &journey.preference) {
                    Pick::Claimed(claim) => return Ok((active, claim)),
                    Pick::Outdated => {}
                    Pick::Exhausted => {
                        journey.tried.clear();
                        tokio::time::sleep(RETRY_PAUSE * u32::from(journey.attempts)).await;
                    }
                },
            }
        }
    }

    /// Waits for the next change of a holding route.
    async fn hold(&self, journey: &mut Journey<'_>) -> Result<(), Page> {
        let service = journey.service;
        let held = Held::try_new(service, self.limits.held_per_service_max).ok_or(Page::Busy)?;
        let waiting = |active: &Active| active.route.as_ref().filter(|route| route.state.is_waiting()).cloned();
        let changed = service.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        // Looked at again, after the wake-up was registered: a change in between is not missed.
        let Some(route) = waiting(&service.active.load()) else {
            return Ok(());
        };
        let hold_for = Duration::from_millis(route.hold_timeout_ms.unwrap_or(self.limits.hold_timeout_ms));
        let deadline = *journey.hold_deadline.get_or_insert_with(|| Instant::now() + hold_for);
        loop {
            let now_ms = self.clock.now().timestamp_millis();
            let is_asleep = route.state == RouteState::Asleep;
            if is_asleep && service.is_wake_due(now_ms, WAKE_INTERVAL_MS) {
                self.events.add(now_ms, &service.id, EventKind::Wake);
            }
            let again = Instant::now() + Duration::from_millis(WAKE_INTERVAL_MS.unsigned_abs());
            let until = if is_asleep { deadline.min(again) } else { deadline };
            match tokio::time::timeout_at(until, changed.as_mut()).await {
                Ok(()) => break,
                Err(_) if until < deadline => {}
                Err(_) => {
                    return Err(match route.state {
                        RouteState::Paused => Page::PausedTooLong,
                        RouteState::Asleep => Page::WokenTooLate,
                        _ => Page::HeldTooLong,
                    });
                }
            }
        }
        drop(held);
        Ok(())
    }

    async fn attempt(&self, journey: &mut Journey<'_>, route: &ServiceRoute, claim: Claim, request: Request<RequestBody>) -> Attempt {
        let deadline = *journey.deadline.get_or_insert_with(|| Instant::now() + Duration::from_millis(route.request_timeout_ms));
        let has_body = journey.progress.is_some();
        let may_repeat = route.retry.idempotent && !has_body && request.method().is_idempotent() && journey.upgrade.is_none();
        let speaks = if journey.upgrade.is_some() { AppProtocol::Http1 } else { route.app_protocol };
        let reused = self.reuse(&claim, journey, may_repeat).filter(|upstream| upstream.sender.is_http2() == (speaks == AppProtocol::H2c));
        journey.release = Some(Arc::clone(&claim.replica().seen));
        let was_reused = reused.is_some();
        let mut upstream = match reused {
            Some(upstream) => upstream,
            None => match self.connect(&claim, speaks, journey.port, deadline).await {
                Ok(upstream) => upstream,
                Err(page) => {
                    journey.tried.push(Arc::clone(claim.replica()));
                    return Attempt::Again(Box::new(request), page);
                }
            },
        };
        let spare = (was_reused && may_repeat).then(|| copy_without_body(&request));
        let cut = Arc::clone(claim.replica());
        upstream.deadline.as_mut().reset(deadline);
        let request = if upstream.sender.is_http2() { in_http2(request) } else { request };
        let sent = tokio::select! {
            biased;
            sent = upstream.sender.try_send_request(request) => sent,
            () = cut.cut.cancelled() => return Attempt::Failed(Page::Cut),
            () = &mut upstream.deadline => {
                cut.health.answered(true);
                return Attempt::Failed(Page::TimedOut);
            }
        };
        match sent {
            Ok(response) => {
                cut.health.answered(response.status().is_server_error());
                cut.seen.answered(response.status(), journey.begin.elapsed());
                journey.used = Some(cut.token);
                self.relay(journey, route, claim, upstream, response)
            }
            Err(error) => failed(journey, &claim, error, was_reused, spare),
        }
    }

    fn reuse(&self, claim: &Claim, journey: &Journey<'_>, may_repeat: bool) -> Option<Upstream> {
        if journey.upgrade.is_some() {
            return None; // a tunnel keeps its connection; it begins with a fresh one
        }
        let idle_ms = if may_repeat { self.limits.upstream_idle_ms } else { self.limits.upstream_idle_unsafe_ms };
        claim.replica().take(journey.port, Duration::from_millis(idle_ms))
    }

    async fn connect(&self, claim: &Claim, speaks: AppProtocol, port: Option<u16>, deadline: Instant) -> Result<Upstream, Page> {
        let replica = claim.replica();
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Duration::from_millis(self.limits.connect_timeout_ms).min(left);
        match pool::connect(replica.address_of(port), speaks, timeout, &self.upstream).await {
            Ok(upstream) => {
                if replica.health.is_down() && port.is_none() {
                    replica.health.reached();
                }
                Ok(Upstream { port, ..upstream })
            }
            Err(error) => {
                tracing::debug!(replica = %replica.id, %error, "no connection");
                if port.is_none() {
                    self.registry.note_unreachable(replica);
                }
                Err(if left <= timeout { Page::TimedOut } else { Page::Unreachable })
            }
        }
    }

    fn relay(
        &self,
        journey: &mut Journey<'_>,
        route: &ServiceRoute,
        claim: Claim,
        upstream: Upstream,
        mut response: Response<Incoming>,
    ) -> Attempt {
        let in_flight = journey.in_flight.take();
        let request_id = journey.request_id.clone();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client) = journey.upgrade.take() else {
                return Attempt::Failed(Page::BadAnswer);
            };
            let replica = hyper::upgrade::on(&mut response);
            self.tunnels.spawn(tunnel::run(client, replica, claim, in_flight));
            let (mut parts, _) = response.into_parts();
            hygiene::to_client(&mut parts.headers, request_id);
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            return Attempt::Answered(Response::from_parts(parts, ResponseBody::page(bytes::Bytes::new())));
        }
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        hygiene::to_client(&mut parts.headers, request_id);
        let is_event_stream = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let idle = Duration::from_millis(route.response_idle_timeout_ms);
        let relayed = Relayed::new(body, upstream, claim, in_flight, idle, is_event_stream);
        Attempt::Answered(Response::from_parts(parts, ResponseBody::relayed(relayed)))
    }
}

/// Decides what a broken exchange means: repeat it only when the app cannot have seen it, or may see it twice.
fn failed(
    journey: &Journey<'_>,
    claim: &Claim,
    mut error: TrySendError<Request<RequestBody>>,
    was_reused: bool,
    spare: Option<Request<RequestBody>>,
) -> Attempt {
    let unsent = error.take_message();
    let error = error.into_error();
    match journey.progress.as_ref().map(|progress| progress.end()) {
        Some(BodyEnd::TooLarge) => return Attempt::Failed(Page::BodyTooLarge),
        Some(BodyEnd::Stalled) => return Attempt::Failed(Page::BodyStalled),
        Some(BodyEnd::Broken) => return Attempt::Failed(Page::Malformed),
        _ => {}
    }
    if let Some(request) = unsent {
        claim.replica().clear_pools();
        return Attempt::Again(Box::new(request), Page::BadAnswer);
    }
    let closed_early = was_reused && !error.is_parse() && !error.is_timeout();
    match spare {
        Some(request) if closed_early => {
            // Its neighbours in the pool are as old: begin anew.
            claim.replica().clear_pools();
            Attempt::Again(Box::new(request), Page::BadAnswer)
        }
        _ => {
            tracing::debug!(replica = %claim.replica().id, %error, "no complete answer");
            Attempt::Failed(Page::BadAnswer)
        }
    }
}

/// The authority that the client asked for; anything ambiguous is refused.
fn host_of(request: &Request<Incoming>) -> Result<HeaderValue, Page> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Page::Malformed);
    }
    match (request.uri().authority(), field) {
        (None, Some(host)) => Ok(host.clone()),
        (None, None) => Err(Page::Malformed),
        (Some(authority), field) => {
            let differs = field.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
            if differs || authority.as_str().contains('@') {
                return Err(Page::Malformed);
            }
            HeaderValue::from_str(authority.as_str()).map_err(|_| Page::Malformed)
        }
    }
}

/// The same request in HTTP/1.1 origin form.
fn onward(parts: request::Parts, body: RequestBody) -> Result<Request<RequestBody>, Page> {
    let mut target = uri::Parts::default();
    target.path_and_query = parts.uri.into_parts().path_and_query.or_else(|| Some(uri::PathAndQuery::from_static("/")));
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = Uri::from_parts(target).map_err(|_| Page::Malformed)?;
    *request.headers_mut() = parts.headers;
    Ok(request)
}

/// The same request as HTTP/2 has it: the host in the target, nothing about the connection in the headers.
fn in_http2(mut request: Request<RequestBody>) -> Request<RequestBody> {
    let mut target = uri::Parts::default();
    target.scheme = Some(uri::Scheme::HTTP);
    target.authority = request.headers().get(HOST).and_then(|host| uri::Authority::try_from(host.as_bytes()).ok());
    target.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(uri) = Uri::from_parts(target) {
        *request.uri_mut() = uri;
        request.headers_mut().remove(HOST);
    }
    request.headers_mut().remove(CONNECTION);
    *request.version_mut() = Version::HTTP_2;
    request
}

fn copy_without_body(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that nobody reads leaves the connection in the middle of it.
fn phase_of_unread(phase: &mut Option<PhaseGuard>, request: &Request<Incoming>) {
    if let Some(phase) = phase
        && !http_body::Body::is_end_stream(request.body())
    {
        phase.set_body(Some(Arc::default()));
    }
}

/// One request that waits for a holding service.
struct Held<'a>(&'a ServiceLive);

impl<'a> Held<'a> {
    fn try_new(service: &'a ServiceLive, limit: usize) -> Option<Self> {
        let before = service.held.fetch_add(1, Ordering::Relaxed);
        let held = Self(service);
        (before < limit).then_some(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
