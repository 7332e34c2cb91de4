//! The HTTP server: routes from the endpoints' declarations, the gate around each, ordered shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::{App, HttpServer, web};
use control::Control;

use crate::endpoint::Endpoint;
use crate::gate::{Gate, gate};
use crate::host::Hosts;
use crate::openapi::ROOT;
use crate::pages::Document;
use crate::rate::{Limiter, Proven, Quotas};
use crate::routes::{Handlers, Table};

/// How long requests may go on after the stop was asked for.
const SHUTDOWN_SECONDS: u64 = 20;
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Time for the head of a request.
const CLIENT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub struct ServerConfig {
    pub listen: Vec<SocketAddr>,
    pub workers: usize,
    pub quotas: Quotas,
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Further names that the panel answers to, besides that of the base URL.
    pub hosts: Vec<String>,
    /// gzip answers.
    pub compress: bool,
}

/// Binds and starts the server. Answers the server (await it, stop it by its handle) and the bound addresses.
///
/// # Errors
/// When an address cannot be bound or an endpoint has no handler.
pub fn start(config: &ServerConfig, control: Control) -> anyhow::Result<(Server, Vec<SocketAddr>)> {
    let mut endpoints = crate::v1::endpoints();
    self_check(&endpoints)?;
    let document = Document::of(&crate::openapi::document(&endpoints));
    endpoints.iter_mut().for_each(Endpoint::forget_description);
    let routes = Arc::new(Table::new(endpoints)?);
    let gate_data = web::Data::new(Gate {
        hosts: Hosts::new(control.base_url(), &config.hosts),
        control,
        limiter: Limiter::new(config.quotas),
        proven: Proven::default(),
        routes: Arc::clone(&routes),
        trusted_proxies: config.trusted_proxies.clone(),
    });
    let compress = config.compress;
    let mut server = HttpServer::new(move || {
        App::new()
            .wrap(Condition::new(compress, Compress::default()))
            .wrap(from_fn(crate::front::front))
            .app_data(gate_data.clone())
            .app_data(web::Data::new(gate_data.control.clone()))
            .configure(|configuration| crate::pages::register(configuration, document.clone()))
            .service(web::scope(ROOT).wrap(from_fn(gate)).default_service(Handlers(Arc::clone(&routes))))
            .default_service(web::to(crate::pages::not_found))
    })
    .workers(config.workers.max(1))
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(CLIENT_REQUEST_TIMEOUT)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals();
    for address in &config.listen {
        server = server.bind(address)?;
    }
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}

/// A route without a handler, a path parameter that the access names and the path lacks, a doubled operation: none starts.
fn self_check(endpoints: &[Endpoint]) -> anyhow::Result<()> {
    let mut operations = std::collections::BTreeSet::new();
    for endpoint in endpoints {
        anyhow::ensure!(endpoint.route().is_some(), "{} has no handler", endpoint.operation);
        anyhow::ensure!(operations.insert(endpoint.operation), "{} is declared twice", endpoint.operation);
        if let crate::endpoint::Access::Resource { parameter, .. } = endpoint.access {
            anyhow::ensure!(
                endpoint.path_parameters().any(|name| name == parameter),
                "{}: the path has no parameter {parameter}",
                endpoint.operation
            );
        }
    }
    Ok(())
}
