//! From the request to the end.

use contract::Code;
use control::ControlError;
use deployer::protocol::{LogStream, RunEnd};
use domain::deployment::{Cause, Phase, ServiceState, Step};
use testkit::databases::on_both;

use crate::world::World;

#[tokio::test]
async fn a_deployment_goes_live_with_every_step_recorded() {
    on_both(async |store| {
        let world = World::new(store).await;
        let asked = world.ask().await;
        assert_eq!((asked.phase, asked.position), (Phase::Queued, Some(0)));
        world.work().await;
        let live = world.deployment(asked.id).await;
        assert_eq!((live.phase, live.version, live.failure), (Phase::Live, Some(1), None));
        assert_eq!(live.commit.as_deref(), Some(format!("{:040x}", 1).as_str()));
        assert_eq!(live.url.as_deref(), Some("http://web-shop.apps.localhost:8081"));
        assert!(live.started_at.is_some() && live.finished_at.is_some() && live.healthy_after_ms == Some(5));
        let steps: Vec<Step> = live.steps.iter().map(|step| step.step).collect();
        let expected = Step::ALL.into_iter().filter(|step| !matches!(step, Step::ReleaseCommand | Step::PostDeploy | Step::Record));
        assert_eq!(steps, expected.collect::<Vec<_>>());
        assert!(live.steps.iter().all(|step| step.finished_at.is_some() && step.attempt == 1));
        assert_eq!(world.current().await, Some(1));
        assert_eq!(world.server.serving(world.service).unwrap().version, 1);
        assert_eq!(world.server.logs().ended(LogStream::Deployment(asked.id)).as_deref(), Some("live"));
        assert!(!world.service_row().await.draft());
        assert!(world.releases().await.iter().all(|release| release.served_at.is_some()));
        let status = world.control.service_status(&world.actor()).await.unwrap();
        assert_eq!((status.state, status.version, status.replicas.len()), (ServiceState::Live, Some(1), 1));
    })
    .await;
}

#[tokio::test]
async fn a_failed_build_keeps_what_serves() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        world.server.fail_at(Step::Build, Cause::Build);
        let failed = world.deploy().await;
        let failure = failed.failure.unwrap();
        assert_eq!((failed.phase, failure.cause, failure.step, failed.version), (Phase::Failed, Cause::Build, Step::Build, None));
        assert_eq!(world.current().await, Some(1));
        assert_eq!(world.server.count("build"), 2);
        assert_eq!(world.server.count("apply"), 1);
        let end = world.server.logs().ended(LogStream::Deployment(failed.id)).unwrap();
        assert!(end.starts_with("failed: "), "{end}");
        let status = world.control.service_status(&world.actor()).await.unwrap();
        assert_eq!(status.state, ServiceState::Live);
    })
    .await;
}

#[tokio::test]
async fn a_failed_rollout_keeps_what_serves() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        for (step, cause) in
            [(Step::Create, Cause::Engine), (Step::Start, Cause::Start), (Step::Health, Cause::Health), (Step::Switch, Cause::Ingress)]
        {
            world.server.fail_at(step, cause);
            let failed = world.deploy().await;
            assert_eq!((failed.phase, failed.failure.unwrap().cause), (Phase::Failed, cause), "{step:?}");
            assert_eq!(world.current().await, Some(1), "{step:?}");
            assert_eq!(world.server.switches(world.service), [1], "{step:?}");
            assert_eq!(world.server.left_behind(world.service), None, "{step:?}");
        }
        // None of the failed ones ever served.
        assert_eq!(world.releases().await.iter().filter(|release| release.served_at.is_some()).count(), 1);
    })
    .await;
}

/// The old release could not be taken away: the new one serves, and that is said.
#[tokio::test]
async fn a_failure_after_the_switch_is_a_warning() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        world.server.fail_at(Step::Stop, Cause::Engine);
        let live = world.deploy().await;
        assert_eq!((live.phase, live.failure), (Phase::Live, None));
        assert!(live.warning.unwrap().contains("serves all the same"));
        assert_eq!(world.current().await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn an_unresolved_variable_is_named() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.variable("DATABASE_URL", "${{project.MISSING}}").await;
        let failed = world.deploy().await;
        let failure = failed.failure.unwrap();
        assert_eq!((failed.phase, failure.cause), (Phase::Failed, Cause::Configuration));
        assert!(failure.message.contains("MISSING"), "{}", failure.message);
        assert_eq!(world.server.count("build") + world.server.count("apply"), 0, "refused before any work");
        world.variable("DATABASE_URL", "postgres://db").await;
        assert_eq!(world.deploy().await.phase, Phase::Live);
        assert_eq!(world.server.serving(world.service).unwrap().variables["DATABASE_URL"].reveal(), "postgres://db");
    })
    .await;
}

