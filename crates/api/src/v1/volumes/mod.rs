//! Volumes.

use crate::endpoint::Endpoint;

mod create;
mod delete;
mod list;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint(), create::endpoint(), delete::endpoint()]
}
