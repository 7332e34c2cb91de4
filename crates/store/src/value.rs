//! Values: how a Rust type goes into a statement and comes out of a row, the same on both databases.
//!
//! Times are whole microseconds since 1970 in SQLite (8 bytes, sort and compare as numbers) and `timestamptz` in
//! PostgreSQL. Ids and UUIDs are 16 bytes / `uuid`. Json is text / `jsonb`. Every whole number is a `bigint`.
//!
//! To store one more type: an id gets a line in [`id_values!`] below; an enum with serde string forms gets
//! `store::text_value!(Type);` in this crate (one line, see the end of this file).

use chrono::{DateTime, SubsecRound, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use uuid::Uuid;

use crate::row::{AnyRow, ReadError};

/// A value on its way into a statement. `None` is NULL, with the type that PostgreSQL wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    Boolean(Option<bool>),
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
    Time(Option<DateTime<Utc>>),
    Json(Option<serde_json::Value>),
}

/// What can be a parameter of a statement. Implemented for values, references to them and `Option`s of them.
pub trait Bind {
    fn parameter(self) -> Parameter;
    fn null() -> Parameter;
}

/// What can be read from a column.
pub trait Column: Sized {
    /// `None` when the column is NULL.
    fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError>;

    fn read(row: &AnyRow, column: &str) -> Result<Self, ReadError> {
        Self::read_optional(row, column)?.ok_or(ReadError::Null)
    }
}

impl<T: Bind> Bind for Option<T> {
    fn parameter(self) -> Parameter {
        self.map_or_else(T::null, T::parameter)
    }
    fn null() -> Parameter {
        T::null()
    }
}

impl<T: Bind + Clone> Bind for &T {
    fn parameter(self) -> Parameter {
        self.clone().parameter()
    }
    fn null() -> Parameter {
        T::null()
    }
}

impl<T: Column> Column for Option<T> {
    fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
        T::read_optional(row, column).map(Some)
    }
    fn read(row: &AnyRow, column: &str) -> Result<Self, ReadError> {
        T::read_optional(row, column)
    }
}

macro_rules! bind {
    ($($type:ty => $variant:ident, |$value:ident| $convert:expr;)*) => {$(
        impl Bind for $type {
            fn parameter(self) -> Parameter {
                let $value = self;
                Parameter::$variant(Some($convert))
            }
            fn null() -> Parameter {
                Parameter::$variant(None)
            }
        }
    )*};
}

bind! {
    bool => Boolean, |value| value;
    i64 => Integer, |value| value;
    i32 => Integer, |value| i64::from(value);
    u32 => Integer, |value| i64::from(value);
    u16 => Integer, |value| i64::from(value);
    f64 => Real, |value| value;
    String => Text, |value| value;
    &str => Text, |value| value.to_owned();
    Vec<u8> => Bytes, |value| value;
    &[u8] => Bytes, |value| value.to_vec();
    Uuid => Uuid, |value| value;
    DateTime<Utc> => Time, |value| value.trunc_subsecs(6);
    serde_json::Value => Json, |value| value;
}

impl<const N: usize> Bind for [u8; N] {
    fn parameter(self) -> Parameter {
        Parameter::Bytes(Some(self.to_vec()))
    }
    fn null() -> Parameter {
        Parameter::Bytes(None)
    }
}

/// Reads one column with the same Rust type from both databases.
macro_rules! column {
    ($($type:ty;)*) => {$(
        impl Column for $type {
            fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
                Ok(match row {
                    AnyRow::Sqlite(row) => row.try_get_unchecked(column)?,
                    AnyRow::Postgres(row) => row.try_get(column)?,
                })
            }
        }
    )*};
}

column! { bool; i64; f64; String; Vec<u8>; Uuid; }

macro_rules! narrow_column {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
                let wide = i64::read_optional(row, column)?;
                wide.map(|wide| {
                    wide.try_into().map_err(|_| ReadError::Value(format!("{wide} is out of range")))
                })
                .transpose()
            }
        }
    )*};
}

narrow_column!(i32, u32, u16);

