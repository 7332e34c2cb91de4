//! The endpoints, one module per resource.

use crate::endpoint::Endpoint;

pub mod accounts;
pub mod audit;
pub mod deployments;
pub mod instance;
pub mod invitations;
pub mod logs;
pub mod members;
pub mod organizations;
pub mod releases;
pub mod running;
pub mod runs;
pub mod tokens;

/// Every endpoint of the API. The order is the order of the reference.
pub fn endpoints() -> Vec<Endpoint> {
    [
        instance::endpoints(),
        accounts::endpoints(),
        tokens::endpoints(),
        organizations::endpoints(),
        members::endpoints(),
        invitations::endpoints(),
        audit::endpoints(),
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
