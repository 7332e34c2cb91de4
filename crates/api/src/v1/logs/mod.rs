//! Logs of services, deployments and runs.

use crate::endpoint::Endpoint;

mod read;
mod stream;

pub fn endpoints() -> Vec<Endpoint> {
    read::endpoints().into()
}
