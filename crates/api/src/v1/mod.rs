//! The endpoints, one module per resource.

use crate::endpoint::Endpoint;

pub mod organizations;

/// Every endpoint of the API. The order is the order of the reference.
pub fn endpoints() -> Vec<Endpoint> {
    [organizations::endpoints()].into_iter().flatten().collect()
}