impl Column for DateTime<Utc> {
    fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
        match row {
            AnyRow::Postgres(row) => Ok(row.try_get(column)?),
            AnyRow::Sqlite(row) => row
                .try_get_unchecked::<Option<i64>, _>(column)?
                .map(|micros| DateTime::from_timestamp_micros(micros).ok_or_else(|| ReadError::Value(format!("{micros} µs is not a time"))))
                .transpose(),
        }
    }
}

impl<const N: usize> Column for [u8; N] {
    fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
        let bytes = Vec::<u8>::read_optional(row, column)?;
        bytes
            .map(|bytes| {
                let length = bytes.len();
                bytes.try_into().map_err(|_| ReadError::Value(format!("{length} bytes where {N} belong")))
            })
            .transpose()
    }
}

/// A JSON column that holds a `T`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json<T>(pub T);

impl<T: Serialize> Bind for Json<T> {
    fn parameter(self) -> Parameter {
        // A type that JSON cannot express (a map with keys that are not text) is a mistake in the program; NULL makes the
        // NOT NULL constraint report it.
        Parameter::Json(serde_json::to_value(self.0).ok())
    }
    fn null() -> Parameter {
        Parameter::Json(None)
    }
}

impl<T: DeserializeOwned> Column for Json<T> {
    fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
        let wrong = |error: serde_json::Error| ReadError::Value(error.to_string());
        match row {
            // Straight from the text: half the work of a value in between.
            AnyRow::Sqlite(row) => {
                let text: Option<&str> = row.try_get_unchecked(column)?;
                text.map(|text| serde_json::from_str(text).map(Json).map_err(wrong)).transpose()
            }
            AnyRow::Postgres(row) => {
                let value: Option<serde_json::Value> = row.try_get(column)?;
                value.map(|value| serde_json::from_value(value).map(Json).map_err(wrong)).transpose()
            }
        }
    }
}

impl Column for serde_json::Value {
    fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
        match row {
            AnyRow::Postgres(row) => Ok(row.try_get(column)?),
            AnyRow::Sqlite(row) => row
                .try_get_unchecked::<Option<String>, _>(column)?
                .map(|text| serde_json::from_str(&text).map_err(|error| ReadError::Value(error.to_string())))
                .transpose(),
        }
    }
}

/// Typed ids as columns and parameters.
macro_rules! id_values {
    ($($type:ident),* $(,)?) => {$(
        impl Bind for domain::id::$type {
            fn parameter(self) -> Parameter {
                Parameter::Uuid(Some(domain::id::Id::uuid(self)))
            }
            fn null() -> Parameter {
                Parameter::Uuid(None)
            }
        }
        impl Column for domain::id::$type {
            fn read_optional(row: &AnyRow, column: &str) -> Result<Option<Self>, ReadError> {
                Ok(Uuid::read_optional(row, column)?.map(domain::id::Id::from_uuid))
            }
        }
    )*};
}

id_values!(
    AuditEntryId,
    CredentialId,
    DeploymentId,
    DomainId,
    EnvironmentId,
    InvitationId,
    JobId,
    MailId,
    OperationId,
    OrganizationId,
    ProjectId,
    ReleaseId,
    RequestId,
    RunId,
    ServerId,
    ServiceId,
    SessionId,
    TagId,
    TokenId,
    UploadId,
    UserId,
    VariableId,
    VolumeId,
);

/// Makes an enum with serde string forms storable as text: `text_value!(domain::service::ServiceKind);`
#[macro_export]
macro_rules! text_value {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::Bind for $type {
            fn parameter(self) -> $crate::Parameter {
                $crate::Parameter::Text($crate::text_of(&self))
            }
            fn null() -> $crate::Parameter {
                $crate::Parameter::Text(None)
            }
        }
        impl $crate::Column for $type {
            fn read_optional(row: &$crate::AnyRow, column: &str) -> Result<Option<Self>, $crate::ReadError> {
                <String as $crate::Column>::read_optional(row, column)?.map(|text| $crate::of_text(&text)).transpose()
            }
        }
    )*};
}

/// The serde string form of an enum's value; `None` for a variant that holds data.
pub fn text_of(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The enum's value of this serde string form.
pub fn of_text<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| ReadError::Value(format!("{text:?}: {error}")))
}
