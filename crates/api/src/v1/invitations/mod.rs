//! Invitations.

use crate::endpoint::Endpoint;

mod accept;
mod create;
mod list;
mod revoke;

pub fn endpoints() -> Vec<Endpoint> {
    vec![accept::endpoint(), create::endpoint(), list::endpoint(), revoke::endpoint()]
}
