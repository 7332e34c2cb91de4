//! Personal access tokens.

use crate::endpoint::Endpoint;

mod create;
mod list;
mod revoke;

pub fn endpoints() -> Vec<Endpoint> {
    vec![create::endpoint(), list::endpoint(), revoke::endpoint()]
}
