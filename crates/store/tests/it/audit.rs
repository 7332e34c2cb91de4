//! The audit chain: appended only, and every kind of tampering is seen.

use chrono::TimeDelta;
use domain::id::{Id, OrganizationId};
use domain::{Clock, FixedClock, SeededEntropy};
use serde_json::json;
use store::audit::{self, Actor, AuditFilter, Chain, Fault, Head, Record, Resource, Verdict};
use store::{Page, Store, execute};
use testkit::databases::on_both;

struct World {
    clock: FixedClock,
    entropy: SeededEntropy,
}

impl World {
    fn new() -> Self {
        Self { clock: FixedClock::default(), entropy: SeededEntropy::new(1) }
    }

    async fn append(&self, store: &Store, record: Record) {
        let mut write = store.write().await.unwrap();
        audit::append(&mut write, &self.clock, &self.entropy, record).await.unwrap();
        write.commit().await.unwrap();
        self.clock.advance(TimeDelta::seconds(1));
    }
}

fn chain() -> Chain {
    Chain::Organization(OrganizationId::from_uuid(uuid::Uuid::from_u128(7)))
}

fn record(action: &'static str, actor: &str) -> Record {
    Record {
        resource: Some(Resource { kind: "project", id: "prj_1".to_owned(), name: Some("shop".to_owned()) }),
        request_id: Some("req_1".to_owned()),
        source_address: Some("192.0.2.0/24".to_owned()),
        details: json!({"z": 1, "a": {"y": [1.5, "ü"], "b": null}}),
        before_digest: Some([1; 32]),
        ..Record::new(chain(), Actor::user(actor), action)
    }
}

async fn fill(store: &Store, world: &World) {
    for actor in ["usr_a", "usr_b", "usr_a", "usr_b", "usr_a"] {
        world.append(store, record("project.create", actor)).await;
    }
}

async fn verify(store: &Store, checkpoint: Option<&Head>) -> Verdict {
    audit::verify(&mut store.read().await.unwrap(), chain(), checkpoint).await.unwrap()
}

#[tokio::test]
async fn a_true_chain_is_intact_and_chains_are_apart() {
    on_both(async |store| {
        let world = World::new();
        fill(store, &world).await;
        world.append(store, Record::new(Chain::Instance, Actor::system("setup"), "instance.setup")).await;
        assert_eq!(verify(store, None).await, Verdict::Intact { entries: 5 });
        let mut read = store.read().await.unwrap();
        assert_eq!(audit::verify(&mut read, Chain::Instance, None).await.unwrap(), Verdict::Intact { entries: 1 });
        let empty = Chain::Organization(OrganizationId::from_uuid(uuid::Uuid::from_u128(8)));
        assert_eq!(audit::verify(&mut read, empty, None).await.unwrap(), Verdict::Intact { entries: 0 });
    })
    .await;
}

