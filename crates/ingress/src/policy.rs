//! What the proxy does with a route's policy.

pub mod headers;
pub mod password;
