//! All rows of one moment, while others go on writing.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};

use crate::database::Pool;
use crate::portable::{cell, file_error, file_name, schema};
use crate::{AnyRow, Dialect, Store, StoreError};

/// What an export holds.
#[derive(Debug, Clone)]
pub struct Exported {
    pub migrations: Vec<i64>,
    pub tables: Vec<ExportedTable>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExportedTable {
    pub name: String,
    pub rows: u64,
}

/// Writes every table into `folder`, as it was at one moment. Readers and writers are not held up.
///
/// # Errors
/// `Unavailable` when the database or the folder fails.
pub async fn export(store: &Store, folder: &Path) -> Result<Exported, StoreError> {
    let mut read = store.read().await?;
    let tables = schema::tables(&mut read).await?;
    let migrations = schema::migrations(&mut read).await?;
    let wrap = |error| store.shared.error(error);
    let mut exported = Vec::with_capacity(tables.len());
    match &store.shared.pool {
        Pool::Sqlite { readers, .. } => {
            // The first SELECT of a transaction fixes what all of it sees.
            let mut transaction = readers.begin().await.map_err(wrap)?;
            for table in &tables {
                let mut file = TableFile::create(folder, table)?;
                let text = select(table, Dialect::Sqlite);
                let mut rows = (&mut *transaction).fetch(AssertSqlSafe(text));
                while let Some(row) = rows.try_next().await.map_err(wrap)? {
                    file.put(&AnyRow::Sqlite(row), wrap)?;
                }
                drop(rows);
                exported.push(file.end()?);
            }
        }
        Pool::Postgres(pool) => {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let mut transaction = pool.begin_with(begin).await.map_err(wrap)?;
            for setting in ["SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"] {
                (&mut *transaction).execute(setting).await.map_err(wrap)?;
            }
            for table in &tables {
                let mut file = TableFile::create(folder, table)?;
                let text = select(table, Dialect::Postgres);
                let mut rows = sqlx::query(AssertSqlSafe(text)).fetch(&mut *transaction);
                while let Some(row) = rows.try_next().await.map_err(wrap)? {
                    file.put(&AnyRow::Postgres(row), wrap)?;
                }
                drop(rows);
                exported.push(file.end()?);
            }
        }
    }
    Ok(Exported { migrations, tables: exported })
}

fn select(table: &schema::Table, dialect: Dialect) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|(name, kind)| match dialect {
            Dialect::Sqlite => format!("\"{name}\""),
            Dialect::Postgres => kind.select(&format!("\"{name}\"")),
        })
        .collect();
    format!("SELECT {} FROM \"{}\"", columns.join(", "), table.name)
}

struct TableFile {
    name: String,
    columns: usize,
    rows: u64,
    file: BufWriter<std::fs::File>,
}

impl TableFile {
    fn create(folder: &Path, table: &schema::Table) -> Result<Self, StoreError> {
        let path = folder.join(file_name(&table.name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file_error)?;
        let mut file = BufWriter::new(file);
        let names: Vec<Value> = table.columns.iter().map(|(name, _)| Value::from(name.as_str())).collect();
        writeln!(file, "{}", Value::from(names)).map_err(file_error)?;
        Ok(Self { name: table.name.clone(), columns: table.columns.len(), rows: 0, file })
    }

    fn put(&mut self, row: &AnyRow, wrap: impl Fn(sqlx::Error) -> StoreError) -> Result<(), StoreError> {
        let cells = (0..self.columns).map(|place| cell::read(row, place)).collect::<Result<Vec<_>, _>>().map_err(wrap)?;
        self.rows += 1;
        writeln!(self.file, "{}", Value::from(cells)).map_err(file_error)
    }

    fn end(mut self) -> Result<ExportedTable, StoreError> {
        self.file.flush().map_err(file_error)?;
        Ok(ExportedTable { name: self.name, rows: self.rows })
    }
}
