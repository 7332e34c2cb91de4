//! Organizations.

use crate::endpoint::Endpoint;

mod read;

pub fn endpoints() -> Vec<Endpoint> {
    vec![read::endpoint()]
}
