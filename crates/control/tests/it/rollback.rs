//! Rollbacks, and which images are kept for them.

use control::ControlError;
use domain::deployment::{Cause, Phase, Step};
use domain::id::Id;
use testkit::databases::on_both;

use crate::world::World;

fn detail(result: control::Result<contract::deployments::Deployment>) -> String {
    match result.unwrap_err() {
        ControlError::Refused { code: contract::Code::Conflict, detail } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rollback_brings_back_what_was_as_a_new_release() {
    on_both(async |store| {
        let world = World::new(store).await;
        let _kept = world.domain("shop.example").await;
        let given_up = world.domain("old.example").await;
        world.variable("COLOR", "blue").await;
        world.configure(|configuration| configuration.port = Some(1111)).await;
        world.deploy().await;
        world.variable("COLOR", "red").await;
        world.configure(|configuration| configuration.port = Some(2222)).await;
        world.domain("new.example").await;
        let mut write = world.store.write().await.unwrap();
        store::domains::delete(&mut write, world.organization, world.service, given_up).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        world.deploy().await;
        let desired = world.server.serving(world.service).unwrap();
        assert_eq!((desired.port, desired.variables["COLOR"].reveal().as_str()), (2222, "red"));
        let asked = world.rollback(1).await.unwrap();
        world.work().await;
        let live = world.deployment(asked.id).await;
        assert_eq!((live.phase, live.version), (Phase::Live, Some(3)));
        let desired = world.server.serving(world.service).unwrap();
        let releases = world.releases().await;
        assert_eq!((desired.port, desired.variables["COLOR"].reveal().as_str(), &desired.image), (1111, "blue", &releases[0].image));
        // Its domains of then, but none that was given up since: that may be somebody else's by now.
        assert_eq!(desired.hosts, ["web-shop.apps.localhost", "shop.example"]);
        assert_eq!((releases[2].rolled_back_to, releases[2].revision == releases[0].revision), (Some(1), true));
        assert_eq!(world.server.count("build"), 2);
        // The service's own settings are still the newer ones: shown as a draft.
        assert!(world.service_row().await.draft());
    })
    .await;
}

#[tokio::test]
async fn without_a_number_it_goes_to_the_newest_that_served() {
    on_both(async |store| {
        let world = World::new(store).await;
        assert!(detail(world.control.create_rollback(&world.actor(), Default::default()).await).contains("no release yet"));
        world.deploy().await;
        assert!(detail(world.control.create_rollback(&world.actor(), Default::default()).await).contains("no earlier release"));
        world.server.fail_at(Step::Health, Cause::Health);
        assert_eq!(world.deploy().await.version, Some(2));
        world.deploy().await;
        let asked = world.control.create_rollback(&world.actor(), Default::default()).await.unwrap();
        assert_eq!(asked.title.as_deref(), Some("Rollback to v1"), "v2 never served");
    })
    .await;
}

#[tokio::test]
async fn an_irreversible_release_blocks_unless_forced() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        world.deploy().await;
        let second = world.releases().await[1].id;
        let mark = contract::releases::UpdateRelease { irreversible: true };
        world.control.update_release(&world.actor_at(second.uuid()), mark).await.unwrap();
        assert!(detail(world.rollback(1).await).contains("v2 is marked irreversible"));
        let forced = contract::deployments::CreateRollback { version: Some(1), force: true };
        world.control.create_rollback(&world.actor(), forced).await.unwrap();
        world.work().await;
        assert_eq!(world.current().await, Some(3));
    })
    .await;
}

#[tokio::test]
async fn the_current_and_so_many_others_are_kept_and_no_shared_image_goes() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.configure(|configuration| configuration.releases_kept = 2).await;
        for _ in 0..3 {
            world.deploy().await;
        }
        assert_eq!(world.server.count("remove images"), 0, "current and two others");
        // v4 shares the image of v3.
        world.scale(2).await.unwrap();
        world.work().await;
        let releases = world.releases().await;
        let kept: Vec<i64> = releases.iter().filter(|release| release.image_kept).map(|release| release.version).collect();
        assert_eq!(kept, [2, 3, 4]);
        // v5 of the image of v2: v3 and v4 are the others, v2 goes and its image stays because v5 runs it.
        world.rollback(2).await.unwrap();
        world.work().await;
        let kept: Vec<i64> = world.releases().await.iter().filter(|release| release.image_kept).map(|release| release.version).collect();
        assert_eq!(kept, [3, 4, 5]);
        let removed: Vec<String> = world.server.calls().into_iter().filter(|call| call.starts_with("remove images")).collect();
        assert_eq!(removed, [format!("remove images of {}: {}", world.service, releases[0].image)]);
        assert!(detail(world.rollback(1).await).contains("not kept"));
        let unknown = world.rollback(99).await.unwrap_err();
        assert!(matches!(unknown, ControlError::Invalid(_)), "{unknown:?}");
    })
    .await;
}

/// Releases that failed fill the disk and are no place to return to: they do not push out those that served.
#[tokio::test]
async fn failed_releases_do_not_push_out_the_one_to_return_to() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.configure(|configuration| configuration.releases_kept = 1).await;
        world.deploy().await;
        world.deploy().await;
        for _ in 0..4 {
            world.server.fail_at(Step::Health, Cause::Health);
            world.deploy().await;
        }
        let kept: Vec<i64> = world.releases().await.iter().filter(|release| release.image_kept).map(|release| release.version).collect();
        assert_eq!(kept, [1, 2]);
        world.rollback(1).await.unwrap();
        world.work().await;
        assert_eq!(world.current().await, Some(7));
    })
    .await;
}

/// A rollback waits behind a deployment whose end removes images: not the one it wants.
#[tokio::test]
async fn a_waiting_rollback_keeps_its_image() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.configure(|configuration| configuration.releases_kept = 1).await;
        world.deploy().await;
        world.deploy().await;
        world.ask().await;
        let back = world.rollback(1).await.unwrap();
        world.work().await;
        let live = world.deployment(back.id).await;
        assert_eq!((live.phase, live.version), (Phase::Live, Some(4)), "{:?}", live.failure);
    })
    .await;
}
