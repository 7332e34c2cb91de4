//! Migrations: one source each (`migrations/NNNN_name.sql`, PostgreSQL's types), translated for each database.
//!
//! The rules of a source file:
//! - types are `uuid`, `text`, `bigint`, `boolean`, `timestamptz`, `jsonb`, `bytea`, `double precision`; others are refused;
//! - no `now()`, no defaults that compute: time and ids are parameters;
//! - a line that starts with `-- sqlite:` or `-- postgres:` is a statement (or part) for that database only;
//! - name what can be violated (`CREATE UNIQUE INDEX name`, `CONSTRAINT name CHECK`): the name reaches the caller;
//! - a file that has landed is never edited: add the next number. Expand first, contract a release later.
//!
//! For SQLite, types become its storage classes and tables STRICT. For PostgreSQL, `text` gets `COLLATE "C"`, so that
//! both databases sort and page by bytes.

use std::borrow::Cow;

use include_dir::{Dir, include_dir};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::database::Pool;
use crate::{Dialect, StoreError};

static SOURCES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../migrations");

/// Types that one of the databases lacks or that would read differently.
const REFUSED: &[&str] = &[
    "int",
    "integer",
    "smallint",
    "serial",
    "bigserial",
    "varchar",
    "char",
    "timestamp",
    "date",
    "time",
    "json",
    "numeric",
    "decimal",
    "real",
    "float",
    "now",
    "current_timestamp",
    "autoincrement",
    "blob",
    "datetime",
    "bool",
];

/// `up_to`: the last number that is applied.
pub(crate) async fn run(pool: &Pool, up_to: i64) -> Result<(), StoreError> {
    let result = match pool {
        Pool::Sqlite { writer, .. } => migrator(Dialect::Sqlite, up_to)?.run(writer).await,
        Pool::Postgres(pool) => migrator(Dialect::Postgres, up_to)?.run(pool).await,
    };
    result.map_err(|error| StoreError::Migration(error.to_string()))
}

/// The sources in order: number, name, text.
pub fn sources() -> Result<Vec<(i64, &'static str, &'static str)>, StoreError> {
    let mut sources = Vec::new();
    for file in SOURCES.files() {
        let Some(name) = file.path().to_str().and_then(|path| path.strip_suffix(".sql")) else { continue };
        let bad = |reason: &str| StoreError::Migration(format!("migrations/{name}.sql {reason}"));
        let (number, title) = name.split_once('_').ok_or_else(|| bad("is not named NNNN_name"))?;
        let number = number.parse().map_err(|_| bad("does not start with a number"))?;
        sources.push((number, title, file.contents_utf8().ok_or_else(|| bad("is not UTF-8"))?));
    }
    sources.sort_unstable();
    match sources.windows(2).find(|pair| matches!(pair, [one, other] if one.0 == other.0)) {
        Some(pair) => Err(StoreError::Migration(format!("two migrations have the number {}", pair[0].0))),
        None => Ok(sources),
    }
}

/// Number of the newest migration that this program knows.
///
/// # Errors
/// A source that is not named as the rules say.
pub fn newest() -> Result<i64, StoreError> {
    Ok(sources()?.last().map_or(0, |(number, _, _)| *number))
}

fn migrator(dialect: Dialect, up_to: i64) -> Result<Migrator, StoreError> {
    let mut migrations = Vec::new();
    for (number, title, source) in sources()?.into_iter().filter(|(number, _, _)| *number <= up_to) {
        let text = translate(source, dialect).map_err(|reason| StoreError::Migration(format!("{number:04}_{title}: {reason}")))?;
        let new =
            |text: String| Migration::new(number, Cow::Borrowed(title), MigrationType::Simple, AssertSqlSafe(text).into_sql_str(), false);
        let mut migration = new(text);
        // The checksum is the source's: a better translator must not look like an edited migration.
        migration.checksum = new(source.to_owned()).checksum;
        migrations.push(migration);
    }
    let mut migrator = Migrator::with_migrations(migrations);
    // The previous version must start on a newer schema (expand, then contract).
    migrator.set_ignore_missing(true);
    Ok(migrator)
}

