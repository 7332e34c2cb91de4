//! Environments.

use crate::endpoint::Endpoint;

mod create;
mod delete;
mod duplicate;
mod list;
mod plan_deletion;
mod read;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        list::endpoint(),
        create::endpoint(),
        read::endpoint(),
        update::endpoint(),
        plan_deletion::endpoint(),
        delete::endpoint(),
        duplicate::endpoint(),
    ]
}
