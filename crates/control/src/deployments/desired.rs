//! Turns a release into the state that the server is asked for.

use deployer::protocol::{Desired, DesiredMount, DesiredProcess};
use domain::service::Mount;
use store::releases::ReleaseRow;

use super::facts::ServiceFacts;
use super::frozen::Reader;
use crate::error::Result;
use crate::state::Control;

impl Control {
    /// What the server is asked to run for a release.
    pub(crate) async fn desired(&self, facts: &ServiceFacts, release: &ReleaseRow, reader: Reader) -> Result<Desired> {
        let frozen = self.frozen(release, reader).await?;
        let configuration = &release.configuration.0;
        let mounts = configuration
            .mounts
            .iter()
            .map(|mount| match mount {
                Mount::Volume { volume, path, read_only } => {
                    DesiredMount::Volume { volume: *volume, path: path.clone(), read_only: *read_only }
                }
                Mount::File { path, file } => DesiredMount::File { path: path.clone(), content: frozen.file(file) },
                Mount::Tmpfs { path, size_bytes } => DesiredMount::Tmpfs { path: path.clone(), size_bytes: *size_bytes },
                Mount::Bind { host_path, path, read_only } => {
                    DesiredMount::Bind { host_path: host_path.clone(), path: path.clone(), read_only: *read_only }
                }
            })
            .collect();
        Ok(Desired {
            service: release.service_id,
            environment: facts.environment.id,
            alias: facts.service.slug.clone(),
            release: release.id,
            version: u64::try_from(release.version).unwrap_or(0),
            image: release.image.clone(),
            processes: configuration
                .processes
                .iter()
                .map(|process| DesiredProcess {
                    name: process.name.clone(),
                    command: process.command.clone(),
                    replicas: process.replicas,
                    limits: process.limits.clone(),
                })
                .collect(),
            variables: frozen.variables(),
            port: configuration.port.unwrap_or(domain::service::PORT_DEFAULT),
            health: configuration.health.clone(),
            mounts,
            stop_grace_seconds: configuration.stop_grace_seconds,
            drain_seconds: configuration.drain_seconds,
            read_only_root: configuration.read_only_root,
            engine: configuration.engine.clone(),
            // Frozen with the release; a domain that was given up since belongs to somebody else by now.
            hosts: release.hosts.0.iter().filter(|host| facts.hosts.contains(host)).cloned().collect(),
            request_body_bytes_max: configuration.request_body_bytes_max,
            request_timeout_seconds: configuration.request_timeout_seconds,
            masks: frozen.masks(),
        })
    }
}
