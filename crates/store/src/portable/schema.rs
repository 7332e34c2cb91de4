//! What tables and columns there are, asked of the database itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::portable::cell::Kind;
use crate::{Dialect, Row as _, StoreError, Unit, row};

pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, Kind)>,
}

row! {
    struct ColumnRow {
        table_name: String,
        column_name: String,
        kind: String,
    }
}

row! {
    struct ReferenceRow {
        child: String,
        parent: String,
    }
}

/// Every table of the schema in use, those that others refer to first.
pub(crate) async fn tables(unit: &mut impl Unit) -> Result<Vec<Table>, StoreError> {
    let dialect = unit.dialect();
    // Catalogues are the databases' own.
    let columns = dialect.choose(
        "SELECT t.name AS table_name, c.name AS column_name, '' AS kind FROM sqlite_master t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid",
        "SELECT table_name::text AS table_name, column_name::text AS column_name, data_type::text AS kind FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations' ORDER BY table_name, ordinal_position",
    );
    let references = dialect.choose(
        "SELECT m.name AS child, f.\"table\" AS parent FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'",
        "SELECT c.relname::text AS child, p.relname::text AS parent FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
         JOIN pg_class p ON p.oid = k.confrelid WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace",
    );
    let mut found: BTreeMap<String, Vec<(String, Kind)>> = BTreeMap::new();
    for row in unit.rows(columns.to_owned(), Vec::new(), false).await? {
        let row = ColumnRow::read(&row)?;
        let kind = match dialect {
            Dialect::Sqlite => Kind::Any,
            Dialect::Postgres => Kind::of(&row.kind).ok_or_else(|| StoreError::Inconsistent {
                row: "information_schema.columns",
                column: row.column_name.clone(),
                id: row.table_name.clone(),
                reason: format!("no column of ours has the type {}", row.kind),
            })?,
        };
        found.entry(row.table_name).or_default().push((row.column_name, kind));
    }
    let mut parents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in unit.rows(references.to_owned(), Vec::new(), false).await? {
        let row = ReferenceRow::read(&row)?;
        if row.child != row.parent {
            parents.entry(row.child).or_default().insert(row.parent);
        }
    }
    Ok(ordered(found, &parents))
}

/// Parents before children; tables in a circle come last, in the order of their names.
fn ordered(mut found: BTreeMap<String, Vec<(String, Kind)>>, parents: &BTreeMap<String, BTreeSet<String>>) -> Vec<Table> {
    let mut tables = Vec::with_capacity(found.len());
    while !found.is_empty() {
        let ready = |name: &&String| parents.get(*name).is_none_or(|parents| parents.iter().all(|parent| !found.contains_key(parent)));
        let next = found.keys().find(ready).or_else(|| found.keys().next()).cloned();
        let Some((name, columns)) = next.and_then(|name| found.remove_entry(&name)) else { break };
        tables.push(Table { name, columns });
    }
    tables
}

/// The migrations that were applied.
pub(crate) async fn migrations(unit: &mut impl Unit) -> Result<Vec<i64>, StoreError> {
    let text = "SELECT version AS value FROM _sqlx_migrations ORDER BY version".to_owned();
    unit.rows(text, Vec::new(), false).await?.iter().map(|row| row.get("_sqlx_migrations", "value")).collect()
}
