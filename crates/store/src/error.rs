//! What can go wrong in storage, in words that a use case can act on.

use sqlx::error::ErrorKind;

use crate::backend::Names;

/// Why a unit of work or a query failed. `Display` is for logs, never for clients.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or cannot write now (down, disk full, no free connection). Try again later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Another unit was in the way (deadlock, serialization failure, lock time-out). The whole unit may be run again.
    #[error("another unit of work was in the way")]
    Contention(#[source] sqlx::Error),
    /// A unique index refused the row. `constraint` is its name, the same on both databases.
    #[error("{constraint} already holds such a row")]
    Conflict { constraint: String },
    /// A foreign key refused the change: what is referred to is gone, or is still referred to.
    #[error("a foreign key refused the change")]
    Reference,
    /// A check or a missing value refused the row: the caller let an invalid value through.
    #[error("{constraint} refused the row")]
    Refused { constraint: String },
    /// A row that the caller relies on is not there (in this organization).
    #[error("no such row in {row}")]
    NotFound { row: &'static str },
    /// The row was changed by another, or a lease was lost: its version or fence is not the caller's any more.
    #[error("{row} has been changed by another since it was read")]
    Stale { row: &'static str },
    /// What is stored cannot be understood.
    #[error("column {column} of {row} {id} is inconsistent: {reason}")]
    Inconsistent { row: &'static str, column: String, id: String, reason: String },
    /// The unit has failed before, or one of its calls was cancelled half-way: drop it.
    #[error("the unit of work is dead after its first error; nothing of it is kept")]
    UnitDead,
    /// A unit that changes something was to be committed without an audit entry.
    #[error("a unit of work that changes something needs an audit entry to be committed")]
    NotAudited,
    /// A `Read` was asked to run something that is not a query.
    #[error("a read unit runs SELECT and WITH only: {statement}")]
    ReadOnly { statement: String },
    #[error("migration failed: {0}")]
    Migration(String),
    #[error("not a database address: {reason}")]
    Address { reason: String },
    /// A mistake in a statement or in the mapping; never the user's fault.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl StoreError {
    /// True when the same unit, run again at once, may succeed.
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Contention(_))
    }

    /// True when a unique index of this name refused the row.
    pub fn is_conflict_of(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint } if constraint == name)
    }

    pub(crate) fn from_sqlx(error: sqlx::Error, names: &Names) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
                other => Self::Statement(other),
            };
        };
        let name = database.constraint().map(str::to_owned).unwrap_or_else(|| names.of_message(database.message()));
        match database.kind() {
            ErrorKind::UniqueViolation => return Self::Conflict { constraint: name },
            ErrorKind::ForeignKeyViolation => return Self::Reference,
            ErrorKind::CheckViolation | ErrorKind::NotNullViolation => return Self::Refused { constraint: name },
            _ => {}
        }
        let code = database.code().map(|code| code.into_owned()).unwrap_or_default();
        match class(&code) {
            Class::Contention => Self::Contention(error),
            Class::Unavailable => Self::Unavailable(error),
            Class::Other => Self::Statement(error),
        }
    }
}

enum Class {
    Contention,
    Unavailable,
    Other,
}

/// PostgreSQL gives five characters (SQLSTATE), SQLite an extended result code in decimal.
fn class(code: &str) -> Class {
    if code.len() == 5 && !code.starts_with("10") {
        return match (code, code.get(..2).unwrap_or("")) {
            ("40001" | "40P01" | "55P03" | "57014", _) => Class::Contention,
            (_, "08" | "53" | "57" | "58") => Class::Unavailable,
            _ => Class::Other,
        };
    }
    // The low byte is the primary code: 5 busy, 6 locked; 8 read-only, 10 I/O error, 13 full, 14 cannot open.
    match code.parse::<i64>().map(|code| code & 0xff) {
        Ok(5 | 6) => Class::Contention,
        Ok(8 | 10 | 13 | 14) => Class::Unavailable,
        _ => Class::Other,
    }
}
