//! Deployments and what makes them.

use crate::endpoint::Endpoint;

mod cancel;
mod clear_queue;
mod create;
mod delete;
mod list;
mod list_of_organization;
mod read;
mod restart;
mod rollback;
mod scale;
mod start;
mod stop;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        cancel::endpoint(),
        clear_queue::endpoint(),
        create::endpoint(),
        delete::endpoint(),
        list::endpoint(),
        list_of_organization::endpoint(),
        read::endpoint(),
        restart::endpoint(),
        rollback::endpoint(),
        scale::endpoint(),
        start::endpoint(),
        stop::endpoint(),
    ]
}