#[tokio::test]
async fn tampering_is_seen() {
    let edits: &[(&'static str, Fault)] = &[
        ("UPDATE audit_entries SET action = 'x' WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET actor_id = NULL WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET details = '{}' WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET resource_name = 'x' WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET request_id = NULL WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET source_address = 'x' WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET personal_salt = NULL WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET before_digest = NULL WHERE sequence = 3", Fault::Edited),
        ("UPDATE audit_entries SET previous_hash = hash WHERE sequence = 3", Fault::Link),
        ("DELETE FROM audit_entries WHERE sequence = 3", Fault::Gap),
        ("DELETE FROM audit_entries WHERE sequence = 1", Fault::Gap),
        ("DELETE FROM audit_entries WHERE sequence >= 4", Fault::Truncated),
        ("DELETE FROM audit_entries", Fault::Truncated),
        ("DELETE FROM audit_heads", Fault::Truncated),
        ("UPDATE audit_heads SET sequence = 6", Fault::Truncated),
    ];
    on_both(async |store| {
        fill(store, &World::new()).await;
        for (text, fault) in edits {
            // Each edit in a unit that is verified inside and then forgotten.
            let mut write = store.write().await.unwrap();
            execute!(&mut write, text).await.unwrap();
            let verdict = audit::verify(&mut write, chain(), None).await.unwrap();
            match verdict {
                Verdict::Broken { fault: found, .. } => assert_eq!(found, *fault, "{text}"),
                Verdict::Intact { .. } => panic!("{text} was not seen"),
            }
        }
        // Two entries change places.
        let mut write = store.write().await.unwrap();
        for (from, to) in [(2i64, -1i64), (3, 2), (-1, 3)] {
            execute!(&mut write, "UPDATE audit_entries SET sequence = $2 WHERE sequence = $1", from, to).await.unwrap();
        }
        let verdict = audit::verify(&mut write, chain(), None).await.unwrap();
        assert_eq!(verdict, Verdict::Broken { sequence: 2, fault: Fault::Link });
        drop(write);
        assert_eq!(verify(store, None).await, Verdict::Intact { entries: 5 });
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_shows_a_rewritten_chain() {
    on_both(async |store| {
        let world = World::new();
        fill(store, &world).await;
        let checkpoint = audit::head(&mut store.read().await.unwrap(), chain()).await.unwrap().unwrap();
        world.append(store, record("project.delete", "usr_a")).await;
        assert_eq!(verify(store, Some(&checkpoint)).await, Verdict::Intact { entries: 6 });
        let mut write = store.write().await.unwrap();
        execute!(&mut write, "DELETE FROM audit_entries").await.unwrap();
        execute!(&mut write, "DELETE FROM audit_heads").await.unwrap();
        write.commit_without_audit("the attack").await.unwrap();
        assert_eq!(verify(store, Some(&checkpoint)).await, Verdict::Broken { sequence: 1, fault: Fault::Truncated });
        for _ in 0..6 {
            world.append(store, record("project.create", "usr_b")).await;
        }
        assert_eq!(verify(store, None).await, Verdict::Intact { entries: 6 });
        assert_eq!(verify(store, Some(&checkpoint)).await, Verdict::Broken { sequence: 5, fault: Fault::Checkpoint });
    })
    .await;
}

#[tokio::test]
async fn erasing_addresses_keeps_the_chain() {
    on_both(async |store| {
        let world = World::new();
        let start = world.clock.now();
        fill(store, &world).await;
        let mut write = store.write().await.unwrap();
        assert_eq!(audit::erase_source_addresses(&mut write, start + TimeDelta::seconds(3)).await.unwrap(), 3);
        write.commit_without_audit("retention").await.unwrap();
        assert_eq!(verify(store, None).await, Verdict::Intact { entries: 5 });
        let mut read = store.read().await.unwrap();
        let rows = audit::list(&mut read, chain(), &AuditFilter::default(), &Page::default()).await.unwrap().rows;
        assert_eq!(rows.iter().filter(|row| row.source_address.is_some()).count(), 2);
    })
    .await;
}

#[tokio::test]
async fn lists_filter_and_stay_in_their_organization() {
    on_both(async |store| {
        let world = World::new();
        let start = world.clock.now();
        fill(store, &world).await;
        world.append(store, record("project.delete", "usr_a")).await;
        world.append(store, Record::new(Chain::Instance, Actor::user("usr_a"), "instance.setup")).await;
        let count = async |filter: AuditFilter| {
            let mut read = store.read().await.unwrap();
            audit::list(&mut read, chain(), &filter, &Page::default()).await.unwrap().rows.len()
        };
        assert_eq!(count(AuditFilter::default()).await, 6);
        assert_eq!(count(AuditFilter { actor_id: Some("usr_a".into()), ..Default::default() }).await, 4);
        assert_eq!(count(AuditFilter { action: Some("project.delete".into()), ..Default::default() }).await, 1);
        assert_eq!(count(AuditFilter { resource_id: Some("prj_2".into()), ..Default::default() }).await, 0);
        let (from, to) = (start + TimeDelta::seconds(1), start + TimeDelta::seconds(3));
        assert_eq!(count(AuditFilter { from: Some(from), to: Some(to), ..Default::default() }).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_make_one_chain() {
    on_both(async |store| {
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..40 {
            let store = Store::clone(store);
            tasks.spawn(async move {
                let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(seed));
                let mut write = store.write().await.unwrap();
                audit::append(&mut write, &clock, &entropy, record("project.create", "usr_a")).await.unwrap();
                write.commit().await.unwrap();
            });
        }
        tasks.join_all().await;
        assert_eq!(verify(store, None).await, Verdict::Intact { entries: 40 });
    })
    .await;
}
