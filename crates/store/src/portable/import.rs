//! Rows of an export into a database of the same schema.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::backend::Want;
use crate::portable::cell::{self, Kind};
use crate::portable::{ExportedTable, file_error, file_name, schema};
use crate::{Parameter, Store, StoreError, Write};

/// Parameters of one statement: well below the limits of both databases.
const PARAMETERS_MAX: usize = 2_000;

/// Loads the tables of an export. The database has the schema of the export (its newest migration) and holds nothing that
/// is to stay: whatever its migrations put in is replaced.
///
/// # Errors
/// `Inconsistent` for a file that is not of this schema or has another number of rows than `tables` says.
pub async fn import(store: &Store, folder: &Path, tables: &[ExportedTable]) -> Result<(), StoreError> {
    let known = schema::tables(&mut store.read().await?).await?;
    if let Some(strange) = tables.iter().find(|table| !known.iter().any(|known| known.name == table.name)) {
        return Err(bad(&strange.name, "this version has no such table"));
    }
    let mut write = store.write().await?;
    for table in known.iter().rev() {
        write.run(format!("DELETE FROM \"{}\"", table.name), Vec::new(), Want::Affected).await?;
    }
    for table in &known {
        let Some(expected) = tables.iter().find(|other| other.name == table.name) else {
            return Err(bad(&table.name, "the backup does not hold this table"));
        };
        let rows = load(&mut write, folder, table).await?;
        if rows != expected.rows {
            return Err(bad(&table.name, &format!("{rows} rows where {} belong", expected.rows)));
        }
    }
    write.commit_without_audit("rows of a backup, audit log included").await
}

async fn load(write: &mut Write, folder: &Path, table: &schema::Table) -> Result<u64, StoreError> {
    let file = File::open(folder.join(file_name(&table.name))).map_err(file_error)?;
    let mut lines = BufReader::new(file).lines();
    let line = lines.next().transpose().map_err(file_error)?.unwrap_or_default();
    let names: Vec<String> = serde_json::from_str(&line).map_err(|error| bad(&table.name, &error.to_string()))?;
    let kinds: Vec<Kind> = names
        .iter()
        .map(|name| table.columns.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind))
        .collect::<Option<_>>()
        .filter(|kinds: &Vec<Kind>| kinds.len() == table.columns.len())
        .ok_or_else(|| bad(&table.name, "its columns are not those of this schema"))?;
    let at_once = (PARAMETERS_MAX / kinds.len().max(1)).max(1);
    let (mut rows, mut parameters) = (0u64, Vec::with_capacity(PARAMETERS_MAX));
    for line in lines {
        let line = line.map_err(file_error)?;
        let cells: Vec<Value> = serde_json::from_str(&line).map_err(|error| bad(&table.name, &error.to_string()))?;
        if cells.len() != kinds.len() {
            return Err(bad(&table.name, "a row has another number of columns"));
        }
        for ((cell, kind), name) in cells.iter().zip(&kinds).zip(&names) {
            parameters.push(cell::parameter(cell, *kind).ok_or_else(|| bad(&table.name, &format!("a value of {name} does not fit")))?);
        }
        rows += 1;
        if parameters.len() / kinds.len().max(1) >= at_once {
            insert(write, &table.name, &names, std::mem::take(&mut parameters)).await?;
        }
    }
    if !parameters.is_empty() {
        insert(write, &table.name, &names, parameters).await?;
    }
    Ok(rows)
}

async fn insert(write: &mut Write, table: &str, names: &[String], parameters: Vec<Parameter>) -> Result<(), StoreError> {
    let columns = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let width = names.len().max(1);
    let rows: Vec<String> = (0..parameters.len() / width)
        .map(|row| {
            let places: Vec<String> = (1..=width).map(|place| format!("${}", row * width + place)).collect();
            format!("({})", places.join(", "))
        })
        .collect();
    let text = format!("INSERT INTO \"{table}\" ({columns}) VALUES {}", rows.join(", "));
    write.run(text, parameters, Want::Affected).await.map(|_| ())
}

fn bad(table: &str, reason: &str) -> StoreError {
    StoreError::Inconsistent { row: "backup", column: table.to_owned(), id: String::new(), reason: reason.to_owned() }
}
