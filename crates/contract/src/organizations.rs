//! Organizations.

use chrono::{DateTime, Utc};
use domain::id::OrganizationId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    pub id: OrganizationId,
    /// Name in addresses: lower-case letters, digits, `-`.
    pub slug: String,
    pub name: String,
    pub created_at: DateTime<Utc>,
}
