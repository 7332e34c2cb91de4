//! Hosts of services.

use crate::endpoint::Endpoint;

mod add;
mod list;
mod list_all;
mod primary;
mod remove;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint(), list_all::endpoint(), add::endpoint(), remove::endpoint(), primary::endpoint()]
}
