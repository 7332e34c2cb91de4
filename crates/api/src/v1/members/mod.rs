//! Members of organizations.

use crate::endpoint::Endpoint;

mod list;
mod remove;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint(), remove::endpoint(), update::endpoint()]
}
