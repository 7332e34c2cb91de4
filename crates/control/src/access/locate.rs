//! From the text in a path to the resource and everything above it.
//!
//! Invariant: nothing here decides about access; [`crate::Control::actor`] does, right after. A text that is not an id of the
//! kind, a missing and a deleted resource are all `None`.
//!
//! To add a kind: a variant of [`Kind`], a function here with one query over the resource and its parents (JOINs; nothing
//! deleted), a line in [`locate`].

use domain::id::{DeploymentId, Id, OrganizationId, ReleaseId, RunId, ServiceId};
use store::{Read, organizations};

use super::{Kind, Located};
use crate::error::Result;

pub(super) async fn locate(unit: &mut Read, kind: Kind, text: &str) -> Result<Option<Located>> {
    match kind {
        Kind::Organization => organization(unit, text).await,
        Kind::Project => project(unit, text).await,
        Kind::Environment => environment(unit, text).await,
        Kind::Service => service(unit, text).await,
        Kind::Deployment => deployment(unit, text).await,
        Kind::Release => release(unit, text).await,
        Kind::Run => run(unit, text).await,
        Kind::Credential => credential(unit, text).await,
        Kind::Upload => upload(unit, text).await,
        Kind::Volume => volume(unit, text).await,
    }
}

/// By id or slug. An id needs no query: whether it lives, the membership tells.
async fn organization(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let id = match text.parse::<OrganizationId>() {
        Ok(id) => Some(id),
        Err(_) => organizations::find_by_slug(unit, text).await?.map(|row| row.id),
    };
    Ok(id.map(|id| Located { organization: id, project: None, environment: None, service: None, id: id.uuid() }))
}

// Filled in by the projects vertical.

async fn project(_unit: &mut Read, _text: &str) -> Result<Option<Located>> {
    Ok(None)
}

async fn environment(_unit: &mut Read, _text: &str) -> Result<Option<Located>> {
    Ok(None)
}

async fn service(_unit: &mut Read, _text: &str) -> Result<Option<Located>> {
    Ok(None)
}

async fn credential(_unit: &mut Read, _text: &str) -> Result<Option<Located>> {
    Ok(None)
}

async fn upload(_unit: &mut Read, _text: &str) -> Result<Option<Located>> {
    Ok(None)
}

async fn volume(_unit: &mut Read, _text: &str) -> Result<Option<Located>> {
    Ok(None)
}

async fn deployment(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let Ok(id) = text.parse::<DeploymentId>() else { return Ok(None) };
    match store::deployments::find_any(unit, id).await? {
        Some(row) => of_service(unit, row.service_id, id.uuid()).await,
        None => Ok(None),
    }
}

async fn release(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let Ok(id) = text.parse::<ReleaseId>() else { return Ok(None) };
    match store::releases::find_any(unit, id).await? {
        Some(row) => of_service(unit, row.service_id, id.uuid()).await,
        None => Ok(None),
    }
}

async fn run(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let Ok(id) = text.parse::<RunId>() else { return Ok(None) };
    match store::runs::find_any(unit, id).await? {
        Some(row) => of_service(unit, row.service_id, id.uuid()).await,
        None => Ok(None),
    }
}

/// What belongs to a service is where the service is.
async fn of_service(unit: &mut Read, service: ServiceId, id: uuid::Uuid) -> Result<Option<Located>> {
    Ok(store::services::find_any(unit, service).await?.map(|row| Located {
        organization: row.organization_id,
        project: Some(row.project_id),
        environment: Some(row.environment_id),
        service: Some(row.id),
        id,
    }))
}
