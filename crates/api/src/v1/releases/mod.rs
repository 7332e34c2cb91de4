//! Releases.

use crate::endpoint::Endpoint;

mod list;
mod read;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint(), read::endpoint(), update::endpoint()]
}