#[tokio::test]
async fn a_release_command_runs_once_and_its_failure_ends_the_deployment() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.configure(|configuration| configuration.release_command = Some(vec!["migrate".into(), "up".into()])).await;
        assert_eq!(world.deploy().await.phase, Phase::Live);
        assert_eq!(world.server.count("run"), 1);
        world.server.next_run(Ok(RunEnd { exit_code: 3, out_of_memory: false, timed_out: false }));
        let failed = world.deploy().await;
        let failure = failed.failure.unwrap();
        assert_eq!((failed.phase, failure.cause, failure.exit_code), (Phase::Failed, Cause::ReleaseCommand, Some(3)));
        assert!(failure.message.contains("migrate up") && failure.message.contains("exit code 3"), "{}", failure.message);
        assert_eq!((world.current().await, world.server.count("apply")), (Some(1), 1));
        world.server.next_run(Ok(RunEnd { exit_code: 137, out_of_memory: true, timed_out: false }));
        assert_eq!(world.deploy().await.failure.unwrap().cause, Cause::OutOfMemory);
        world.server.next_run(Ok(RunEnd { exit_code: 137, out_of_memory: false, timed_out: true }));
        assert_eq!(world.deploy().await.failure.unwrap().cause, Cause::ReleaseCommand);
        // Neither scale nor rollback migrates.
        let runs = world.server.count("run");
        world.scale(2).await.unwrap();
        world.work().await;
        assert_eq!(world.server.count("run"), runs);
    })
    .await;
}

#[tokio::test]
async fn a_post_deploy_failure_is_a_warning_and_first_means_first_that_served() {
    on_both(async |store| {
        let world = World::new(store).await;
        world
            .configure(|configuration| {
                configuration.post_deploy_command = Some(vec!["notify".into()]);
                configuration.first_deploy_command = Some(vec!["seed".into()]);
            })
            .await;
        // The first attempt never serves: the seed waits for the one that does.
        world.server.fail_at(Step::Health, Cause::Health);
        assert_eq!(world.deploy().await.phase, Phase::Failed);
        assert_eq!(world.server.count("run"), 0);
        let live = world.deploy().await;
        assert_eq!((live.phase, live.version, live.warning), (Phase::Live, Some(2), None));
        let commands = |name: &str| world.server.calls().iter().filter(|call| call.ends_with(name)).count();
        assert_eq!((commands("notify"), commands("seed")), (1, 1));
        world.server.next_run(Ok(RunEnd { exit_code: 1, out_of_memory: false, timed_out: false }));
        let live = world.deploy().await;
        assert!(live.warning.unwrap().contains("notify"));
        // A server that cannot even start the command is no reason to call the deployment failed.
        world.server.next_run(Err(testkit::scripted::ScriptedServer::failure(Cause::Engine, Step::PostDeploy)));
        let live = world.deploy().await;
        assert_eq!((live.phase, live.failure), (Phase::Live, None));
        assert!(live.warning.is_some());
        assert_eq!((commands("seed"), world.current().await), (1, Some(4)));
    })
    .await;
}

#[tokio::test]
async fn scale_is_checked_and_makes_a_release_of_the_same_image() {
    on_both(async |store| {
        let world = World::new(store).await;
        let refused = |result: control::Result<contract::deployments::Deployment>| match result.unwrap_err() {
            ControlError::Invalid(errors) => errors[0].code.to_string(),
            ControlError::Refused { code, .. } => code.text().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(world.scale(2).await), Code::Conflict.text());
        world.deploy().await;
        assert_eq!(refused(world.scale(51).await), "out-of-range");
        let unknown = contract::deployments::Scale { processes: [("worker".to_owned(), 1)].into() };
        assert_eq!(refused(world.control.scale_service(&world.actor(), unknown).await), "not-found");
        let nothing = contract::deployments::Scale { processes: Default::default() };
        assert_eq!(refused(world.control.scale_service(&world.actor(), nothing).await), "required");
        let asked = world.scale(3).await.unwrap();
        world.work().await;
        let live = world.deployment(asked.id).await;
        assert_eq!((live.phase, live.version), (Phase::Live, Some(2)));
        assert_eq!(world.server.serving(world.service).unwrap().processes[0].replicas, 3);
        let releases = world.releases().await;
        assert_eq!(releases[0].image, releases[1].image);
        assert_eq!(world.server.count("build"), 1);
        assert!(!world.service_row().await.draft());
        // A written volume allows one replica.
        world
            .configure(|configuration| {
                let volume = domain::id::VolumeId::new(&*world.clock, &domain::SystemEntropy);
                configuration.mounts.push(domain::service::Mount::Volume { volume, path: "/data".into(), read_only: false });
            })
            .await;
        assert_eq!(refused(world.scale(2).await), "single-writer");
        world.control.stop_service(&world.actor()).await.unwrap();
        assert_eq!(refused(world.scale(1).await), Code::Conflict.text());
    })
    .await;
}

