//! The reverse proxy: a process of its own (`seaway ingress`) that outlives the control plane.
//!
//! It must never know tenants, never send a request to a replica that was taken out, never answer a host with another
//! service's app, and never serve a route that is not on disk.
//!
//! The road of a request: `proxy` (host and path → `index`), `arrival` (what is known of it), `policy::decide` (who may come),
//! `balance` (which replica), back through `policy::decide::finish` and counted by `seen`.
//!
//! To add a rule for a route, see `policy`. To add a state of a route: a variant of [`routes::RouteState`], its page in `pages`, its branch in `proxy`.

pub mod certificates;
pub mod client;
pub mod config;
pub mod host;
pub mod path;
pub mod routes;
pub mod wire;

mod acme;
mod admin;
mod admin_certificates;
mod arrival;
mod balance;
mod body;
mod certificate_book;
mod certificate_client;
mod certificates_start;
mod client_stream;
mod events;
mod frames;
mod front;
mod handover;
mod head_scan;
mod hygiene;
mod index;
mod key_text;
mod live;
mod pages;
mod persist;
mod phase;
mod policy;
mod pool;
mod process;
mod proxy;
mod proxy_protocol;
mod records;
mod registry;
mod request_id;
mod seen;
mod server;
mod tls;
mod traffic;
mod tunnel;
mod versions;
mod websocket_h2;

pub use client::{ClientError, IngressClient};
pub use config::{IngressConfig, Limits};
pub use handover::Received;
pub use key_text::KeyText;
pub use pages::{ERROR_HEADER, Page};
pub use process::{Ingress, run, run_after};
pub use routes::{AppProtocol, Canary, Place, Policy, Redirect, RedirectRule, Replica, RetryPolicy, RouteState, ServiceRoute};

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot open the admin socket {path}")]
    AdminSocket {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the sockets of the running ingress cannot be taken over")]
    TakeOver(#[source] std::io::Error),
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("cannot use the state folder {path}")]
    StateDir {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}
