//! Keys are rotated while values are read and written; a run that ends anywhere is finished by the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::TimeDelta;
use control::ControlError;
use control::keys::{INSTANCE, Keys};
use control::rotation::{Cuts, Moment, NoCuts, RETIRED_KEPT, Rotation};
use domain::{FixedClock, SystemEntropy};
use store::audit::{self, Chain, Verdict};
use store::data_keys::{self, KeyState};
use store::master_keys::{self, MasterKeyState};
use store::{Store, execute};
use testkit::databases::on_both;
use vault::{KeyCheck, MasterRing};

use crate::instance::{TENANTS, add_variable, fill, id, key_files, keys, open_all, sealed_count};

/// Ends the run at the nth time of a moment.
struct CutAt(Moment, AtomicUsize);

impl Cuts for CutAt {
    fn at(&self, moment: Moment) -> control::Result<()> {
        if moment == self.0 && self.1.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(ControlError::Unavailable(format!("cut at {moment:?}")));
        }
        Ok(())
    }
}

fn rotation<'a>(store: &'a Store, keys: &'a Keys, clock: &'a FixedClock, cuts: &'a dyn Cuts) -> Rotation<'a> {
    Rotation { store, keys, clock, entropy: &SystemEntropy, cuts }
}

#[tokio::test]
async fn a_master_rotation_that_ends_anywhere_is_finished_by_the_next_run() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let serving = keys(files.read().unwrap(), &clock);
        serving.follow(files.clone());
        fill(store, &serving, &clock).await;
        let mut last = files.read().unwrap().current().id();
        for moment in Moment::MASTER {
            // Each run is a process of its own: what it had in memory is gone.
            let cut = CutAt(*moment, AtomicUsize::new(1));
            let first = keys(files.read().unwrap(), &clock);
            rotation(store, &first, &clock, &cut).rotate_master(&files).await.unwrap_err();
            // Cut off: a process that starts now, and the one that has served all along, open everything.
            let ring = files.read().unwrap();
            check(store, &ring).await;
            assert_eq!(open_all(store, &keys(ring, &clock)).await.0, sealed_count(), "{moment:?}");
            assert_eq!(open_all(store, &serving).await.0, sealed_count(), "{moment:?}");

            let second = keys(files.read().unwrap(), &clock);
            let done = rotation(store, &second, &clock, &NoCuts).rotate_master(&files).await.unwrap();
            let ring = files.read().unwrap();
            assert!(
                !files.is_rotating() && done.new == ring.current().id().to_string() && done.old == last.to_string(),
                "{moment:?}: one new key"
            );
            last = ring.current().id();
            assert!(data_keys::list_under_other_master(&mut store.read().await.unwrap(), &last.to_string(), 1).await.unwrap().is_empty());
            check(store, &ring).await;
            // The new key alone opens everything, in a process that never saw the old one and in one that never saw the new.
            assert_eq!(open_all(store, &keys(MasterRing::new(ring.current().clone(), vec![]), &clock)).await.0, sealed_count());
            serving.ring().clear();
            assert_eq!(open_all(store, &serving).await.0, sealed_count());
            let states = master_keys::list(&mut store.read().await.unwrap()).await.unwrap();
            assert_eq!(states.iter().filter(|row| row.state == MasterKeyState::Current).count(), 1);
            assert!(states.iter().all(|row| row.state != MasterKeyState::Pending));
        }
        let verdict = audit::verify(&mut store.read().await.unwrap(), Chain::Instance, None).await.unwrap();
        let Verdict::Intact { entries } = verdict else { panic!("{verdict:?}") };
        assert_eq!(entries, 1 + 2 * i64::try_from(Moment::MASTER.len()).unwrap(), "start and end of each rotation, once");
    })
    .await;
}

async fn check(store: &Store, ring: &MasterRing) {
    let row = store::instance::find(&mut store.read().await.unwrap()).await.unwrap().unwrap();
    KeyCheck::from_bytes(row.key_check.unwrap()).verify(ring).unwrap();
}