#[tokio::test]
async fn restart_stop_and_start_make_no_release() {
    on_both(async |store| {
        let world = World::new(store).await;
        assert!(world.control.restart_service(&world.actor()).await.is_err(), "nothing to restart");
        world.deploy().await;
        let asked = world.control.restart_service(&world.actor()).await.unwrap();
        world.work().await;
        let live = world.deployment(asked.id).await;
        assert_eq!((live.phase, live.version, live.work.as_str()), (Phase::Live, Some(1), "restart"));
        assert_eq!((world.releases().await.len(), world.server.count("build"), world.server.count("apply")), (1, 1, 2));
        world.control.stop_service(&world.actor()).await.unwrap();
        world.work().await;
        assert_eq!(world.server.count("stop"), 1);
        let status = world.control.service_status(&world.actor()).await.unwrap();
        assert_eq!((status.state, status.replicas.len()), (ServiceState::Stopped, 0));
        world.control.start_service(&world.actor()).await.unwrap();
        world.work().await;
        let status = world.control.service_status(&world.actor()).await.unwrap();
        assert_eq!((status.state, status.replicas.len(), world.releases().await.len()), (ServiceState::Live, 1, 1));
    })
    .await;
}

/// What is changed while a build runs is either in the release or still shown as a draft; never lost.
#[tokio::test]
async fn a_change_during_the_build_is_in_the_release() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.server.hold(Step::Build);
        let runner = world.runner();
        let asked = world.ask().await;
        crate::world::eventually("the build runs", async || world.server.waits_at(Step::Build)).await;
        world.configure(|configuration| configuration.port = Some(4321)).await;
        world.variable("COLOR", "blue").await;
        world.server.release(Step::Build);
        crate::world::eventually("live", async || {
            world.deployment(asked.id).await.phase.is_end() && world.deployment(asked.id).await.finished_at.is_some()
        })
        .await;
        runner.stop(std::time::Duration::from_secs(5)).await;
        let desired = world.server.serving(world.service).unwrap();
        assert_eq!((desired.port, desired.variables["COLOR"].reveal().as_str()), (4321, "blue"));
    })
    .await;
}

/// A failure is told to whoever asked, once; so is the first success after it; further successes are no news.
#[tokio::test]
async fn failures_and_recoveries_are_mailed() {
    on_both(async |store| {
        let world = World::new(store).await;
        let mailed =
            |kind: &str| world.mailbox.to("ada@lighthouse.example").into_iter().filter(|mail| mail.kind == kind).collect::<Vec<_>>();
        world.deploy().await;
        assert!(mailed("deployment_failed").is_empty() && mailed("deployment_recovered").is_empty());
        world.server.fail_at(Step::Build, Cause::Build);
        let failed = world.deploy().await;
        let text = mailed("deployment_failed")[0].text.clone();
        assert!(text.contains("web") && text.contains("scripted to fail") && text.contains(&failed.id.to_string()), "{text}");
        assert!(mailed("deployment_recovered").is_empty());
        world.deploy().await;
        assert_eq!(mailed("deployment_recovered").len(), 1);
        world.deploy().await;
        assert_eq!((mailed("deployment_failed").len(), mailed("deployment_recovered").len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn without_a_port_the_image_says_it_and_neighbours_learn_it() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.configure(|configuration| configuration.port = None).await;
        let done = world.deploy().await;
        assert_eq!(done.phase, Phase::Live, "{:?}", done.failure);
        // The scripted build declares one port.
        let desired = world.server.serving(world.service).unwrap();
        assert_eq!((desired.port, desired.variables["PORT"].reveal().as_str()), (8080, "8080"));
        // What is set wins over what the image says.
        world.configure(|configuration| configuration.port = Some(4000)).await;
        world.deploy().await;
        assert_eq!(world.server.serving(world.service).unwrap().port, 4000);
    })
    .await;
}
