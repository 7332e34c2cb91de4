//! Tags of projects.

use crate::endpoint::Endpoint;

mod assign;
mod create;
mod delete;
mod list;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![assign::endpoint(), create::endpoint(), delete::endpoint(), list::endpoint(), update::endpoint()]
}
