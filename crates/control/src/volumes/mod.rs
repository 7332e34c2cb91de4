//! Named volumes of services.

use contract::Code;
use contract::services::{CreateVolume, Volume, Volumes};
use domain::id::{Id, VolumeId};
use domain::permission::Permission;
use domain::service::Mount;
use store::services::{self, ServiceRow};
use store::volumes::{self, VolumeRow};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{Faults, taken};
use crate::state::Control;

const VOLUMES_MAX: usize = 16;

fn shown(row: VolumeRow, service: &ServiceRow) -> Volume {
    let path = service.configuration.0.mounts.iter().find_map(|mount| match mount {
        Mount::Volume { volume, path, .. } if *volume == row.id => Some(path.clone()),
        _ => None,
    });
    Volume { id: row.id, service: row.service_id, name: row.name, path, deleting: row.deleting_at.is_some(), created_at: row.created_at }
}

impl Control {
    pub async fn list_volumes(&self, actor: &Actor) -> Result<Volumes> {
        actor.require(Permission::ServicesRead)?;
        let mut read = self.store().read().await?;
        let service = services::find(&mut read, actor.organization, actor.service()?).await?.ok_or(ControlError::NotFound("service"))?;
        let rows = volumes::all_of_service(&mut read, actor.organization, service.id).await?;
        Ok(Volumes { data: rows.into_iter().map(|row| shown(row, &service)).collect() })
    }

    /// Makes a volume; with a path it is mounted by the next deployment.
    ///
    /// # Errors
    /// `invalid`, `name-taken`, `limit-exceeded`.
    pub async fn create_volume(&self, actor: &Actor, wanted: CreateVolume) -> Result<Volume> {
        actor.require(Permission::ServicesWrite)?;
        let mut faults = Faults::default();
        faults.check("/name", domain::name::check_slug(&wanted.name));
        faults.end()?;
        let mut write = self.store().write().await?;
        let mut service = services::get_locked(&mut write, actor.organization, actor.service()?).await?;
        if service.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The service is being deleted."));
        }
        let count = volumes::all_of_service(&mut write, actor.organization, service.id).await?.len();
        if count >= VOLUMES_MAX {
            return Err(ControlError::Limit { name: "volumes of the service", current: count as u64, max: VOLUMES_MAX as u64 });
        }
        let row = VolumeRow {
            id: VolumeId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            service_id: service.id,
            name: wanted.name,
            created_at: self.clock().now(),
            deleting_at: None,
        };
        volumes::insert(&mut write, &row).await.map_err(taken("volumes_name", "a volume", &row.name))?;
        if let Some(path) = wanted.path {
            service.configuration.0.mounts.push(Mount::Volume { volume: row.id, path, read_only: false });
            self.check_configuration(&mut write, actor.organization, Some(service.id), &service.configuration.0).await?;
            services::update(&mut write, &service, true).await.map_err(crate::named::stale)?;
        }
        self.record(actor, "volume.created")
            .resource("volume", row.id, Some(&row.name))
            .detail("service", service.id)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(shown(row, &service))
    }

    /// Deletes a volume with its data.
    ///
    /// # Errors
    /// `conflict` while the service mounts it.
    pub async fn delete_volume(&self, actor: &Actor) -> Result<()> {
        actor.require(Permission::ServicesDelete)?;
        let id = VolumeId::from_uuid(actor.located.id);
        let mut write = self.store().write().await?;
        let row = volumes::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("volume"))?;
        let service = services::get_locked(&mut write, actor.organization, row.service_id).await?;
        let mounts = |configuration: &domain::service::Configuration| {
            configuration.mounts.iter().any(|mount| matches!(mount, Mount::Volume { volume, .. } if *volume == id))
        };
        let released = match service.current_release_id {
            Some(release) => store::releases::find(&mut write, actor.organization, release).await?,
            None => None,
        };
        if mounts(&service.configuration.0) || released.is_some_and(|release| mounts(&release.configuration.0)) {
            return Err(ControlError::refused(
                Code::Conflict,
                "The service mounts this volume. Take the mount away, deploy, then delete the volume.",
            ));
        }
        volumes::mark_deleting(&mut write, actor.organization, id, self.clock().now()).await?;
        self.record(actor, "volume.deleted").resource("volume", id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        // Outside of the unit; the sweeper finishes what a dead server left.
        let removal = deployer::protocol::Removal::Volume { volume: id };
        match self.server().remove(removal).await {
            Ok(report) if report.left.is_empty() => {
                let mut write = self.store().write().await?;
                volumes::delete(&mut write, actor.organization, id).await?;
                write.commit_without_audit("the deletion was audited when it was asked for").await?;
            }
            Ok(report) => tracing::warn!(left = ?report.left, volume = %id, "a volume is not removed yet"),
            Err(failure) => tracing::warn!(%failure, volume = %id, "a volume is not removed yet"),
        }
        Ok(())
    }
}
