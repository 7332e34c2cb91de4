//! What survives: a stop, a kill, a damaged file.

use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use ingress::{ClientError, IngressClient, IngressConfig};

use crate::{
    backend::{Backend, nobody},
    rig::{Rig, begin, get, route},
};

fn file(rig: &Rig, service: &str) -> PathBuf {
    rig.config.state_dir.join(format!("routes/{service}.route"))
}

#[tokio::test]
async fn routes_come_back_after_a_restart_without_the_control_plane() {
    let (mut rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(3, &[nobody().await, backend.address]).await;
    rig.client.put(&route("gone", 1, &["gone.test"], &[backend.address])).await.unwrap();
    rig.client.delete("gone", 2).await.unwrap();
    let before = rig.client.list().await.unwrap();
    rig.restart().await;
    assert_eq!(rig.client.list().await.unwrap(), before);
    assert_eq!(rig.get("/").await.body, "one");
    assert_eq!(rig.metrics().await.retries, 0, "the dead replica was found by the probe, not by a request");
    assert_eq!(get(rig.address, "gone.test", "/").await.status, StatusCode::NOT_FOUND);
    let stale = rig.client.put(&route("svc", 2, &["a.test"], &[backend.address])).await.unwrap_err();
    assert!(matches!(stale, ClientError::StaleGeneration { stored: 3, .. }), "{stale:?}");
    let stale = rig.client.put(&route("gone", 1, &["gone.test"], &[backend.address])).await.unwrap_err();
    assert!(matches!(stale, ClientError::StaleGeneration { stored: 2, .. }), "{stale:?}");
}

#[tokio::test]
async fn a_damaged_file_falls_back_to_the_version_before_and_harms_no_other() {
    let damages: [fn(&mut Vec<u8>); 4] =
        [|bytes| bytes.truncate(bytes.len() / 2), Vec::clear, |bytes| *bytes.last_mut().unwrap() ^= 1, |bytes| bytes[30] ^= 1];
    for damage in damages {
        let (mut rig, old, new) = (Rig::start().await, Backend::start("old").await, Backend::start("new").await);
        rig.serve(1, &[old.address]).await;
        rig.serve(2, &[new.address]).await;
        rig.client.put(&route("other", 1, &["other.test"], &[new.address])).await.unwrap();
        let path = file(&rig, "svc");
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        rig.restart().await;
        assert_eq!(rig.get("/").await.body, "old");
        assert_eq!(get(rig.address, "other.test", "/").await.body, "new");
        let warnings = rig.client.health().await.unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("svc"), "{warnings:?}");
        // The control plane repeats its last word; from then on all is well again.
        rig.serve(2, &[new.address]).await;
        rig.restart().await;
        assert_eq!(rig.get("/").await.body, "new");
        assert!(rig.client.health().await.unwrap().warnings.is_empty());
    }
}

#[tokio::test]
async fn with_both_versions_damaged_the_service_is_unknown_and_the_rest_serves() {
    let (mut rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    rig.serve(2, &[backend.address]).await;
    rig.client.put(&route("other", 1, &["other.test"], &[backend.address])).await.unwrap();
    std::fs::write(file(&rig, "svc"), "garbage").unwrap();
    std::fs::write(file(&rig, "svc").with_extension("previous"), "garbage").unwrap();
    rig.restart().await;
    assert_eq!(rig.get("/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(rig.address, "other.test", "/").await.body, "one");
    assert_eq!(rig.client.health().await.unwrap().warnings.len(), 2);
}

#[tokio::test]
async fn a_fallback_does_not_take_a_host_back_that_moved_on() {
    let (mut rig, one, two) = (Rig::start().await, Backend::start("one").await, Backend::start("two").await);
    rig.client.put(&route("a_first", 1, &["x.test", "one.test"], &[one.address])).await.unwrap();
    rig.client.put(&route("a_first", 2, &["one.test"], &[one.address])).await.unwrap();
    rig.client.put(&route("b_second", 1, &["x.test"], &[two.address])).await.unwrap();
    std::fs::write(file(&rig, "a_first"), "garbage").unwrap();
    rig.restart().await;
    assert_eq!(get(rig.address, "x.test", "/").await.body, "two");
    assert_eq!(get(rig.address, "one.test", "/").await.body, "one");
}

#[tokio::test]
async fn a_change_that_cannot_be_written_is_not_made() {
    let (rig, old, new) = (Rig::start().await, Backend::start("old").await, Backend::start("new").await);
    rig.serve(1, &[old.address]).await;
    // A folder in the way of the temporary file: works as root too, unlike permissions.
    std::fs::create_dir(file(&rig, "svc").with_extension("writing")).unwrap();
    let mut moved = route("svc", 2, &["a.test", "b.test"], &[new.address]);
    let error = rig.client.put(&moved).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert_eq!(rig.get("/").await.body, "old");
    // The host that it asked for is free for others.
    rig.client.put(&route("other", 1, &["b.test"], &[new.address])).await.unwrap();
    std::fs::remove_dir(file(&rig, "svc").with_extension("writing")).unwrap();
    moved.hosts.pop();
    rig.client.put(&moved).await.unwrap();
    assert_eq!(rig.get("/").await.body, "new");
}

#[tokio::test]
async fn socket_and_state_are_for_their_owner_only() {
    let rig = Rig::start().await;
    rig.client.put(&route("svc", 1, &["a.test"], &[])).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&rig.config.admin_socket), 0o600);
    assert_eq!(mode(&file(&rig, "svc")), 0o600);
    assert_eq!(mode(&rig.config.state_dir.join("routes")), 0o700);
    assert!(rig.folder.path().exists());
}

/// The kill is a runtime that is torn down between two polls: nothing gets to run its shutdown.
#[test]
fn a_killed_ingress_is_back_at_once_with_every_acknowledged_route() {
    let folder = tempfile::tempdir().unwrap();
    let outer = tokio::runtime::Runtime::new().unwrap();
    let backend = outer.block_on(Backend::start("one"));
    let free = outer.block_on(nobody());
    let config = IngressConfig::new(vec![free], folder.path().join("admin.sock"), folder.path().join("state"));
    let client = IngressClient::new(&config.admin_socket);
    let mut acknowledged = 0;
    for round in 0..5 {
        let inner = tokio::runtime::Runtime::new().unwrap();
        let begun = std::time::Instant::now();
        let ingress = inner.block_on(begin(&config));
        if round > 0 {
            assert_eq!(outer.block_on(get(free, "a.test", "/")).body, "one");
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            assert!(outer.block_on(client.find("svc")).unwrap().unwrap().generation >= acknowledged);
        }
        let through = Arc::new(AtomicU64::new(acknowledged));
        let changing = outer.spawn({
            let (client, address, through) = (client.clone(), backend.address, Arc::clone(&through));
            async move {
                let mut last = acknowledged;
                for generation in acknowledged + 1.. {
                    match client.put(&route("svc", generation, &["a.test"], &[address])).await {
                        Ok(done) => {
                            last = done.generation;
                            through.store(last, Ordering::Release);
                        }
                        Err(_) => break,
                    }
                }
                last
            }
        });
        // In the middle of changes, however slow the disk is.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while through.load(Ordering::Acquire) < acknowledged + 3 && std::time::Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        // A write that the disk has begun ends first: it would be another process's after a real kill, here it would write into the next
        // round's file.
        inner.shutdown_timeout(Duration::from_secs(20));
        drop(ingress);
        let last = outer.block_on(changing).unwrap();
        assert!(last > acknowledged, "no change got through in round {round}");
        acknowledged = last;
    }
}
