//! Tags of projects.

use crate::endpoint::Endpoint;

mod assign;
mod assign_many;
mod create;
mod delete;
mod list;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![assign::endpoint(), assign_many::endpoint(), create::endpoint(), delete::endpoint(), list::endpoint(), update::endpoint()]
}
