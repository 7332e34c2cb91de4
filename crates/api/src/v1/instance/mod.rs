//! The instance.

use crate::endpoint::Endpoint;

mod read;
mod read_public;
mod set_up;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![read::endpoint(), read_public::endpoint(), set_up::endpoint(), update::endpoint()]
}
