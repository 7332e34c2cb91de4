//! What a member is to see: checked to be the organization's own, and complete upwards.

use std::collections::BTreeSet;

use domain::id::OrganizationId;
use store::{Sight, Unit, environments, projects, services};

use crate::error::{ControlError, Result};

/// Ids in one list.
const LIST_LENGTH_MAX: usize = 500;

/// The lists with what stands above their members added, so that the way to them is open.
///
/// # Errors
/// `Invalid` with the list and the id for what is not the organization's.
pub(super) async fn valid(unit: &mut impl Unit, organization: OrganizationId, mut sight: Sight) -> Result<Sight> {
    if let Some(list) = &sight.services {
        check_length("/services", list.len())?;
        let mut above = BTreeSet::new();
        for id in list {
            let row = services::find(unit, organization, *id).await?.ok_or_else(|| foreign("/services", id))?;
            above.insert(row.environment_id);
        }
        sight.environments.get_or_insert_default().extend(above);
    }
    if let Some(list) = &sight.environments {
        check_length("/environments", list.len())?;
        let mut above = BTreeSet::new();
        for id in list {
            let row = environments::find(unit, organization, *id).await?.ok_or_else(|| foreign("/environments", id))?;
            above.insert(row.project_id);
        }
        sight.projects.get_or_insert_default().extend(above);
    }
    if let Some(list) = &sight.projects {
        check_length("/projects", list.len())?;
        for id in list {
            projects::find(unit, organization, *id).await?.ok_or_else(|| foreign("/projects", id))?;
        }
    }
    Ok(sight)
}

fn check_length(pointer: &str, length: usize) -> Result<()> {
    if length <= LIST_LENGTH_MAX {
        return Ok(());
    }
    Err(ControlError::invalid(pointer, "too-many", format!("at most {LIST_LENGTH_MAX}; leave the list out to allow all")))
}

fn foreign(pointer: &str, id: &impl ToString) -> ControlError {
    ControlError::invalid(pointer, "not-found", format!("the organization has no {}", id.to_string()))
}
