//! Rows: structs whose fields are the columns of a query, by name.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::{Column, StoreError};

/// A row of either database.
pub enum AnyRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Why a column could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("is NULL")]
    Null,
    #[error("{0}")]
    Value(String),
    #[error(transparent)]
    Driver(#[from] sqlx::Error),
}

/// A struct that is made from the columns of the same names; write it with [`row!`](crate::row).
pub trait Row: Sized + Send {
    const NAME: &'static str;
    const COLUMNS: &'static [&'static str];
    fn read(row: &AnyRow) -> Result<Self, StoreError>;
}

impl AnyRow {
    /// One column; an unreadable one is reported with the row's name and id.
    pub fn get<T: Column>(&self, row: &'static str, column: &str) -> Result<T, StoreError> {
        T::read(self, column).map_err(|error| StoreError::Inconsistent {
            row,
            column: column.to_owned(),
            id: Uuid::read(self, "id").map(|id| id.to_string()).unwrap_or_default(),
            reason: error.to_string(),
        })
    }
}

/// Declares a row: `row! { pub struct ProjectRow { pub id: ProjectId, pub name: String } }`.
///
/// Generates the struct (`Debug`, `Clone` added) and how to read it. `{columns}` in a statement stands for its columns.
/// Rows hold ciphertexts and digests only, never a plain secret, so `Debug` cannot show one.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field_visibility:vis $field:ident : $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $visibility struct $name { $($(#[$field_meta])* $field_visibility $field: $type),* }

        impl $crate::Row for $name {
            const NAME: &'static str = stringify!($name);
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];
            fn read(row: &$crate::AnyRow) -> Result<Self, $crate::StoreError> {
                Ok(Self { $($field: row.get(Self::NAME, stringify!($field))?),* })
            }
        }
    };
}

/// A single column is a row too: `fetch_one!(unit, (i64,), "SELECT count(*) AS value FROM …")` reads column `value`.
impl<T: Column + Send> Row for (T,) {
    const NAME: &'static str = "value";
    const COLUMNS: &'static [&'static str] = &["value"];
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        Ok((row.get(Self::NAME, "value")?,))
    }
}
