//! Organizations.

mod read;

use contract::organizations::Organization;
use store::organizations::OrganizationRow;

/// The row as the API shows it.
pub(crate) fn shown(row: OrganizationRow) -> Organization {
    Organization { id: row.id, slug: row.slug, name: row.name, created_at: row.created_at }
}
