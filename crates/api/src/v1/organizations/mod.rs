//! Organizations.

use crate::endpoint::Endpoint;

mod accept_ownership;
mod create;
mod delete;
mod leave;
mod list;
mod offer_ownership;
mod plan_deletion;
mod read;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        accept_ownership::endpoint(),
        create::endpoint(),
        delete::endpoint(),
        plan_deletion::endpoint(),
        leave::endpoint(),
        list::endpoint(),
        offer_ownership::endpoint(),
        read::endpoint(),
        update::endpoint(),
    ]
}
