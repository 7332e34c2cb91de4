//! Who asked must still be allowed to when it runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use contract::runs::CreateRun;
use control::access::{Actor, Restriction, Via};
use domain::deployment::{Cause, Phase};
use domain::id::{ServiceId, TokenId};
use domain::permission::{Permission, Role};
use domain::{Clock, SystemEntropy};
use store::Json;
use store::memberships::MembershipRow;
use store::runs::RunState;
use testkit::databases::on_both;

use crate::world::World;

async fn membership(world: &World, change: impl FnOnce(&mut MembershipRow)) {
    let mut write = world.store.write().await.unwrap();
    let mut row = store::memberships::find(&mut write, world.organization, world.user).await.unwrap().unwrap();
    change(&mut row);
    let sight = row.sight();
    let wanted = (row.role, &row.switches.0, &sight);
    store::memberships::update(&mut write, world.organization, world.user, wanted, world.clock.now()).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
}

#[tokio::test]
async fn a_right_lost_while_waiting_ends_the_deployment() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let changes: [fn(&mut MembershipRow); 4] = [
            |row| row.role = Role::Viewer,
            |row| {
                row.role = Role::Member;
                row.switches = Json(BTreeMap::from([(Permission::DeploymentsWrite, false)]));
            },
            |row| {
                row.role = Role::Member;
                row.projects = Some(Json(BTreeSet::new()));
            },
            |row| row.role = Role::Owner,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let asked = world.ask().await;
            membership(&world, |row| {
                row.switches = Json(BTreeMap::new());
                row.projects = None;
                change(row);
            })
            .await;
            world.work().await;
            let ended = world.deployment(asked.id).await;
            if number == 3 {
                assert_eq!(ended.phase, Phase::Live);
                continue;
            }
            let failure = ended.failure.unwrap();
            assert_eq!((ended.phase, failure.cause), (Phase::Failed, Cause::Configuration), "{number}");
            assert!(failure.message.contains("lost the right"), "{}", failure.message);
            assert_eq!(world.current().await, Some(1), "{number}");
        }
    })
    .await;
}

async fn token(world: &World, service: Option<ServiceId>) -> (TokenId, Actor) {
    let at = world.tick();
    let scopes = BTreeSet::from([Permission::DeploymentsWrite, Permission::ServicesRead, Permission::ExecWrite]);
    let row = store::tokens::TokenRow {
        id: TokenId::new(&*world.clock, &SystemEntropy),
        user_id: world.user,
        name: "ci".into(),
        digest: domain::Entropy::bytes::<32>(&SystemEntropy).to_vec(),
        scopes: Json(scopes.clone()),
        organization_id: None,
        project_id: None,
        environment_id: None,
        service_id: service,
        addresses: None,
        rate_requests: None,
        rate_window_seconds: None,
        created_at: at,
        expires_at: at + TimeDelta::hours(10),
        last_used_at: None,
        warned_at: None,
    };
    let mut write = world.store.write().await.unwrap();
    store::tokens::insert(&mut write, &row).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    let mut actor = world.actor();
    actor.principal.via = Via::Token { id: row.id, scopes, restriction: Restriction { service, ..Restriction::default() }, rate: None };
    (row.id, actor)
}

#[tokio::test]
async fn a_token_must_live_and_reach_the_service_when_it_runs() {
    on_both(async |store| {
        let world = World::new(store).await;
        let (_, actor) = token(&world, Some(world.service)).await;
        let asked = world.control.create_deployment(&actor, Default::default()).await.unwrap();
        world.work().await;
        let live = world.deployment(asked.id).await;
        assert_eq!((live.phase, live.author.as_deref()), (Phase::Live, Some("Ada (token)")));
        // Confined to something else: cannot happen through the API, must not happen here.
        let (_, actor) = token(&world, Some(ServiceId::new(&*world.clock, &SystemEntropy))).await;
        let asked = world.control.create_deployment(&actor, Default::default()).await.unwrap();
        world.work().await;
        assert_eq!(world.deployment(asked.id).await.phase, Phase::Failed);
        // Expired while it waited.
        let (_, actor) = token(&world, None).await;
        let asked = world.control.create_deployment(&actor, Default::default()).await.unwrap();
        world.clock.advance(TimeDelta::hours(11));
        world.work().await;
        assert_eq!(world.deployment(asked.id).await.phase, Phase::Failed);
    })
    .await;
}

#[tokio::test]
async fn a_run_asks_again_too() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let wanted = CreateRun { command: vec!["dump".into()], timeout_seconds: None };
        let asked = world.control.create_run(&world.actor(), wanted).await.unwrap();
        membership(&world, |row| row.role = Role::Viewer).await;
        world.work().await;
        let row = world.run_row(asked.id).await;
        assert_eq!((row.state, world.server.count("run")), (RunState::Failed, 0));
        assert!(row.reason.unwrap().contains("lost the right"));
    })
    .await;
}
