//! What a release keeps of what was frozen before, what it says of its variables, and who read them.

use contract::releases::Release;
use contract::runs::CreateRun;
use contract::services::UpdateService;
use control::ControlError;
use domain::deployment::Phase;
use domain::id::Id;
use domain::variables::VariableKind;
use serde_json::{Value, json};
use testkit::databases::on_both;

use crate::world::World;

/// The release that was made last.
async fn newest(world: &World) -> Release {
    let id = world.releases().await.last().unwrap().id;
    world.control.read_release(&world.actor_at(id.uuid())).await.unwrap()
}

/// v1 is blue on port 1111, v2 is red on port 2222, v3 is v1 again; the settings are those of v2.
async fn rolled_back(world: &World) {
    world.variable("COLOR", "blue").await;
    world.configure(|configuration| configuration.port = Some(1111)).await;
    world.deploy().await;
    world.variable("COLOR", "red").await;
    world.configure(|configuration| configuration.port = Some(2222)).await;
    world.deploy().await;
    world.rollback(1).await.unwrap();
    world.work().await;
}

fn serving(world: &World) -> (u64, u16, String, u32) {
    let desired = world.server.serving(world.service).unwrap();
    (desired.version, desired.port, desired.variables["COLOR"].reveal().clone(), desired.processes[0].replicas)
}

#[tokio::test]
async fn a_scale_after_a_rollback_changes_replicas_alone() {
    on_both(async |store| {
        let world = World::new(store).await;
        rolled_back(&world).await;
        world.scale(3).await.unwrap();
        world.work().await;
        assert_eq!(serving(&world), (4, 1111, "blue".into(), 3));
        let releases = world.releases().await;
        assert_eq!((&releases[3].image, releases[3].rolled_back_to), (&releases[0].image, None));
        assert!(world.service_row().await.draft(), "the settings of v2 still wait");
        assert_eq!(newest(&world).await.changes, ["setting changed: processes"]);
        // The settings have as many by now, so the next change of them does not take the replicas back.
        assert_eq!(world.service_row().await.configuration.0.processes[0].replicas, 3);
        // A restart and a start keep what was frozen as well.
        world.control.restart_service(&world.actor()).await.unwrap();
        world.work().await;
        assert_eq!(serving(&world), (4, 1111, "blue".into(), 3));
        world.control.stop_service(&world.actor()).await.unwrap();
        world.work().await;
        world.control.start_service(&world.actor()).await.unwrap();
        world.work().await;
        assert_eq!(serving(&world), (4, 1111, "blue".into(), 3));
    })
    .await;
}

#[tokio::test]
async fn settings_that_differ_in_replicas_alone_are_a_scale() {
    on_both(async |store| {
        let world = World::new(store).await;
        rolled_back(&world).await;
        let row = world.service_row().await;
        let patch = json!({ "processes": [{ "name": "web", "replicas": 2 }] });
        let wanted: UpdateService = serde_json::from_value(json!({ "configuration": patch })).unwrap();
        world.control.update_service(&world.actor(), Some(&format!("\"{}\"", row.version)), wanted, true).await.unwrap();
        world.work().await;
        assert_eq!(serving(&world), (4, 1111, "blue".into(), 2));
    })
    .await;
}

/// As everywhere: a changed variable is a new release of what runs with the variables and settings of now.
#[tokio::test]
async fn a_changed_variable_after_a_rollback_takes_what_the_service_has_now() {
    on_both(async |store| {
        let world = World::new(store).await;
        rolled_back(&world).await;
        set(&world, "SHAPE", VariableKind::Plain, "round").await;
        world.work().await;
        assert_eq!(serving(&world), (4, 2222, "red".into(), 1));
        let releases = world.releases().await;
        assert_eq!(releases[3].image, releases[0].image, "the image that runs");
        assert!(!world.service_row().await.draft());
    })
    .await;
}

