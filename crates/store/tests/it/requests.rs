//! Idempotency keys and operations.

use chrono::TimeDelta;
use domain::id::{Id, OrganizationId};
use domain::{Clock, FixedClock, SeededEntropy};
use serde_json::json;
use store::idempotency::{self, Answer, Begin};
use store::operations::{self, NewOperation, OperationState};
use store::{Page, Store, StoreError};
use testkit::databases::on_both;

/// A key without an answer for so long is taken over.
const ABANDONED: TimeDelta = TimeDelta::minutes(5);

async fn begin(store: &Store, clock: &FixedClock, scope: &str, fingerprint: u8) -> Begin {
    let mut write = store.write().await.unwrap();
    let expires_at = clock.now() + TimeDelta::hours(24);
    let begin =
        idempotency::begin(&mut write, (scope, "key"), [fingerprint; 32], clock.now(), expires_at, clock.now() - ABANDONED).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    begin
}

#[tokio::test]
async fn a_key_is_taken_once_and_answers_again() {
    on_both(async |store| {
        let clock = FixedClock::default();
        assert!(matches!(begin(store, &clock, "usr_1 POST /projects", 1).await, Begin::First { .. }));
        assert!(matches!(begin(store, &clock, "usr_1 POST /projects", 1).await, Begin::Running));
        assert!(matches!(begin(store, &clock, "usr_1 POST /projects", 2).await, Begin::Mismatch));
        assert!(matches!(begin(store, &clock, "usr_2 POST /projects", 2).await, Begin::First { .. }));
        let answer = Answer { status: 201, headers: vec![("location".into(), "/x".into())], body: vec![0, 255, 1] };
        let mut write = store.write().await.unwrap();
        idempotency::finish(&mut write, "usr_1 POST /projects", "key", &answer).await.unwrap();
        let again = idempotency::finish(&mut write, "usr_1 POST /projects", "key", &answer).await;
        assert!(matches!(again, Err(StoreError::Stale { .. })));
        write.commit_without_audit("test").await.unwrap();
        match begin(store, &clock, "usr_1 POST /projects", 1).await {
            Begin::Done(given) => assert_eq!(given, answer),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn keys_are_freed_by_forgetting_and_by_time() {
    on_both(async |store| {
        let clock = FixedClock::default();
        begin(store, &clock, "a", 1).await;
        let mut write = store.write().await.unwrap();
        idempotency::forget(&mut write, "a", "key").await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        assert!(matches!(begin(store, &clock, "a", 2).await, Begin::First { .. }));
        clock.advance(TimeDelta::hours(24));
        assert!(matches!(begin(store, &clock, "a", 3).await, Begin::First { .. }));
        begin(store, &clock, "b", 3).await;
        let mut write = store.write().await.unwrap();
        assert_eq!(idempotency::free_running(&mut write).await.unwrap(), 2);
        drop(write);
        clock.advance(TimeDelta::hours(24));
        let mut write = store.write().await.unwrap();
        assert_eq!(idempotency::delete_expired(&mut write, clock.now()).await.unwrap(), 2);
        write.commit_without_audit("test").await.unwrap();
        assert!(idempotency::find(&mut store.read().await.unwrap(), "a", "key").await.unwrap().is_none());
    })
    .await;
}

/// Whoever took the key is gone: a repeat goes on, knows since when, and is alone again.
#[tokio::test]
async fn an_abandoned_key_is_taken_over() {
    on_both(async |store| {
        let clock = FixedClock::default();
        let started = clock.now();
        begin(store, &clock, "a", 1).await;
        clock.advance(TimeDelta::minutes(4));
        assert!(matches!(begin(store, &clock, "a", 1).await, Begin::Running));
        clock.advance(TimeDelta::minutes(1));
        assert!(matches!(begin(store, &clock, "a", 2).await, Begin::Mismatch));
        assert!(matches!(begin(store, &clock, "a", 1).await, Begin::First { since } if since == started));
        assert!(matches!(begin(store, &clock, "a", 1).await, Begin::Running));
        // Its process ended, or it failed: the next one need not wait.
        for all in [true, false] {
            let mut write = store.write().await.unwrap();
            if all {
                assert_eq!(idempotency::free_running(&mut write).await.unwrap(), 1);
            } else {
                idempotency::free(&mut write, "a", "key").await.unwrap();
            }
            write.commit_without_audit("test").await.unwrap();
            assert!(matches!(begin(store, &clock, "a", 1).await, Begin::First { since } if since == started));
            assert!(matches!(begin(store, &clock, "a", 1).await, Begin::Running));
        }
    })
    .await;
}

#[tokio::test]
async fn an_operation_ends_once_and_is_seen_by_its_organization_only() {
    on_both(async |store| {
        let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(1));
        let own = OrganizationId::from_uuid(uuid::Uuid::from_u128(1));
        let other = OrganizationId::from_uuid(uuid::Uuid::from_u128(2));
        let mut write = store.write().await.unwrap();
        let new = |organization| NewOperation {
            organization,
            kind: "service.delete",
            subject: Some(("service", "svc_1".into())),
            project: None,
            job: None,
        };
        let id = operations::create(&mut write, &clock, &entropy, new(Some(own))).await.unwrap();
        let of_instance = operations::create(&mut write, &clock, &entropy, new(None)).await.unwrap();
        operations::start(&mut write, id, clock.now()).await.unwrap();
        operations::finish(&mut write, id, OperationState::Succeeded, Some(&json!({"deleted": 1})), None, clock.now()).await.unwrap();
        let again = operations::finish(&mut write, id, OperationState::Failed, None, Some(&json!({})), clock.now()).await;
        assert!(matches!(again, Err(StoreError::Stale { .. })));
        operations::start(&mut write, id, clock.now()).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let mut read = store.read().await.unwrap();
        let row = operations::find(&mut read, Some(own), id).await.unwrap().unwrap();
        assert_eq!((row.state, row.result.unwrap().0), (OperationState::Succeeded, json!({"deleted": 1})));
        assert!(row.finished_at.is_some() && row.error.is_none());
        assert!(operations::find(&mut read, Some(other), id).await.unwrap().is_none());
        assert!(operations::find(&mut read, None, id).await.unwrap().is_none());
        assert!(operations::find(&mut read, None, of_instance).await.unwrap().is_some());
        assert_eq!(operations::list(&mut read, own, &Page::default()).await.unwrap().rows.len(), 1);
        assert!(operations::list(&mut read, other, &Page::default()).await.unwrap().rows.is_empty());
        clock.advance(TimeDelta::days(30));
        let mut write = store.write().await.unwrap();
        assert_eq!(operations::delete_finished(&mut write, clock.now()).await.unwrap(), 1);
        write.commit_without_audit("test").await.unwrap();
    })
    .await;
}
