//! Logs of services, deployments and runs.

use crate::endpoint::Endpoint;

mod of_deployment;
mod of_run;
mod of_service;
mod stream;

pub fn endpoints() -> Vec<Endpoint> {
    vec![of_deployment::endpoint(), of_run::endpoint(), of_service::endpoint()]
}
