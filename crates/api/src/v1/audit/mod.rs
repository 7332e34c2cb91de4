//! The audit log.

use crate::endpoint::Endpoint;

mod list;
mod list_of_instance;

pub fn endpoints() -> Vec<Endpoint> {
    vec![list::endpoint(), list_of_instance::endpoint()]
}
