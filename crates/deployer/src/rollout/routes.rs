//! What the ingress is told about a service, and the look through it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};
use domain::service::WEB;
use ingress::client::ClientError;
use ingress::{Replica, RouteState, ServiceRoute};

use super::health;
use crate::state::{ServiceRecord, Serving};

/// Limit of one look through the ingress, and how often it is tried: an app may answer its first request slowly.
const SEEN_TIMEOUT: Duration = Duration::from_secs(5);
const SEEN_ATTEMPTS: u32 = 5;
const SEEN_PAUSE: Duration = Duration::from_millis(100);

/// The route of a service whose replicas have these addresses (container → address).
pub fn route(record: &ServiceRecord, serving: &Serving, addresses: &BTreeMap<String, IpAddr>) -> ServiceRoute {
    let replicas: Vec<Replica> = serving
        .replicas
        .iter()
        .filter(|replica| replica.process == WEB)
        .filter_map(|replica| {
            let address = SocketAddr::new(*addresses.get(&replica.container)?, serving.port);
            Some(Replica { id: replica.container.clone(), address, release: serving.version })
        })
        .collect();
    let wants_some = serving.replicas.iter().any(|replica| replica.process == WEB);
    let state = match (record.stopped, replicas.is_empty(), wants_some) {
        (true, ..) | (_, true, false) => RouteState::Stopped,
        (_, true, true) => RouteState::Crashed,
        (_, false, _) => RouteState::Serving,
    };
    let mut route = with_state(record, serving, state);
    if state == RouteState::Serving {
        route.replicas = replicas;
    }
    route
}

/// The route in a state without replicas.
pub fn with_state(record: &ServiceRecord, serving: &Serving, state: RouteState) -> ServiceRoute {
    let mut route = ServiceRoute::new(record.service.to_string(), record.fence, state);
    route.hosts.clone_from(&serving.hosts);
    route.body_bytes_max = serving.request_body_bytes_max;
    route.request_timeout_ms = u64::from(serving.request_timeout_seconds.max(1)) * 1000;
    route.drain_ms = (u64::from(serving.drain_seconds) * 1000).min(ingress::routes::DRAIN_MS_MAX);
    route
}

/// The ingress did not take the change; the message says which of the two has to be mended.
pub fn failure(step: Step, error: &ClientError) -> Failure {
    let next_step = match error {
        ClientError::HostConflict { .. } => "Remove the host from the other service, or from this one.",
        ClientError::StaleGeneration { .. } => "A newer deployment of this service is under way; nothing to do.",
        _ => "Check that the ingress runs on the server (`seaway doctor`), then deploy again.",
    };
    Failure::new(Cause::Ingress, step, format!("The routes could not be switched: {error}."), next_step)
}

/// One request with the service's host through the ingress. An answer of the app proves it, whatever its status; an answer
/// that the ingress made itself does not.
pub async fn seen_through(ingress: SocketAddr, host: &str, path: &str) -> Result<(), String> {
    let mut reason = String::new();
    for attempt in 0..SEEN_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(SEEN_PAUSE).await;
        }
        match tokio::time::timeout(SEEN_TIMEOUT, health::get(ingress, path, host)).await {
            Ok(Ok(answer)) => match answer.headers().get(ingress::ERROR_HEADER) {
                None => return Ok(()),
                Some(code) => reason = format!("the ingress answered {} ({})", answer.status(), code.to_str().unwrap_or_default()),
            },
            Ok(Err(error)) => reason = error,
            // The request reached the app, which takes its time: that is its own affair.
            Err(_) => return Ok(()),
        }
    }
    Err(reason)
}
