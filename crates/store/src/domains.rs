//! Custom domains of services. The generated host of a service is not stored.

use chrono::{DateTime, Utc};
use domain::id::{DomainId, OrganizationId, ServiceId};

use crate::*;

row! {
    pub struct DomainRow {
        pub id: DomainId,
        pub organization_id: OrganizationId,
        pub service_id: ServiceId,
        /// Lower case, IDNA applied.
        pub host: String,
        pub is_primary: bool,
        pub created_at: DateTime<Utc>,
    }
}

/// # Errors
/// `Conflict` of `domains_host` when the host has an owner, whoever it is.
pub async fn insert(write: &mut Write, row: &DomainRow) -> Result<(), StoreError> {
    let text = "INSERT INTO domains (id, organization_id, service_id, host, is_primary, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    execute!(write, text, row.id, row.organization_id, row.service_id, &row.host, row.is_primary, row.created_at).await.map(|_| ())
}

/// All of a service, the primary one first, then oldest first.
pub async fn all_of_service(unit: &mut impl Unit, organization: OrganizationId, service: ServiceId) -> Result<Vec<DomainRow>, StoreError> {
    let text = "SELECT {columns} FROM domains WHERE organization_id = $1 AND service_id = $2 ORDER BY is_primary DESC, created_at, id";
    fetch_all!(unit, DomainRow, text, organization, service).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    sight: &Sight,
    page: &Page,
) -> Result<Listing<DomainRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization);
    fetch_page(unit, "SELECT {columns} FROM domains", sight.of_things_of_services(filter), Order::Newest("created_at"), page).await
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId, sight: &Sight) -> Result<i64, StoreError> {
    let filter = Filter::of("organization_id = ?", organization);
    count_rows(unit, "domains", sight.of_things_of_services(filter)).await
}

pub async fn find(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    id: DomainId,
) -> Result<Option<DomainRow>, StoreError> {
    let text = "SELECT {columns} FROM domains WHERE organization_id = $1 AND service_id = $2 AND id = $3";
    fetch_optional!(unit, DomainRow, text, organization, service, id).await
}

pub async fn find_by_host(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    host: &str,
) -> Result<Option<DomainRow>, StoreError> {
    let text = "SELECT {columns} FROM domains WHERE organization_id = $1 AND service_id = $2 AND host = $3";
    fetch_optional!(unit, DomainRow, text, organization, service, host).await
}

/// Makes one domain the primary one, or none.
pub async fn set_primary(
    write: &mut Write,
    organization: OrganizationId,
    service: ServiceId,
    id: Option<DomainId>,
) -> Result<(), StoreError> {
    let text = "UPDATE domains SET is_primary = $3 WHERE organization_id = $1 AND service_id = $2 AND is_primary";
    execute!(write, text, organization, service, false).await?;
    let Some(id) = id else { return Ok(()) };
    let text = "UPDATE domains SET is_primary = $4 WHERE organization_id = $1 AND service_id = $2 AND id = $3";
    match execute!(write, text, organization, service, id, true).await? {
        0 => Err(StoreError::NotFound { row: "domain" }),
        _ => Ok(()),
    }
}

pub async fn delete(write: &mut Write, organization: OrganizationId, service: ServiceId, id: DomainId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM domains WHERE organization_id = $1 AND service_id = $2 AND id = $3", organization, service, id)
        .await?
    {
        0 => Err(StoreError::NotFound { row: "domain" }),
        _ => Ok(()),
    }
}
