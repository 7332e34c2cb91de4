//! Uploaded archives.

use crate::endpoint::Endpoint;

mod create;
mod delete;
mod list;

pub fn endpoints() -> Vec<Endpoint> {
    vec![create::endpoint(), delete::endpoint(), list::endpoint()]
}
