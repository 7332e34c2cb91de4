//! One value between the databases and JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde_json::{Value, json};
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};
use uuid::Uuid;

use crate::{AnyRow, Parameter};

/// What PostgreSQL holds in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Real,
    Text,
    Bytes,
    Uuid,
    Time,
    Json,
    /// Whatever the cell is: SQLite's columns.
    Any,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "bigint" => Self::Integer,
            "double precision" => Self::Real,
            "text" => Self::Text,
            "bytea" => Self::Bytes,
            "uuid" => Self::Uuid,
            "timestamp with time zone" => Self::Time,
            "jsonb" => Self::Json,
            _ => return None,
        })
    }

    /// How PostgreSQL gives the column in the form of SQLite.
    pub(crate) fn select(self, column: &str) -> String {
        match self {
            Self::Boolean => format!("CAST(CAST({column} AS int) AS bigint)"),
            Self::Uuid => format!("uuid_send({column})"),
            Self::Time => format!("CAST(extract(epoch FROM {column}) * 1000000 AS bigint)"),
            Self::Json => format!("CAST({column} AS text)"),
            _ => column.to_owned(),
        }
    }
}

/// A column of a row in JSON; `None` for a type that no column of ours has.
pub(crate) fn read(row: &AnyRow, place: usize) -> Result<Value, sqlx::Error> {
    let bytes = |bytes: Vec<u8>| json!({ "b": STANDARD.encode(bytes) });
    match row {
        AnyRow::Sqlite(row) => {
            let raw = row.try_get_raw(place)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            Ok(match raw.type_info().name() {
                "INTEGER" | "BOOLEAN" => json!(row.try_get_unchecked::<i64, _>(place)?),
                "REAL" => json!({ "r": row.try_get_unchecked::<f64, _>(place)? }),
                "BLOB" => bytes(row.try_get_unchecked(place)?),
                _ => json!(row.try_get_unchecked::<String, _>(place)?),
            })
        }
        AnyRow::Postgres(row) => {
            let raw = row.try_get_raw(place)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            Ok(match raw.type_info().name() {
                "INT8" => json!(row.try_get::<i64, _>(place)?),
                "FLOAT8" => json!({ "r": row.try_get::<f64, _>(place)? }),
                "BYTEA" => bytes(row.try_get(place)?),
                _ => json!(row.try_get::<String, _>(place)?),
            })
        }
    }
}

/// A cell as a parameter for a column of this kind; `None` when it does not fit.
pub(crate) fn parameter(cell: &Value, kind: Kind) -> Option<Parameter> {
    let bytes = || STANDARD.decode(cell.get("b")?.as_str()?).ok();
    let integer = || cell.as_i64();
    let text = || cell.as_str();
    let null = cell.is_null();
    Some(match kind {
        Kind::Any if null => Parameter::Integer(None),
        Kind::Any => match cell {
            Value::Number(_) => Parameter::Integer(Some(integer()?)),
            Value::String(text) => Parameter::Text(Some(text.clone())),
            Value::Object(_) if cell.get("r").is_some() => Parameter::Real(Some(cell.get("r")?.as_f64()?)),
            Value::Object(_) => Parameter::Bytes(Some(bytes()?)),
            _ => return None,
        },
        Kind::Boolean if null => Parameter::Boolean(None),
        Kind::Boolean => Parameter::Boolean(Some(integer()? != 0)),
        Kind::Integer if null => Parameter::Integer(None),
        Kind::Integer => Parameter::Integer(Some(integer()?)),
        Kind::Real if null => Parameter::Real(None),
        Kind::Real => Parameter::Real(Some(cell.get("r")?.as_f64()?)),
        Kind::Text if null => Parameter::Text(None),
        Kind::Text => Parameter::Text(Some(text()?.to_owned())),
        Kind::Bytes if null => Parameter::Bytes(None),
        Kind::Bytes => Parameter::Bytes(Some(bytes()?)),
        Kind::Uuid if null => Parameter::Uuid(None),
        Kind::Uuid => Parameter::Uuid(Some(Uuid::from_slice(&bytes()?).ok()?)),
        Kind::Time if null => Parameter::Time(None),
        Kind::Time => Parameter::Time(Some(DateTime::from_timestamp_micros(integer()?)?)),
        Kind::Json if null => Parameter::Json(None),
        Kind::Json => Parameter::Json(Some(serde_json::from_str(text()?).ok()?)),
    })
}
