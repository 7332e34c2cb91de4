//! Labels by which Seaway knows its own objects again.
//!
//! Invariant: an object belongs to this instance only when it carries the instance's random id. The id is made at the first
//! start and never shown to an image, so a label that a tenant writes into an image proves nothing; on containers every key
//! below is set by us and therefore overrides the image's.

use std::collections::HashMap;

use domain::id::{DeploymentId, EnvironmentId, ReleaseId, RunId, ServiceId, VolumeId};

/// Keys with this prefix belong to Seaway; a user's label with it is refused.
pub const PREFIX: &str = "seaway.";
pub const INSTANCE: &str = "seaway.instance";
pub const SERVICE: &str = "seaway.service";
pub const ENVIRONMENT: &str = "seaway.environment";
pub const RELEASE: &str = "seaway.release";
pub const VERSION: &str = "seaway.version";
pub const DEPLOYMENT: &str = "seaway.deployment";
pub const PROCESS: &str = "seaway.process";
pub const REPLICA: &str = "seaway.replica";
/// Keyed hash of the container spec: equal means that nothing has to be restarted.
pub const FINGERPRINT: &str = "seaway.fingerprint";
pub const RUN: &str = "seaway.run";
/// Unix seconds after which a one-off container may be swept.
pub const DEADLINE: &str = "seaway.deadline";
pub const VOLUME: &str = "seaway.volume";

/// What a replica's labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaLabels {
    pub service: ServiceId,
    pub environment: EnvironmentId,
    pub release: ReleaseId,
    pub version: u64,
    pub deployment: DeploymentId,
    pub process: String,
    /// From 1.
    pub replica: u32,
    pub fingerprint: String,
}

impl ReplicaLabels {
    /// `web.1`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.process, self.replica)
    }

    pub fn write(&self, instance: &str) -> HashMap<String, String> {
        [
            (INSTANCE, instance.to_owned()),
            (SERVICE, self.service.to_string()),
            (ENVIRONMENT, self.environment.to_string()),
            (RELEASE, self.release.to_string()),
            (VERSION, self.version.to_string()),
            (DEPLOYMENT, self.deployment.to_string()),
            (PROCESS, self.process.clone()),
            (REPLICA, self.replica.to_string()),
            (FINGERPRINT, self.fingerprint.clone()),
            // Empty, so that an image cannot bring its own.
            (RUN, String::new()),
            (DEADLINE, String::new()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// `None`: not ours, or not a replica.
    pub fn read(instance: &str, labels: &HashMap<String, String>) -> Option<Self> {
        let of = |key: &str| labels.get(key).map(String::as_str);
        if of(INSTANCE)? != instance || of(RUN).is_some_and(|run| !run.is_empty()) {
            return None;
        }
        Some(Self {
            service: of(SERVICE)?.parse().ok()?,
            environment: of(ENVIRONMENT)?.parse().ok()?,
            release: of(RELEASE)?.parse().ok()?,
            version: of(VERSION)?.parse().ok()?,
            deployment: of(DEPLOYMENT)?.parse().ok()?,
            process: of(PROCESS)?.to_owned(),
            replica: of(REPLICA)?.parse().ok()?,
            fingerprint: of(FINGERPRINT)?.to_owned(),
        })
    }
}

/// What the labels of a one-off container say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLabels {
    pub run: RunId,
    pub service: ServiceId,
    pub environment: EnvironmentId,
    /// Unix seconds.
    pub deadline: i64,
}

impl RunLabels {
    pub fn write(&self, instance: &str) -> HashMap<String, String> {
        [
            (INSTANCE, instance.to_owned()),
            (SERVICE, self.service.to_string()),
            (ENVIRONMENT, self.environment.to_string()),
            (RUN, self.run.to_string()),
            (DEADLINE, self.deadline.to_string()),
            (RELEASE, String::new()),
            (VERSION, String::new()),
            (DEPLOYMENT, String::new()),
            (PROCESS, String::new()),
            (REPLICA, String::new()),
            (FINGERPRINT, String::new()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    pub fn read(instance: &str, labels: &HashMap<String, String>) -> Option<Self> {
        let of = |key: &str| labels.get(key).map(String::as_str);
        if of(INSTANCE)? != instance {
            return None;
        }
        Some(Self {
            run: of(RUN)?.parse().ok()?,
            service: of(SERVICE)?.parse().ok()?,
            environment: of(ENVIRONMENT)?.parse().ok()?,
            deadline: of(DEADLINE)?.parse().ok()?,
        })
    }
}

/// Labels of an environment's network.
pub fn network(instance: &str, environment: EnvironmentId) -> HashMap<String, String> {
    HashMap::from([(INSTANCE.to_owned(), instance.to_owned()), (ENVIRONMENT.to_owned(), environment.to_string())])
}

/// Labels of a volume.
pub fn volume(instance: &str, volume: VolumeId) -> HashMap<String, String> {
    HashMap::from([(INSTANCE.to_owned(), instance.to_owned()), (VOLUME.to_owned(), volume.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FixedClock, SeededEntropy};

    fn labels() -> ReplicaLabels {
        let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(7));
        ReplicaLabels {
            service: ServiceId::new(&clock, &entropy),
            environment: EnvironmentId::new(&clock, &entropy),
            release: ReleaseId::new(&clock, &entropy),
            version: 3,
            deployment: DeploymentId::new(&clock, &entropy),
            process: "web".into(),
            replica: 2,
            fingerprint: "abc".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = labels().write("instance-a");
        assert_eq!(ReplicaLabels::read("instance-a", &written), Some(labels()));
        assert_eq!(RunLabels::read("instance-a", &written), None);
    }

    #[test]
    fn labels_of_another_instance_prove_nothing() {
        assert_eq!(ReplicaLabels::read("instance-b", &labels().write("instance-a")), None);
    }

    #[test]
    fn a_replica_overrides_every_key_that_an_image_could_forge() {
        let written = labels().write("a");
        for key in [INSTANCE, SERVICE, ENVIRONMENT, RELEASE, VERSION, DEPLOYMENT, PROCESS, REPLICA, FINGERPRINT, RUN, DEADLINE] {
            assert!(written.contains_key(key), "{key} can be forged by an image");
        }
    }
}
