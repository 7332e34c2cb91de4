//! Managed files of services.

use crate::endpoint::Endpoint;

mod list;
mod set;
mod unset;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint(), set::endpoint(), unset::endpoint()]
}
