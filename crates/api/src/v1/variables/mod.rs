//! Variables of projects, environments and services: the same verbs on each level.

use crate::endpoint::Endpoint;

mod change;
mod export;
mod import;
mod level;
mod list;
mod replace;
mod restore;
mod reveal;
mod set;
mod unset;
mod versions;

pub fn endpoints() -> Vec<Endpoint> {
    [
        list::endpoints(),
        change::endpoints(),
        replace::endpoints(),
        set::endpoints(),
        unset::endpoints(),
        import::endpoints(),
        reveal::endpoints(),
        versions::endpoints(),
        restore::endpoints(),
        export::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
