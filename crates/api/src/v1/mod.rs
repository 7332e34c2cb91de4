//! The endpoints, one module per resource.

use crate::endpoint::Endpoint;

pub mod accounts;
pub mod audit;
pub mod credentials;
pub mod deployments;
pub mod domains;
pub mod environments;
pub mod files;
pub mod instance;
pub mod invitations;
pub mod logs;
pub mod members;
pub mod organizations;
pub mod overview;
pub mod projects;
pub mod releases;
pub mod running;
pub mod runs;
pub mod services;
pub mod tags;
pub mod tokens;
pub mod uploads;
pub mod variables;
pub mod volumes;

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
        overview::endpoints(),
        projects::endpoints(),
        environments::endpoints(),
        services::endpoints(),
        variables::endpoints(),
        files::endpoints(),
        domains::endpoints(),
        volumes::endpoints(),
        credentials::endpoints(),
        tags::endpoints(),
        uploads::endpoints(),
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