#[tokio::test]
async fn scales_that_wait_become_one_and_never_bring_drafts_along() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.variable("COLOR", "blue").await;
        world.configure(|configuration| configuration.port = Some(1111)).await;
        world.deploy().await;
        assert!(!world.service_row().await.draft());
        world.scale(2).await.unwrap();
        world.scale(3).await.unwrap();
        world.work().await;
        assert_eq!(serving(&world).3, 3);
        assert_eq!(world.current().await, Some(2));
        assert_eq!(world.deployments().await[1].phase, Phase::Skipped);
        assert!(!world.service_row().await.draft(), "all is released");
        // Edits that wait for the next deployment are not in the release of a scale.
        world.configure(|configuration| configuration.port = Some(4444)).await;
        world.scale(1).await.unwrap();
        world.work().await;
        assert_eq!((serving(&world).1, serving(&world).3), (1111, 1));
        assert!(world.service_row().await.draft());
        // One that waits behind a change of settings does not replace it.
        set(&world, "COLOR", VariableKind::Plain, "red").await;
        world.scale(2).await.unwrap();
        world.work().await;
        let (_, port, color, replicas) = serving(&world);
        assert_eq!((port, color.as_str(), replicas), (4444, "red", 2));
        assert!(!world.service_row().await.draft());
    })
    .await;
}

#[tokio::test]
async fn what_does_not_run_is_not_scaled() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        world
            .configure(|configuration| {
                let worker = domain::service::Process { name: "worker".into(), ..configuration.processes[0].clone() };
                configuration.processes.push(worker);
            })
            .await;
        let worker = || contract::deployments::Scale { processes: [("worker".to_owned(), 2)].into() };
        let refused = world.control.scale_service(&world.actor(), worker()).await.unwrap_err();
        assert!(matches!(&refused, ControlError::Invalid(errors) if errors[0].detail.contains("deploy first")), "{refused:?}");
        // The deployment that waits brings it.
        world.ask().await;
        world.control.scale_service(&world.actor(), worker()).await.unwrap();
        world.work().await;
        assert_eq!(world.server.serving(world.service).unwrap().processes[1].replicas, 2);
    })
    .await;
}

async fn set(world: &World, name: &str, kind: VariableKind, value: &str) {
    let wanted = serde_json::from_value(json!({ "set": [{ "name": name, "kind": kind, "value": value }] })).unwrap();
    world.control.change_variables(&world.actor(), None, wanted, true).await.unwrap();
}

#[tokio::test]
async fn a_release_says_which_variables_changed_and_never_how() {
    on_both(async |store| {
        let world = World::new(store).await;
        set(&world, "TOKEN", VariableKind::Secret, "first-value").await;
        set(&world, "OLD", VariableKind::Plain, "x").await;
        world.deploy().await;
        set(&world, "TOKEN", VariableKind::Secret, "second-value").await;
        world.work().await;
        assert_eq!(newest(&world).await.changes, ["variable changed: TOKEN (v1 → v2)"]);
        let noted = world.releases().await[1].variable_names.0.clone();
        assert_eq!((&noted["TOKEN"]["version"], &noted["OLD"]["version"], &noted["PORT"]), (&json!(2), &json!(1), &Value::Null));
        assert!(!noted.to_string().contains("second-value"));
        // What an older version of Seaway wrote is read as well.
        let mut write = world.store.write().await.unwrap();
        let text = "UPDATE releases SET variable_names = $2 WHERE id = $1";
        let old = store::Json(json!(["TOKEN", "GONE"]));
        store::execute!(&mut write, text, world.releases().await[1].id, old).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        world.deploy().await;
        let changes = newest(&world).await.changes;
        assert!(changes.contains(&"variable removed: GONE".to_owned()), "{changes:?}");
        assert!(
            changes.contains(&"variable added: OLD (v1)".to_owned()) && !changes.iter().any(|line| line.contains("TOKEN")),
            "{changes:?}"
        );
    })
    .await;
}

/// Who read hidden values: part, id of the deployment or run, how many, in which versions.
async fn reads(world: &World) -> Vec<Value> {
    let mut read = world.store.read().await.unwrap();
    let page = store::Page { limit: store::PAGE_LIMIT_MAX, after: None };
    let chain = store::audit::Chain::Organization(world.organization);
    let query = store::audit::AuditFilter { action: Some("variables.read".into()), ..Default::default() };
    let mut rows = store::audit::list(&mut read, chain, &query, &page).await.unwrap().rows;
    rows.reverse();
    rows.into_iter().map(|row| serde_json::from_str(&row.details).unwrap()).collect()
}

