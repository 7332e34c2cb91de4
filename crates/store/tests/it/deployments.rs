//! Deployments with their steps, releases and runs.

use domain::deployment::{Cause, Failure, Phase, SkipReason, Step, Trigger};
use domain::id::{DeploymentId, Id, OrganizationId, ReleaseId, RunId, ServiceId};
use domain::service::Configuration;
use domain::{FixedClock, SeededEntropy};
use store::deployments::{self, DeploymentRow, End, Work};
use store::releases::{self, ReleaseRow};
use store::runs::{self, RunRow, RunState};
use store::{Json, Page, StoreError, Write};
use testkit::databases::{TestStore, on_both};

struct Maker {
    clock: FixedClock,
    entropy: SeededEntropy,
    organization: OrganizationId,
    service: ServiceId,
}

impl Maker {
    fn new() -> Self {
        let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(7));
        let organization = OrganizationId::new(&clock, &entropy);
        let service = ServiceId::new(&clock, &entropy);
        Self { clock, entropy, organization, service }
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.advance(chrono::TimeDelta::seconds(1));
        domain::Clock::now(&self.clock)
    }

    fn deployment(&self, delivery: &str) -> DeploymentRow {
        DeploymentRow {
            id: DeploymentId::new(&self.clock, &self.entropy),
            organization_id: self.organization,
            service_id: self.service,
            delivery: delivery.into(),
            trigger_kind: Trigger::Push,
            work: Work::Build,
            title: Some("Überschrift".into()),
            reference: Some("main".into()),
            commit_id: None,
            upload_id: None,
            use_cache: true,
            target_release_id: None,
            formation: None,
            author_kind: "user".into(),
            author_id: Some("usr_1".into()),
            author_name: Some("Ada".into()),
            fence: 4,
            job_id: None,
            phase: Phase::Queued,
            built: None,
            release_id: None,
            failure: None,
            skip_reason: None,
            superseded_by: None,
            cancel_requested_at: None,
            canceled_by: None,
            healthy_after_ms: None,
            requests_cut: None,
            gap_ms: None,
            warning: None,
            created_at: self.now(),
            started_at: None,
            finished_at: None,
        }
    }

    fn release(&self, deployment: DeploymentId, version: i64) -> ReleaseRow {
        ReleaseRow {
            id: ReleaseId::new(&self.clock, &self.entropy),
            organization_id: self.organization,
            service_id: self.service,
            version,
            deployment_id: deployment,
            reason: "Deploy".into(),
            image: format!("sha256:{version}"),
            image_bytes: 5,
            image_kept: true,
            revision: "abc".into(),
            commit_subject: None,
            commit_author: Some("Ada".into()),
            configuration: Json(Configuration { port: Some(8080), ..Configuration::default() }),
            sealed_variables: vec![0, 255, 3],
            variable_names: Json(serde_json::json!(["A", "B"])),
            hosts: Json(vec!["web.example".into()]),
            service_revision: 2,
            rolled_back_to: None,
            irreversible: false,
            destructive: Some(Json(vec!["migrations/2.sql".into()])),
            author_name: None,
            created_at: self.now(),
            served_at: None,
        }
    }

    fn run(&self) -> RunRow {
        RunRow {
            id: RunId::new(&self.clock, &self.entropy),
            organization_id: self.organization,
            service_id: self.service,
            release_id: ReleaseId::new(&self.clock, &self.entropy),
            command: Json(vec!["echo".into(), "a b".into()]),
            state: RunState::Queued,
            timeout_seconds: 60,
            exit_code: None,
            reason: None,
            job_id: None,
            author_kind: "user".into(),
            author_id: None,
            author_name: None,
            created_at: self.now(),
            started_at: None,
            finished_at: None,
        }
    }

    fn stranger(&self) -> OrganizationId {
        OrganizationId::new(&self.clock, &self.entropy)
    }
}

async fn change<T>(store: &TestStore, work: impl AsyncFnOnce(&mut Write) -> T) -> T {
    let mut write = store.write().await.unwrap();
    let result = work(&mut write).await;
    write.commit_without_audit("test").await.unwrap();
    result
}

/// What a unit answers that is thrown away after it.
async fn attempt<T>(store: &TestStore, work: impl AsyncFnOnce(&mut Write) -> T) -> T {
    work(&mut store.write().await.unwrap()).await
}

