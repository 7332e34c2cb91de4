//! Crash loops of services that somebody was told of.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, ServiceId};

use crate::{StoreError, Unit, Write, execute, fetch_optional};

/// Notes an episode. `true` for the first call with it, whoever else calls at the same time: that one tells people.
pub async fn note(
    write: &mut Write,
    organization: OrganizationId,
    service: ServiceId,
    episode: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let text = "INSERT INTO service_crashes (service_id, organization_id, episode, noted_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (service_id) DO UPDATE SET episode = excluded.episode, noted_at = excluded.noted_at \
                WHERE service_crashes.episode <> excluded.episode";
    Ok(execute!(write, text, service, organization, episode, now).await? == 1)
}

/// The last episode of the service that was noted.
pub async fn find(unit: &mut impl Unit, organization: OrganizationId, service: ServiceId) -> Result<Option<String>, StoreError> {
    let text = "SELECT episode AS value FROM service_crashes WHERE organization_id = $1 AND service_id = $2";
    Ok(fetch_optional!(unit, (String,), text, organization, service).await?.map(|(episode,)| episode))
}