#[tokio::test]
async fn every_reader_of_a_secret_is_noted() {
    on_both(async |store| {
        let world = World::new(store).await;
        set(&world, "TOKEN", VariableKind::Secret, "a-value").await;
        let first = world.deploy().await;
        let noted = reads(&world).await;
        assert_eq!(noted.len(), 2, "the build and the release");
        assert!(noted.iter().all(|noted| (&noted["deployment"], &noted["count"]) == (&json!(first.id), &json!(1))));
        world.deploy().await;
        let back = world.rollback(1).await.unwrap();
        world.work().await;
        let restart = world.control.restart_service(&world.actor()).await.unwrap();
        world.work().await;
        let run = CreateRun { command: vec!["ls".into()], timeout_seconds: None };
        let run = world.control.create_run(&world.actor(), run).await.unwrap();
        world.work().await;
        let scaled = world.scale(2).await.unwrap();
        world.work().await;
        let noted = reads(&world).await;
        assert_eq!(noted.len(), 8, "{noted:#?}");
        for (noted, (key, id, release)) in noted[4..].iter().zip([
            ("deployment", json!(back.id), "v1"),
            ("deployment", json!(restart.id), "v3"),
            ("run", json!(run.id), "v3"),
            ("deployment", json!(scaled.id), "v3"),
        ]) {
            let known = (&noted[key], noted["release"].as_str(), &noted["count"], &noted["versions"]["TOKEN"]);
            assert_eq!(known, (&id, Some(release), &json!(1), &json!(1)));
        }
    })
    .await;
}

/// The process died between the commit and the stored answer: the repeat has another request id and the same key.
#[tokio::test]
async fn a_repeat_of_a_call_is_the_same_deployment() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let claim = async || match world.control.begin_idempotent(world.user.uuid(), "create_deployment", "key", [1; 32]).await.unwrap() {
            control::idempotency::Beginning::Fresh(ticket) => Some(ticket),
            _ => None,
        };
        let actor = |delivery: &str| {
            let mut actor = world.actor();
            actor.origin.delivery = Some(delivery.to_owned());
            actor
        };
        let first = claim().await.unwrap();
        let asked = world.control.create_deployment(&actor(&first.delivery), Default::default()).await.unwrap();
        assert!(claim().await.is_none(), "it may be still running");
        world.clock.advance(chrono::TimeDelta::minutes(5));
        let second = claim().await.unwrap();
        // The deployment is over and the service stopped by now: a repeat starts nothing.
        world.work().await;
        world.control.stop_service(&world.actor()).await.unwrap();
        world.work().await;
        let again = world.control.create_deployment(&actor(&second.delivery), Default::default()).await.unwrap();
        assert_eq!((again.id, world.deployments().await.len()), (asked.id, 2));
        assert!(world.service_row().await.stopped);
        // Another key is another deployment, and so is the same key after the day for which it is kept.
        world.clock.advance(chrono::TimeDelta::hours(24));
        let later = claim().await.unwrap();
        let other = world.control.create_deployment(&actor(&later.delivery), Default::default()).await.unwrap();
        assert_ne!(other.id, asked.id);
    })
    .await;
}

#[tokio::test]
async fn what_is_being_deleted_is_not_stopped() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let mut write = world.store.write().await.unwrap();
        store::services::mark_deleting(&mut write, world.organization, world.service, world.tick()).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let refused = world.control.stop_service(&world.actor()).await.unwrap_err();
        assert!(matches!(refused, ControlError::Refused { .. }), "{refused:?}");
        assert!(!world.service_row().await.stopped);
    })
    .await;
}

/// The row is gone, so the call has succeeded, whatever becomes of the log.
#[tokio::test]
async fn a_deployment_is_deleted_although_its_log_stays() {
    on_both(async |store| {
        let world = World::new(store).await;
        let first = world.deploy().await;
        world.server.keep_logs(true);
        world.control.delete_deployment(&world.actor_at(first.id.uuid())).await.unwrap();
        assert!(world.deployments().await.is_empty());
    })
    .await;
}