#[tokio::test]
async fn of_two_rotators_of_the_master_key_one_wins() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let (one, other) = (keys(files.read().unwrap(), &clock), keys(files.read().unwrap(), &clock));
        fill(store, &one, &clock).await;
        let (first, second) = (rotation(store, &one, &clock, &NoCuts), rotation(store, &other, &clock, &NoCuts));
        let (a, b) = tokio::join!(first.rotate_master(&files), second.rotate_master(&files));
        let winners = [a, b].into_iter().filter_map(|end| match end {
            Ok(done) => Some(done),
            Err(ControlError::Refused { .. }) => None,
            Err(error) => panic!("{error}"),
        });
        assert_eq!(winners.count(), 1);
        assert_eq!(open_all(store, &keys(files.read().unwrap(), &clock)).await.0, sealed_count());
    })
    .await;
}

#[tokio::test]
async fn a_data_key_rotation_that_ends_anywhere_is_finished_by_the_next_run() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let serving = keys(files.read().unwrap(), &clock);
        fill(store, &serving, &clock).await;
        let mut version = 1;
        for (place, moment) in Moment::DATA.iter().enumerate() {
            let tenant = TENANTS[0];
            let cut = CutAt(*moment, AtomicUsize::new(1));
            let first = keys(files.read().unwrap(), &clock);
            rotation(store, &first, &clock, &cut).rotate_data_key(tenant).await.unwrap_err();
            assert_eq!(
                open_all(store, &keys(files.read().unwrap(), &clock)).await.0,
                sealed_count() + u64::try_from(place).unwrap(),
                "{moment:?}"
            );
            // The process that serves goes on writing in the middle of it.
            add_variable(store, &serving, tenant, 1_000 + u128::try_from(place).unwrap(), &clock).await;
            let second = keys(files.read().unwrap(), &clock);
            let done = rotation(store, &second, &clock, &NoCuts).resume_data_keys().await.unwrap();
            version += 1;
            assert!(done.len() == 1 && done[0].version == version && done[0].finished && done[0].unreadable == 0, "{moment:?}: {done:?}");
            let (opened, old) = open_all(store, &serving).await;
            assert_eq!((opened, old), (sealed_count() + 1 + u64::try_from(place).unwrap(), 0), "{moment:?}");
        }
        // The other tenant was never touched.
        assert_eq!(data_keys::list(&mut store.read().await.unwrap(), TENANTS[1]).await.unwrap().len(), 1);
        let chain = Chain::Organization(domain::id::Id::from_uuid(TENANTS[0]));
        let verdict = audit::verify(&mut store.read().await.unwrap(), chain, None).await.unwrap();
        assert_eq!(verdict, Verdict::Intact { entries: 1 + 2 * i64::try_from(Moment::DATA.len()).unwrap() });
    })
    .await;
}

#[tokio::test]
async fn old_versions_are_destroyed_only_when_nothing_names_them() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let serving = keys(files.read().unwrap(), &clock);
        fill(store, &serving, &clock).await;
        let rotate = rotation(store, &serving, &clock, &NoCuts);
        let tenant = TENANTS[0];
        // A straggler: written under version 1 by somebody who had read the ring before.
        let sealed_before = serving
            .ring()
            .seal_text(
                &domain::Secret::new(crate::instance::value(tenant, 2_000)),
                &vault::Place { tenant, table: "variable_versions", column: "sealed_value", row: id(tenant, 2_000), name: "" },
            )
            .unwrap();
        rotate.rotate_data_key(tenant).await.unwrap().unwrap();
        rotate.rotate_data_key(INSTANCE).await.unwrap().unwrap();
        assert_eq!(rotate.destroy_retired().await.unwrap(), 0, "not before its time");
        add_variable(store, &serving, tenant, 2_000, &clock).await;
        let mut write = store.write().await.unwrap();
        execute!(&mut write, "UPDATE variable_versions SET sealed_value = $2 WHERE id = $1", id(tenant, 2_000), sealed_before.as_bytes())
            .await
            .unwrap();
        write.commit_without_audit("test").await.unwrap();

        clock.advance(TimeDelta::from_std(RETIRED_KEPT).unwrap());
        // The instance's own is over; the tenant's straggler is sealed anew first, its key goes the next time.
        assert_eq!(rotate.destroy_retired().await.unwrap(), 1);
        assert_eq!(open_all(store, &serving).await, (sealed_count() + 1, 0));
        assert_eq!(rotate.destroy_retired().await.unwrap(), 1);
        let left = data_keys::list(&mut store.read().await.unwrap(), tenant).await.unwrap();
        assert!(left.len() == 1 && left[0].version == 2 && left[0].state == KeyState::Current);
        assert_eq!(open_all(store, &keys(files.read().unwrap(), &clock)).await.0, sealed_count() + 1);
    })
    .await;
}

