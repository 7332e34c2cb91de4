//! One-off commands and terminals.

use crate::endpoint::Endpoint;

mod cancel;
mod create;
mod create_terminal;
mod list;
mod read;
mod terminal;

pub fn endpoints() -> Vec<Endpoint> {
    vec![cancel::endpoint(), create::endpoint(), create_terminal::endpoint(), list::endpoint(), read::endpoint(), terminal::endpoint()]
}
