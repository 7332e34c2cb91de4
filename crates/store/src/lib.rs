//! Storage of the control plane: units of work and repositories over SQLite (default) and PostgreSQL.
//!
//! **Never:** a query on a tenant's table without the organization's id; a call to the outside while a [`Write`] is open;
//! a plain secret in a row (sealed by `vault`, or a digest); a database error turned into "nothing there"; a statement
//! written twice. Time and ids come in as parameters.
//!
//! # Add a repository or a table
//!
//! 1. **Table**: the next `migrations/NNNN_name.sql`, in PostgreSQL's types (rules: [`migrations`]). Name unique indexes:
//!    the name arrives as [`StoreError::Conflict`]. A column named like a credential must be sealed or a digest.
//! 2. **Data map**: one line per column in `migrations/data-map.toml`, then `UPDATE=1 cargo test -p store --test it data_map`.
//! 3. **Row and methods**: `src/projects.rs`, free functions; `find_` gives `Option`, `get_` gives `NotFound`, `list_` is
//!    paged. Lookups take `&mut impl Unit`, changes take `&mut Write`:
//!
//! ```
//! use chrono::{DateTime, Utc};
//! use domain::id::{OrganizationId, ProjectId};
//! use store::*;
//!
//! row! {
//!     pub struct ProjectRow {
//!         pub id: ProjectId,
//!         pub organization_id: OrganizationId,
//!         pub name: String,
//!         pub settings: Json<serde_json::Value>,
//!         pub created_at: DateTime<Utc>,
//!     }
//! }
//!
//! pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: ProjectId) -> Result<Option<ProjectRow>, StoreError> {
//!     fetch_optional!(unit, ProjectRow, "SELECT {columns} FROM projects WHERE organization_id = $1 AND id = $2", organization, id).await
//! }
//!
//! pub async fn list(unit: &mut impl Unit, organization: OrganizationId, prefix: Option<String>, page: &Page) -> Result<Listing<ProjectRow>, StoreError> {
//!     let filter = Filter::of("organization_id = ?", organization).and_some("name >= ?", prefix);
//!     fetch_page(unit, "SELECT {columns} FROM projects", filter, Order::Newest("created_at"), page).await
//! }
//!
//! pub async fn rename(write: &mut Write, organization: OrganizationId, id: ProjectId, name: &str) -> Result<(), StoreError> {
//!     let text = "UPDATE projects SET name = $3 WHERE organization_id = $1 AND id = $2";
//!     match execute!(write, text, organization, id, name).await? {
//!         0 => Err(StoreError::NotFound { row: "projects" }),
//!         _ => Ok(()),
//!     }
//! }
//! ```
//!
//! 4. **Tests** on both databases: `crates/store/tests/it/projects.rs`, `on_both(async |store| { … }).await`.
//!
//! A use case then reads `let mut write = store.write().await?; projects::rename(&mut write, …).await?;
//! audit::append(&mut write, …).await?; write.commit().await?`. Without the audit entry the commit is refused.
//!
//! # What the databases do differently, and how it is hidden
//!
//! - A unit that reads, decides and writes runs alone on SQLite. On PostgreSQL others run beside it: lock what you decide
//!   on with `SELECT … {for update}`, or a name with [`Write::exclusive`]. A unique index is the best lock.
//! - `{columns}` / `{p.columns}` stand for the row's columns; `count(*) AS value` is read as `(i64,)`.
//! - Sums of a `bigint` are `numeric` in PostgreSQL: `CAST(sum(x) AS bigint) AS value`.
//! - No arithmetic on times in SQL: compute the bound in Rust, compare with `<=` in SQL.
//! - Enums: `store::text_value!(domain::service::ServiceKind);` beside the other lines at the end of this file.

pub mod audit;
pub mod crashes;
pub mod credentials;
pub mod data_keys;
pub mod data_map;
pub mod deployments;
pub mod domains;
pub mod environments;
pub mod idempotency;
pub mod instance;
pub mod invitations;
pub mod jobs;
pub mod links;
pub mod mails;
pub mod master_keys;
pub mod memberships;
pub mod migrations;
pub mod operations;
pub mod organizations;
pub mod portable;
pub mod projects;
pub mod releases;
pub mod runs;
pub mod sealed;
pub mod search;
pub mod services;
pub mod sessions;
pub mod sight;
pub mod tags;
pub mod throttles;
pub mod tokens;
pub mod uploads;
pub mod users;
pub mod variables;
pub mod volumes;

mod backend;
mod database;
mod error;
mod page;
mod row;
mod standing;
mod statement;
mod unit;
mod value;

pub use backend::Dialect;
pub use database::{Durability, Store};
pub use error::StoreError;
pub use page::{
    Filter, InvalidPosition, Listing, NamedOrder, Order, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page, Position, count_rows, fetch_filtered,
    fetch_page,
};
pub use row::{AnyRow, ReadError, Row};
pub use sight::Sight;
pub use standing::Standing;
pub use unit::{Read, Unit, Write};
pub use value::{Bind, Column, Json, Parameter, of_text, text_of};

text_value!(data_keys::KeyState);
text_value!(domain::deployment::Phase, domain::deployment::SkipReason, domain::deployment::Step, domain::deployment::Trigger,);
text_value!(domain::permission::Role);
text_value!(instance::SignUp);
text_value!(links::LinkKind);
text_value!(mails::MailState);
text_value!(master_keys::MasterKeyState);
text_value!(
    domain::credential::CredentialKind,
    domain::project::EnvironmentKind,
    domain::service::ServiceKind,
    domain::variables::VariableKind,
    uploads::ArchiveFormat,
    variables::ScopeKind,
);
