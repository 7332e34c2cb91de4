//! What really runs.

use crate::endpoint::Endpoint;

mod status;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        status::endpoint(),
    ]
}
