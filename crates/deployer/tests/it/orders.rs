//! Orders of builds.

use std::collections::BTreeMap;
use std::path::Path;

use deployer::protocol::{BuildOrder, FetchSource};
use domain::id::{DeploymentId, ServiceId};
use domain::service::{BuildLimits, Builder};
use domain::{SystemClock, SystemEntropy};

/// An order whose source is an archive of the files, written into `folder`.
pub fn archive_order(folder: &Path, files: &[(&str, &[u8])]) -> BuildOrder {
    let operation = DeploymentId::new(&SystemClock, &SystemEntropy);
    let path = folder.join(format!("{operation}.tar"));
    let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.finish().unwrap();
    BuildOrder {
        operation,
        service: ServiceId::new(&SystemClock, &SystemEntropy),
        tenant: "org_test".into(),
        source: FetchSource::Archive { path, digest: String::new() },
        root: None,
        builder: Builder::default(),
        secrets: BTreeMap::new(),
        registries: Vec::new(),
        limits: BuildLimits { timeout_seconds: 120, ..BuildLimits::default() },
        cache: true,
        masks: Vec::new(),
    }
}
