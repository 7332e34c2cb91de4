//! From the text in a path to the resource and everything above it.
//!
//! Invariant: nothing here decides about access; [`crate::Control::actor`] does, right after. A text that is not an id of the
//! kind, a missing and a deleted resource are all `None`.
//!
//! To add a kind: a variant of [`Kind`], a function here with one query over the resource and its parents (JOINs; nothing
//! deleted), a line in [`locate`].

use domain::id::{
    CredentialId, DeploymentId, EnvironmentId, Id, OrganizationId, ProjectId, ReleaseId, RunId, ServiceId, UploadId, VolumeId,
};
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

/// By id, or `<organization>.<project>` in slugs.
async fn project(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let row = match text.parse::<ProjectId>() {
        Ok(id) => store::projects::find_any(unit, id).await?,
        Err(_) => project_by_slugs(unit, &text.split('.').collect::<Vec<_>>()).await?,
    };
    Ok(row.map(|row| Located {
        organization: row.organization_id,
        project: Some(row.id),
        environment: None,
        service: None,
        id: row.id.uuid(),
    }))
}

async fn project_by_slugs(unit: &mut Read, slugs: &[&str]) -> Result<Option<store::projects::ProjectRow>> {
    let [organization, project] = slugs else { return Ok(None) };
    let Some(organization) = organizations::find_by_slug(unit, organization).await? else { return Ok(None) };
    Ok(store::projects::find_by_slug(unit, organization.id, project).await?)
}

/// By id, or `<organization>.<project>.<environment>` in slugs.
async fn environment(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let row = match text.parse::<EnvironmentId>() {
        Ok(id) => store::environments::find_any(unit, id).await?,
        Err(_) => environment_by_slugs(unit, &text.split('.').collect::<Vec<_>>()).await?,
    };
    Ok(row.map(|row| Located {
        organization: row.organization_id,
        project: Some(row.project_id),
        environment: Some(row.id),
        service: None,
        id: row.id.uuid(),
    }))
}

async fn environment_by_slugs(unit: &mut Read, slugs: &[&str]) -> Result<Option<store::environments::EnvironmentRow>> {
    let [above @ .., environment] = slugs else { return Ok(None) };
    let Some(project) = project_by_slugs(unit, above).await? else { return Ok(None) };
    Ok(store::environments::find_by_slug(unit, project.organization_id, project.id, environment).await?)
}

/// By id, or `<organization>.<project>.<environment>.<service>` in slugs.
async fn service(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    if let Ok(id) = text.parse::<ServiceId>() {
        return of_service(unit, id, id.uuid()).await;
    }
    let slugs: Vec<&str> = text.split('.').collect();
    let [above @ .., service] = slugs.as_slice() else { return Ok(None) };
    let Some(environment) = environment_by_slugs(unit, above).await? else { return Ok(None) };
    match store::services::find_by_slug(unit, environment.organization_id, environment.id, service).await? {
        Some(row) => of_service(unit, row.id, row.id.uuid()).await,
        None => Ok(None),
    }
}

async fn credential(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let Ok(id) = text.parse::<CredentialId>() else { return Ok(None) };
    let row = store::credentials::find_any(unit, id).await?;
    Ok(row.map(|row| Located { organization: row.organization_id, project: None, environment: None, service: None, id: id.uuid() }))
}

async fn upload(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let Ok(id) = text.parse::<UploadId>() else { return Ok(None) };
    match store::uploads::find_any(unit, id).await? {
        Some(row) => of_service(unit, row.service_id, id.uuid()).await,
        None => Ok(None),
    }
}

async fn volume(unit: &mut Read, text: &str) -> Result<Option<Located>> {
    let Ok(id) = text.parse::<VolumeId>() else { return Ok(None) };
    match store::volumes::find_any(unit, id).await? {
        Some(row) => of_service(unit, row.service_id, id.uuid()).await,
        None => Ok(None),
    }
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
