//! People.

use chrono::{DateTime, Utc};
use domain::id::UserId;

use crate::*;

row! {
    pub struct UserRow {
        pub id: UserId,
        pub email: String,
        /// What is compared: see [`email_key`].
        pub email_key: String,
        pub name: String,
        /// A PHC string; `None` for a deleted account.
        pub password_hash: Option<String>,
        pub email_verified_at: Option<DateTime<Utc>>,
        pub operator: bool,
        pub settings: Json<serde_json::Value>,
        pub version: i64,
        pub password_changed_at: Option<DateTime<Utc>>,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub deleted_at: Option<DateTime<Utc>>,
    }
}

/// The form in which addresses are compared: trimmed, lower case.
pub fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

pub async fn find(unit: &mut impl Unit, id: UserId) -> Result<Option<UserRow>, StoreError> {
    fetch_optional!(unit, UserRow, "SELECT {columns} FROM users WHERE id = $1 AND deleted_at IS NULL", id).await
}

/// Locks the row until the unit ends.
pub async fn get_for_update(write: &mut Write, id: UserId) -> Result<UserRow, StoreError> {
    fetch_one!(write, UserRow, "SELECT {columns} FROM users WHERE id = $1 AND deleted_at IS NULL {for update}", id).await
}

pub async fn find_by_email(unit: &mut impl Unit, key: &str) -> Result<Option<UserRow>, StoreError> {
    fetch_optional!(unit, UserRow, "SELECT {columns} FROM users WHERE email_key = $1 AND deleted_at IS NULL", key).await
}

/// Whether the instance has been set up: somebody operates it.
pub async fn has_operator(unit: &mut impl Unit) -> Result<bool, StoreError> {
    Ok(count_operators(unit).await? > 0)
}

pub async fn count_operators(unit: &mut impl Unit) -> Result<i64, StoreError> {
    Ok(fetch_one!(unit, (i64,), "SELECT count(*) AS value FROM users WHERE operator AND deleted_at IS NULL").await?.0)
}

/// # Errors
/// `Conflict` of `users_email_key` when the address has an account.
pub async fn insert(write: &mut Write, row: &UserRow) -> Result<(), StoreError> {
    let text = "INSERT INTO users (id, email, email_key, name, password_hash, email_verified_at, operator, settings, version, \
                password_changed_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $10)";
    execute!(
        write,
        text,
        row.id,
        &row.email,
        &row.email_key,
        &row.name,
        &row.password_hash,
        row.email_verified_at,
        row.operator,
        &row.settings,
        row.password_changed_at,
        row.created_at
    )
    .await
    .map(|_| ())
}

/// Changes name and settings.
pub async fn update_profile(
    write: &mut Write,
    id: UserId,
    name: &str,
    settings: &serde_json::Value,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE users SET name = $2, settings = $3, updated_at = $4, version = version + 1 WHERE id = $1 AND deleted_at IS NULL";
    one(execute!(write, text, id, name, settings, now).await?)
}

pub async fn update_password(write: &mut Write, id: UserId, hash: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE users SET password_hash = $2, password_changed_at = $3, updated_at = $3, version = version + 1 \
                WHERE id = $1 AND deleted_at IS NULL";
    one(execute!(write, text, id, hash, now).await?)
}

pub async fn mark_verified(write: &mut Write, id: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE users SET email_verified_at = $2, updated_at = $2, version = version + 1 WHERE id = $1 AND deleted_at IS NULL";
    one(execute!(write, text, id, now).await?)
}

/// A new, verified address.
///
/// # Errors
/// `Conflict` of `users_email_key` when another account has it.
pub async fn update_email(write: &mut Write, id: UserId, email: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4, updated_at = $4, version = version + 1 \
                WHERE id = $1 AND deleted_at IS NULL";
    one(execute!(write, text, id, email.trim(), email_key(email), now).await?)
}

/// Empties every personal column; the id stays for the audit log.
pub async fn erase(write: &mut Write, id: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE users SET email = '', email_key = $2, name = '', password_hash = NULL, email_verified_at = NULL, operator = $3, \
                settings = $4, updated_at = $5, deleted_at = $5, version = version + 1 WHERE id = $1 AND deleted_at IS NULL";
    one(execute!(write, text, id, format!("deleted:{id}"), false, serde_json::json!({}), now).await?)
}

/// Addresses of several people, for lists.
pub async fn email_of(unit: &mut impl Unit, id: UserId) -> Result<Option<String>, StoreError> {
    Ok(fetch_optional!(unit, (String,), "SELECT email AS value FROM users WHERE id = $1", id).await?.map(|(email,)| email))
}

fn one(changed: u64) -> Result<(), StoreError> {
    match changed {
        0 => Err(StoreError::NotFound { row: "users" }),
        _ => Ok(()),
    }
}
