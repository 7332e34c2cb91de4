//! The endpoints, one module per resource.

use crate::endpoint::Endpoint;

pub mod deployments;
pub mod logs;
pub mod organizations;
pub mod releases;
pub mod running;
pub mod runs;

/// Every endpoint of the API. The order is the order of the reference.
pub fn endpoints() -> Vec<Endpoint> {
    [
        organizations::endpoints(),
        running::endpoints(),
        deployments::endpoints(),
        releases::endpoints(),
        runs::endpoints(),
        logs::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
