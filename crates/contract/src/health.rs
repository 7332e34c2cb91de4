//! Health of the instance, each part separately.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    pub ok: bool,
    pub parts: Vec<PartHealth>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PartHealth {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}
