//! The audit log.

use crate::endpoint::Endpoint;

mod list;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint()]
}
