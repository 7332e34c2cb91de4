//! The organization at a glance, and search.

use crate::endpoint::Endpoint;

mod read;
mod search;

pub fn endpoints() -> Vec<Endpoint> {
    vec![read::endpoint(), search::endpoint()]
}
