//! What the proxy does with a route's policy: [`decide`] before a request is sent, [`decide::finish`] on its answer.
//!
//! To add a rule: a field in `routes::policy` with its check, its place in [`compiled`], its step in [`decide`].

pub mod address;
pub mod auth;
pub mod compiled;
pub mod compress;
pub mod cors;
pub mod decide;
pub mod headers;
pub mod negotiate;
pub mod password;
pub mod rate;
pub mod redirects;
