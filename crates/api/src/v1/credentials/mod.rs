//! Credentials for git hosts and registries.

use crate::endpoint::Endpoint;

mod create;
mod delete;
mod list;
mod read;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![create::endpoint(), delete::endpoint(), list::endpoint(), read::endpoint(), update::endpoint()]
}
