//! Services: settings, copies, moves, deletion, staged changes.

use crate::endpoint::Endpoint;

mod act;
mod changes;
mod create;
mod delete;
mod discard;
mod duplicate;
mod list;
mod list_all;
mod plan_deletion;
mod read;
mod relocate;
mod update;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        act::endpoint(),
        list::endpoint(),
        list_all::endpoint(),
        create::endpoint(),
        read::endpoint(),
        update::endpoint(),
        plan_deletion::endpoint(),
        delete::endpoint(),
        duplicate::endpoint(),
        relocate::endpoint(),
        changes::endpoint(),
        discard::endpoint(),
    ]
}
