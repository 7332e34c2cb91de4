//! Services: settings, changes that wait, moves, copies, deletion. What runs is in [`crate::running`].

mod bulk;
mod changes;
mod check;
mod create;
mod delete;
mod duplicate;
mod merge;
mod read;
mod release;
mod relocate;
mod update;

pub(crate) use create::SERVICES_MAX;

use contract::services::Service;
use store::services::ServiceRow;

use crate::named::unsigned;
use crate::state::Control;

impl Control {
    /// The row as the API shows it.
    pub(crate) fn shown_service(&self, row: ServiceRow) -> Service {
        Service {
            draft: row.draft(),
            url: self.generated_url(&row.app_name),
            id: row.id,
            organization: row.organization_id,
            project: row.project_id,
            environment: row.environment_id,
            slug: row.slug,
            kind: row.kind,
            name: row.name,
            description: row.description,
            icon: row.icon,
            app_name: row.app_name,
            configuration: row.configuration.0,
            version: unsigned(row.version),
            current_release: row.current_release_id,
            stopped: row.stopped,
            deleting: row.deleting_at.is_some(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
