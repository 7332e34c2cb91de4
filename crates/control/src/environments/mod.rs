//! Environments: copies of a project.

mod copy;
mod create;
mod delete;
mod duplicate;
mod read;
mod update;

pub(crate) use copy::{Copies, chosen};

use contract::projects::Environment;
use store::environments::EnvironmentRow;

use crate::named::unsigned;

pub(crate) fn shown(row: EnvironmentRow) -> Environment {
    Environment {
        id: row.id,
        project: row.project_id,
        slug: row.slug,
        name: row.name,
        kind: row.kind,
        is_default: row.is_default,
        version: unsigned(row.version),
        deleting: row.deleting_at.is_some(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
