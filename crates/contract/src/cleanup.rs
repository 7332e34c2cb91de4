//! Cleaning up the server: only what Seaway made and nothing can return to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Cleanup {
    /// What was removed, or would be.
    pub removed: Vec<String>,
    pub repaired: Vec<String>,
    pub bytes_freed: u64,
}