async fn get(store: &TestStore, id: DeploymentId) -> DeploymentRow {
    deployments::find_any(&mut store.read().await.unwrap(), id).await.unwrap().unwrap()
}

#[tokio::test]
async fn deployments_are_found_by_their_organization_only() {
    on_both(async |store| {
        let maker = Maker::new();
        let (one, two) = (maker.deployment("push/1"), maker.deployment("push/2"));
        change(store, async |write| {
            deployments::insert(write, &one).await.unwrap();
            deployments::insert(write, &two).await.unwrap();
        })
        .await;
        let again = maker.deployment("push/1");
        let error = attempt(store, async |write| deployments::insert(write, &again).await.unwrap_err()).await;
        assert!(error.is_conflict_of("deployments_delivery"), "{error:?}");
        let (own, stranger) = (maker.organization, maker.stranger());
        let mut read = store.read().await.unwrap();
        let found = deployments::find(&mut read, own, one.id).await.unwrap().unwrap();
        assert_eq!(
            (found.title.as_deref(), found.trigger_kind, found.fence, found.created_at),
            (Some("Überschrift"), Trigger::Push, 4, one.created_at)
        );
        assert!(deployments::find(&mut read, stranger, one.id).await.unwrap().is_none());
        assert_eq!(deployments::find_by_delivery(&mut read, own, maker.service, "push/2").await.unwrap().unwrap().id, two.id);
        assert!(deployments::find_by_delivery(&mut read, stranger, maker.service, "push/2").await.unwrap().is_none());
        let page = Page::default();
        let ids = |rows: Vec<DeploymentRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
        assert_eq!(ids(deployments::list_of_service(&mut read, own, maker.service, &page).await.unwrap().rows), [two.id, one.id]);
        assert!(deployments::list_of_service(&mut read, stranger, maker.service, &page).await.unwrap().rows.is_empty());
        assert_eq!(deployments::list_ids(&mut read, own, maker.service).await.unwrap().len(), 2);
        assert!(deployments::list_ids(&mut read, stranger, maker.service).await.unwrap().is_empty());
        assert_eq!(deployments::find_last(&mut read, maker.service).await.unwrap().unwrap().id, two.id);
        assert!(deployments::find_any(&mut read, again.id).await.unwrap().is_none());
        drop(read);
        change(store, async |write| deployments::end(write, one.id, Phase::Live, &End::default(), maker.now()).await.unwrap()).await;
        let mut read = store.read().await.unwrap();
        assert_eq!(ids(deployments::list_open(&mut read, maker.service).await.unwrap()), [two.id]);
        assert_eq!(ids(deployments::list_all_open(&mut read).await.unwrap()), [two.id]);
        assert_eq!(ids(deployments::list_of_organization(&mut read, own, &Default::default(), true, &page).await.unwrap().rows), [two.id]);
        assert_eq!(
            ids(deployments::list_of_organization(&mut read, own, &Default::default(), false, &page).await.unwrap().rows),
            [two.id, one.id]
        );
        assert!(deployments::list_of_organization(&mut read, stranger, &Default::default(), false, &page).await.unwrap().rows.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_deployment_moves_on_and_ends_once() {
    on_both(async |store| {
        let maker = Maker::new();
        let row = maker.deployment("push/1");
        let release = ReleaseId::new(&maker.clock, &maker.entropy);
        let built = serde_json::json!({ "image": "sha256:1", "size": 12.5 });
        change(store, async |write| {
            deployments::insert(write, &row).await.unwrap();
            deployments::set_phase(write, row.id, Phase::Cloning, maker.now()).await.unwrap();
            deployments::set_phase(write, row.id, Phase::Building, maker.now()).await.unwrap();
            deployments::set_built(write, row.id, &built, "c0ffee").await.unwrap();
            deployments::set_release(write, row.id, release).await.unwrap();
            deployments::request_cancel(write, row.id, "Ada", maker.now()).await.unwrap();
            deployments::request_cancel(write, row.id, "Bob", maker.now()).await.unwrap();
        })
        .await;
        let found = get(store, row.id).await;
        assert_eq!((found.phase, found.release_id, found.commit_id.as_deref()), (Phase::Building, Some(release), Some("c0ffee")));
        assert_eq!((found.built.unwrap().0, found.canceled_by.as_deref()), (built.clone(), Some("Ada")));
        assert_eq!(found.started_at.unwrap() - row.created_at, chrono::TimeDelta::seconds(1), "the first phase counts");
        let failure = Failure::new(Cause::Build, Step::Build, "It broke.", "Mend it.").with_exit_code(2).with_log_tail(vec!["x".into()]);
        let end = End {
            failure: Some(failure.clone()),
            skip_reason: Some(SkipReason::Superseded),
            superseded_by: Some(row.id),
            healthy_after_ms: Some(1),
            requests_cut: Some(2),
            gap_ms: Some(3),
            warning: Some("careful".into()),
            canceled_by: Some("Cleo".into()),
        };
        change(store, async |write| deployments::end(write, row.id, Phase::Failed, &end, maker.now()).await.unwrap()).await;
        let found = get(store, row.id).await;
        assert_eq!((found.phase, found.failure.unwrap().0, found.skip_reason), (Phase::Failed, failure, Some(SkipReason::Superseded)));
        assert_eq!(
            (found.superseded_by, found.healthy_after_ms, found.requests_cut, found.gap_ms),
            (Some(row.id), Some(1), Some(2), Some(3))
        );
        assert_eq!((found.warning.as_deref(), found.canceled_by.as_deref()), (Some("careful"), Some("Ada")), "who asked first");
        // Nothing moves it any more.
        let stale = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Stale { .. }));
        let now = maker.now();
        assert!(attempt(store, async |write| stale(deployments::end(write, row.id, Phase::Live, &End::default(), now).await)).await);
        assert!(attempt(store, async |write| stale(deployments::set_phase(write, row.id, Phase::Live, now).await)).await);
        assert!(attempt(store, async |write| stale(deployments::set_built(write, row.id, &built, "x").await)).await);
        assert!(attempt(store, async |write| stale(deployments::set_release(write, row.id, release).await)).await);
        assert!(attempt(store, async |write| stale(deployments::request_cancel(write, row.id, "x", now).await)).await);
    })
    .await;
}

#[tokio::test]
async fn steps_count_their_attempts_and_keep_the_first_outcome() {
    on_both(async |store| {
        let maker = Maker::new();
        let row = maker.deployment("push/1");
        change(store, async |write| {
            deployments::insert(write, &row).await.unwrap();
            assert_eq!(deployments::intend(write, row.id, Step::Fetch, maker.now()).await.unwrap().attempt, 1);
            let again = deployments::intend(write, row.id, Step::Fetch, maker.now()).await.unwrap();
            assert_eq!((again.attempt, again.outcome_at), (2, None));
            assert!(deployments::conclude(write, row.id, Step::Fetch, Some("first"), maker.now()).await.unwrap());
            assert!(!deployments::conclude(write, row.id, Step::Fetch, Some("second"), maker.now()).await.unwrap());
            assert!(!deployments::conclude(write, row.id, Step::Build, None, maker.now()).await.unwrap(), "no intent, no outcome");
            let again = deployments::intend(write, row.id, Step::Fetch, maker.now()).await.unwrap();
            assert!(again.attempt == 3 && again.outcome_at.is_some());
            deployments::intend(write, row.id, Step::Build, maker.now()).await.unwrap();
        })
        .await;
        let steps = deployments::list_steps(&mut store.read().await.unwrap(), row.id).await.unwrap();
        let seen: Vec<_> = steps.iter().map(|step| (step.step, step.attempt, step.note.as_deref(), step.outcome_at.is_some())).collect();
        assert_eq!(seen, [(Step::Fetch, 3, Some("first"), true), (Step::Build, 1, None, false)]);
    })
    .await;
}

#[tokio::test]
async fn old_deployments_are_pruned_and_all_deleted_with_the_service() {
    on_both(async |store| {
        let maker = Maker::new();
        let rows: Vec<DeploymentRow> = (0..5).map(|number| maker.deployment(&format!("push/{number}"))).collect();
        change(store, async |write| {
            for row in &rows {
                deployments::insert(write, row).await.unwrap();
            }
            deployments::intend(write, rows[1].id, Step::Fetch, maker.now()).await.unwrap();
            // The oldest has not ended: it stays whatever its age.
            for row in rows.iter().skip(1) {
                deployments::end(write, row.id, Phase::Live, &End::default(), maker.now()).await.unwrap();
            }
        })
        .await;
        let stranger = maker.stranger();
        assert!(change(store, async |write| deployments::prune(write, stranger, maker.service, 2).await.unwrap()).await.is_empty());
        let gone = change(store, async |write| deployments::prune(write, maker.organization, maker.service, 2).await.unwrap()).await;
        let mut gone: Vec<DeploymentId> = gone.into_iter().map(|row| row.id).collect();
        gone.sort();
        assert_eq!(gone, [rows[1].id, rows[2].id]);
        assert!(deployments::list_steps(&mut store.read().await.unwrap(), rows[1].id).await.unwrap().is_empty(), "steps go along");
        assert_eq!(change(store, async |write| deployments::delete_of_service(write, stranger, maker.service).await.unwrap()).await, 0);
        assert_eq!(
            change(store, async |write| deployments::delete_of_service(write, maker.organization, maker.service).await.unwrap()).await,
            3
        );
    })
    .await;
}

#[tokio::test]
async fn releases_are_numbered_once_and_found_by_what_served() {
    on_both(async |store| {
        let maker = Maker::new();
        let own = maker.organization;
        let rows: Vec<ReleaseRow> =
            (1..=4).map(|version| maker.release(DeploymentId::new(&maker.clock, &maker.entropy), version)).collect();
        assert_eq!(releases::next_version(&mut store.read().await.unwrap(), maker.service).await.unwrap(), 1);
        change(store, async |write| {
            for row in &rows {
                releases::insert(write, row).await.unwrap();
            }
        })
        .await;
        let mut doubled = maker.release(DeploymentId::new(&maker.clock, &maker.entropy), 4);
        let error = attempt(store, async |write| releases::insert(write, &doubled).await.unwrap_err()).await;
        assert!(error.is_conflict_of("releases_version"), "{error:?}");
        (doubled.version, doubled.deployment_id) = (9, rows[0].deployment_id);
        let error = attempt(store, async |write| releases::insert(write, &doubled).await.unwrap_err()).await;
        assert!(error.is_conflict_of("releases_deployment"), "{error:?}");
        let at = maker.now();
        let stranger = maker.stranger();
        change(store, async |write| {
            for row in [&rows[0], &rows[1], &rows[3]] {
                releases::mark_served(write, own, row.id, at).await.unwrap();
            }
            releases::mark_served(write, own, rows[0].id, maker.now()).await.unwrap();
            releases::mark_served(write, stranger, rows[2].id, at).await.unwrap();
            releases::forget_image(write, own, rows[1].id).await.unwrap();
            releases::forget_image(write, stranger, rows[0].id).await.unwrap();
            releases::mark_irreversible(write, own, rows[2].id, true).await.unwrap();
            releases::mark_irreversible(write, stranger, rows[3].id, true).await.unwrap();
        })
        .await;
        let mut read = store.read().await.unwrap();
        let found = releases::find(&mut read, own, rows[0].id).await.unwrap().unwrap();
        assert_eq!((found.served_at, found.image_kept, found.sealed_variables), (Some(at), true, vec![0, 255, 3]));
        assert_eq!(
            (found.configuration.0.port, found.hosts.0, found.variable_names.0),
            (Some(8080), vec!["web.example".to_owned()], serde_json::json!(["A", "B"]))
        );
        assert!(releases::find(&mut read, stranger, rows[0].id).await.unwrap().is_none());
        assert_eq!(releases::find_any(&mut read, rows[3].id).await.unwrap().unwrap().version, 4);
        assert_eq!(releases::find_version(&mut read, own, maker.service, 2).await.unwrap().unwrap().id, rows[1].id);
        assert!(releases::find_version(&mut read, stranger, maker.service, 2).await.unwrap().is_none());
        assert_eq!(releases::next_version(&mut read, maker.service).await.unwrap(), 5);
        // v3 never served, the image of v2 is gone.
        assert_eq!(releases::find_served_before(&mut read, maker.service, 4).await.unwrap().unwrap().version, 1);
        assert!(releases::find_served_before(&mut read, maker.service, 1).await.unwrap().is_none());
        assert!(releases::another_served(&mut read, maker.service, rows[0].id).await.unwrap());
        assert!(!releases::another_served(&mut read, ServiceId::new(&maker.clock, &maker.entropy), rows[0].id).await.unwrap());
        let kept: Vec<i64> = releases::list_kept(&mut read, maker.service).await.unwrap().iter().map(|row| row.version).collect();
        assert_eq!(kept, [4, 3, 1]);
        assert_eq!(releases::find_irreversible_after(&mut read, maker.service, 1).await.unwrap().unwrap().version, 3);
        assert!(releases::find_irreversible_after(&mut read, maker.service, 3).await.unwrap().is_none());
        let page = Page { limit: 3, after: None };
        let listing = releases::list(&mut read, own, maker.service, &page).await.unwrap();
        assert_eq!(listing.rows.iter().map(|row| row.version).collect::<Vec<_>>(), [4, 3, 2]);
        let page = Page { limit: 3, after: listing.next };
        assert_eq!(releases::list(&mut read, own, maker.service, &page).await.unwrap().rows.len(), 1);
        drop(read);
        assert_eq!(change(store, async |write| releases::delete_of_service(write, stranger, maker.service).await.unwrap()).await, 0);
        assert_eq!(change(store, async |write| releases::delete_of_service(write, own, maker.service).await.unwrap()).await, 4);
    })
    .await;
}

#[tokio::test]
async fn runs_begin_and_end_once() {
    on_both(async |store| {
        let maker = Maker::new();
        let (own, stranger) = (maker.organization, maker.stranger());
        let row = maker.run();
        let begin = maker.now();
        change(store, async |write| {
            runs::insert(write, &row).await.unwrap();
            runs::insert(write, &maker.run()).await.unwrap();
            runs::start(write, row.id, begin).await.unwrap();
            runs::start(write, row.id, maker.now()).await.unwrap();
        })
        .await;
        let found = runs::find(&mut store.read().await.unwrap(), own, row.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.started_at, found.command.0), (RunState::Running, Some(begin), row.command.0.clone()));
        change(store, async |write| {
            runs::end(write, row.id, RunState::Failed, Some(3), Some("why"), maker.now()).await.unwrap();
            runs::end(write, row.id, RunState::Succeeded, Some(0), None, maker.now()).await.unwrap();
            runs::start(write, row.id, maker.now()).await.unwrap();
        })
        .await;
        let mut read = store.read().await.unwrap();
        let found = runs::find_any(&mut read, row.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.exit_code, found.reason.as_deref()), (RunState::Failed, Some(3), Some("why")));
        assert!(runs::find(&mut read, stranger, row.id).await.unwrap().is_none());
        assert_eq!(runs::list(&mut read, own, maker.service, &Page::default()).await.unwrap().rows.len(), 2);
        assert!(runs::list(&mut read, stranger, maker.service, &Page::default()).await.unwrap().rows.is_empty());
        assert_eq!(runs::list_ids(&mut read, own, maker.service).await.unwrap().len(), 2);
        assert!(runs::list_ids(&mut read, stranger, maker.service).await.unwrap().is_empty());
        drop(read);
        assert_eq!(change(store, async |write| runs::delete_of_service(write, stranger, maker.service).await.unwrap()).await, 0);
        assert_eq!(change(store, async |write| runs::delete_of_service(write, own, maker.service).await.unwrap()).await, 2);
    })
    .await;
}

#[tokio::test]
async fn the_first_data_key_of_a_tenant_is_made_once() {
    on_both(async |store| {
        let maker = Maker::new();
        let tenant = maker.organization.uuid();
        change(store, async |write| {
            let text = "INSERT INTO master_keys (id, state, created_at) VALUES ('m1', 'current', $1)";
            store::execute!(write, text, maker.now()).await.unwrap();
            store::data_keys::insert_first(write, tenant, &[1, 2], "m1", maker.now()).await.unwrap();
            store::data_keys::insert_first(write, tenant, &[3, 4], "m1", maker.now()).await.unwrap();
        })
        .await;
        let mut read = store.read().await.unwrap();
        let rows = store::data_keys::list(&mut read, tenant).await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.version, row.wrapped.as_slice(), row.state)).collect();
        assert_eq!(seen, [(1, [1, 2].as_slice(), store::data_keys::KeyState::Current)]);
        assert!(store::data_keys::list(&mut read, maker.stranger().uuid()).await.unwrap().is_empty());
    })
    .await;
}