#[tokio::test]
async fn values_are_read_and_written_by_another_process_all_through_rotations() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let serving = Arc::new(keys(files.read().unwrap(), &clock));
        fill(store, &serving, &clock).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (other, told, beside, time) = (store.reopen().await.unwrap(), stop.clone(), serving.clone(), clock.clone());
        let writer = tokio::spawn(async move {
            let mut row = 3_000;
            while !told.load(Ordering::SeqCst) {
                add_variable(&other, &beside, TENANTS[0], row, &time).await;
                row += 1;
            }
            other.close().await;
            u64::try_from(row - 3_000).unwrap()
        });
        let rotating = keys(files.read().unwrap(), &clock);
        for _ in 0..3 {
            let done = rotation(store, &rotating, &clock, &NoCuts).rotate_data_key(TENANTS[0]).await.unwrap().unwrap();
            assert_eq!(done.unreadable, 0);
            // Read before the values are listed, so that none is newer than the ring needs to know.
            assert!(open_all(store, &keys(files.read().unwrap(), &clock)).await.0 >= sealed_count());
        }
        stop.store(true, Ordering::SeqCst);
        let written = writer.await.unwrap();
        assert!(written > 0);
        rotation(store, &rotating, &clock, &NoCuts).resume_data_keys().await.unwrap();
        assert_eq!(open_all(store, &serving).await, (sealed_count() + written, 0));
    })
    .await;
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_its_key_and_is_counted() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let serving = keys(files.read().unwrap(), &clock);
        fill(store, &serving, &clock).await;
        let mut write = store.write().await.unwrap();
        let row = store::sealed::by_data_keys()
            .find(|column| column.table == "credentials")
            .unwrap()
            .sample(&mut write, TENANTS[1])
            .await
            .unwrap()
            .unwrap();
        let mut damaged = row.sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        execute!(&mut write, "UPDATE credentials SET sealed_value = $2 WHERE id = $1", row.id, damaged).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let rotate = rotation(store, &serving, &clock, &NoCuts);
        let done = rotate.rotate_data_key(TENANTS[1]).await.unwrap().unwrap();
        assert!(done.unreadable == 1 && !done.finished, "{done:?}");
        clock.advance(TimeDelta::from_std(RETIRED_KEPT).unwrap() * 2);
        assert_eq!(rotate.destroy_retired().await.unwrap(), 0);
        assert_eq!(data_keys::list(&mut store.read().await.unwrap(), TENANTS[1]).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn uses_are_counted_over_processes_and_restarts() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let one = keys(files.read().unwrap(), &clock);
        fill(store, &one, &clock).await;
        let stored = async || data_keys::progress(&mut store.read().await.unwrap(), TENANTS[0]).await.unwrap()[0].uses;
        one.store_uses(store).await.unwrap();
        let first = stored().await;
        assert_eq!(first, 62, "60 variables, a credential, a release");
        one.store_uses(store).await.unwrap();
        assert_eq!(stored().await, first, "nothing is counted twice");
        let two = keys(files.read().unwrap(), &clock);
        add_variable(store, &two, TENANTS[0], 5_000, &clock).await;
        add_variable(store, &one, TENANTS[0], 5_001, &clock).await;
        one.store_uses(store).await.unwrap();
        one.load(store, TENANTS[0]).await.unwrap();
        two.store_uses(store).await.unwrap();
        one.load(store, TENANTS[0]).await.unwrap();
        one.store_uses(store).await.unwrap();
        assert_eq!(stored().await, first + 2);
    })
    .await;
}
