//! The audit log: every use case that changes something appends one record in its unit.
//!
//! In a use case: `self.record(&actor, "project.created").resource("project", id, Some(&name)).append(&mut write).await?;`
//! right before the commit (the chain's head is locked until the unit ends). Details hold no secret and no personal data.

mod denied;
mod read;
mod record;
mod retention;
pub mod stream;
mod verify;

pub use read::CSV_ROWS_MAX;
pub use record::{Recording, truncated};
pub use stream::SyslogTarget;
pub use verify::ChainReport;
