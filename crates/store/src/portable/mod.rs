//! The whole database as files that either database reads: what a backup of the instance holds.
//!
//! One file per table, `TABLE.jsonl`: first the names of the columns, then a line per row. A cell is `null`, a number, a text,
//! `{"b": base64}` for bytes or `{"r": number}` for a real; times are microseconds since 1970, ids 16 bytes, JSON its text,
//! truth 0 or 1: what SQLite stores.
//!
//! **Never:** rows of two moments in one export; a row that is left out because it could not be read.

mod cell;
mod export;
mod import;
mod schema;
mod swap;

pub use export::{Exported, ExportedTable, export};
pub use import::import;
pub use swap::{InUse, drop_schema, make_schema, serving_processes, swap_schemas, tables_present};

use crate::StoreError;

pub(crate) fn file_error(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Io(error))
}

pub(crate) fn file_name(table: &str) -> String {
    format!("{table}.jsonl")
}
