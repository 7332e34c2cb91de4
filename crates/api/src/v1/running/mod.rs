//! What really runs.

use crate::endpoint::Endpoint;

mod clean_up;
mod plan_cleanup;
mod status;

pub fn endpoints() -> Vec<Endpoint> {
    vec![clean_up::endpoint(), plan_cleanup::endpoint(), status::endpoint()]
}
