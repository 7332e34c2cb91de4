//! The two drivers behind one face: binding parameters, running a text, naming SQLite's constraints.

use std::collections::HashMap;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{AssertSqlSafe, Executor};

use crate::{AnyRow, Parameter};

/// Which database a store runs on; for the few statements that must differ, each with a comment that says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub fn choose<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }
}

/// What a run of a statement gives back.
pub(crate) enum Outcome {
    Rows(Vec<AnyRow>),
    Affected(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    All,
    First,
    Affected,
}

pub(crate) async fn run_sqlite<'c>(
    executor: impl Executor<'c, Database = Sqlite>,
    text: String,
    parameters: Vec<Parameter>,
    want: Want,
) -> Result<Outcome, sqlx::Error> {
    let mut query: Query<'_, Sqlite, SqliteArguments> = sqlx::query(AssertSqlSafe(text));
    for parameter in parameters {
        query = match parameter {
            Parameter::Boolean(value) => query.bind(value),
            Parameter::Integer(value) => query.bind(value),
            Parameter::Real(value) => query.bind(value),
            Parameter::Text(value) => query.bind(value),
            Parameter::Bytes(value) => query.bind(value),
            Parameter::Uuid(value) => query.bind(value),
            Parameter::Time(value) => query.bind(value.map(|time| time.timestamp_micros())),
            Parameter::Json(value) => query.bind(value.map(|json| json.to_string())),
        };
    }
    Ok(match want {
        Want::All => Outcome::Rows(query.fetch_all(executor).await?.into_iter().map(AnyRow::Sqlite).collect()),
        Want::First => Outcome::Rows(query.fetch_optional(executor).await?.into_iter().map(AnyRow::Sqlite).collect()),
        Want::Affected => Outcome::Affected(query.execute(executor).await?.rows_affected()),
    })
}

pub(crate) async fn run_postgres<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    text: String,
    parameters: Vec<Parameter>,
    want: Want,
) -> Result<Outcome, sqlx::Error> {
    let mut query: Query<'_, Postgres, PgArguments> = sqlx::query(AssertSqlSafe(text));
    for parameter in parameters {
        query = match parameter {
            Parameter::Boolean(value) => query.bind(value),
            Parameter::Integer(value) => query.bind(value),
            Parameter::Real(value) => query.bind(value),
            Parameter::Text(value) => query.bind(value),
            Parameter::Bytes(value) => query.bind(value),
            Parameter::Uuid(value) => query.bind(value),
            Parameter::Time(value) => query.bind(value),
            Parameter::Json(value) => query.bind(value),
        };
    }
    Ok(match want {
        Want::All => Outcome::Rows(query.fetch_all(executor).await?.into_iter().map(AnyRow::Postgres).collect()),
        Want::First => Outcome::Rows(query.fetch_optional(executor).await?.into_iter().map(AnyRow::Postgres).collect()),
        Want::Affected => Outcome::Affected(query.execute(executor).await?.rows_affected()),
    })
}

/// SQLite tells the columns of a violated index, PostgreSQL its name: this maps the first to the second.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_columns: HashMap<String, String>,
}

impl Names {
    /// `(table, index, origin, columns)`: origin is `pk`, `u` or `c` as in `pragma_index_list`.
    pub(crate) fn new(indexes: impl Iterator<Item = (String, String, String, Vec<String>)>) -> Self {
        let by_columns = indexes
            .map(|(table, index, origin, columns)| {
                let key = columns.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
                let name = match origin.as_str() {
                    "pk" => format!("{table}_pkey"),
                    "u" => format!("{table}_{}_key", columns.join("_")),
                    _ => index,
                };
                (key, name)
            })
            .collect();
        Self { by_columns }
    }

    /// The constraint's name out of "UNIQUE constraint failed: organizations.slug" and the like.
    pub(crate) fn of_message(&self, message: &str) -> String {
        let subject = message.rsplit_once("constraint failed: ").map_or(message, |(_, subject)| subject);
        let subject = subject.strip_prefix("index ").unwrap_or(subject).trim_matches('\'');
        self.by_columns.get(subject).cloned().unwrap_or_else(|| subject.to_owned())
    }
}