/// The text for one database; an error names a type that the rules refuse.
pub fn translate(source: &str, dialect: Dialect) -> Result<String, String> {
    let mut text = String::with_capacity(source.len());
    for line in source.lines() {
        let own = dialect.choose("-- sqlite:", "-- postgres:");
        let foreign = dialect.choose("-- postgres:", "-- sqlite:");
        let start = line.trim_start();
        if let Some(statement) = start.strip_prefix(own) {
            text.push_str(statement);
        } else if start.starts_with("--") || start.starts_with(foreign) {
            continue;
        } else {
            text.push_str(&words(line, dialect)?);
        }
        text.push('\n');
    }
    if dialect == Dialect::Postgres {
        return Ok(text);
    }
    let statements = text.split_inclusive(';').map(|statement| {
        let is_table = statement.trim_start().to_ascii_uppercase().starts_with("CREATE TABLE");
        match statement.strip_suffix(';') {
            Some(body) if is_table => format!("{body} STRICT;"),
            _ => statement.to_owned(),
        }
    });
    Ok(statements.collect())
}

/// Maps the words of a line outside of quotes.
fn words(line: &str, dialect: Dialect) -> Result<String, String> {
    let mut result = String::with_capacity(line.len() + 8);
    for (place, piece) in line.split('\'').enumerate() {
        if place > 0 {
            result.push('\'');
        }
        if place % 2 == 1 {
            result.push_str(piece);
            continue;
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            result.push_str(map(word, dialect)?);
            let gap = tail.find(is_word).unwrap_or(tail.len());
            let (between, tail) = tail.split_at(gap);
            result.push_str(between);
            rest = tail;
        }
    }
    Ok(result)
}

/// Types are written in lower case, so a column may be called anything else; names of columns are not types.
fn map(word: &str, dialect: Dialect) -> Result<&str, String> {
    if REFUSED.contains(&word) {
        return Err(format!("`{word}` is not the same on both databases"));
    }
    Ok(match (word, dialect) {
        ("uuid" | "bytea", Dialect::Sqlite) => "BLOB",
        ("timestamptz" | "bigint" | "boolean", Dialect::Sqlite) => "INTEGER",
        ("jsonb" | "text", Dialect::Sqlite) => "TEXT",
        ("double", Dialect::Sqlite) => "REAL",
        ("precision", Dialect::Sqlite) => "",
        ("text", Dialect::Postgres) => "text COLLATE \"C\"",
        (other, _) => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_serves_both_databases() {
        let source = "-- a comment; with a semicolon\nCREATE TABLE t (\n    id uuid NOT NULL, name text DEFAULT 'uuid text', at timestamptz,\n    x double precision\n);\n-- sqlite: CREATE INDEX only_sqlite ON t (at);\n-- postgres: CREATE INDEX only_postgres ON t (at);\n";
        assert_eq!(
            translate(source, Dialect::Sqlite).unwrap(),
            "CREATE TABLE t (\n    id BLOB NOT NULL, name TEXT DEFAULT 'uuid text', at INTEGER,\n    x REAL \n) STRICT;\n CREATE INDEX only_sqlite ON t (at);\n"
        );
        assert_eq!(
            translate(source, Dialect::Postgres).unwrap(),
            "CREATE TABLE t (\n    id uuid NOT NULL, name text COLLATE \"C\" DEFAULT 'uuid text', at timestamptz,\n    x double precision\n);\n CREATE INDEX only_postgres ON t (at);\n"
        );
    }

    #[test]
    fn types_that_differ_are_refused() {
        assert!(translate("CREATE TABLE t (a integer);", Dialect::Sqlite).unwrap_err().contains("integer"));
        assert!(translate("CREATE TABLE t (a timestamptz DEFAULT now());", Dialect::Postgres).is_err());
    }

    #[test]
    fn every_source_translates() {
        for (_, _, source) in sources().unwrap() {
            translate(source, Dialect::Sqlite).unwrap();
            translate(source, Dialect::Postgres).unwrap();
        }
    }
}
