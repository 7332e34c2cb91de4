//! A crash loop that was given up.

use deployer::protocol::{CrashedService, LogStream, SweepMode};
use testkit::databases::on_both;

use crate::world::World;

async fn crash(world: &World, out_of_memory: bool) -> CrashedService {
    CrashedService {
        service: world.service,
        release: world.service_row().await.current_release_id.unwrap(),
        replicas: vec!["web.1".into()],
        exit_code: Some(137),
        out_of_memory,
        restarts_max: 10,
        since: world.tick(),
    }
}

#[tokio::test]
async fn a_crash_loop_is_mailed_once_per_episode() {
    on_both(async |store| {
        let world = World::new(store).await;
        let mails = || {
            let all = world.mailbox.to("ada@lighthouse.example").into_iter();
            all.filter(|mail| mail.kind == "service_crashed").collect::<Vec<_>>()
        };
        world.deploy().await;
        world.control.sweep(SweepMode::Act).await.unwrap();
        world.work().await;
        assert!(mails().is_empty());
        world.server.logs().line(LogStream::Service(world.service), "the last words");
        world.server.crash(vec![crash(&world, true).await]);
        // Every sweep reports it, also to another process.
        world.control.sweep(SweepMode::Act).await.unwrap();
        world.reborn().control.sweep(SweepMode::Act).await.unwrap();
        world.work().await;
        let sent = mails();
        assert_eq!(sent.len(), 1);
        for part in ["web", "exit code 137 (out of memory)", "the last words", "Raise the memory limit", "After 10 restarts"] {
            assert!(sent[0].text.contains(part), "{part}: {}", sent[0].text);
        }
        // It was restarted and crashes again.
        world.server.crash(vec![crash(&world, false).await]);
        world.control.sweep(SweepMode::Act).await.unwrap();
        world.work().await;
        assert_eq!(mails().len(), 2);
        assert!(mails()[1].text.contains("Read the last lines"));
        // Nobody is told of what was stopped by hand.
        world.control.stop_service(&world.actor()).await.unwrap();
        world.server.crash(vec![crash(&world, false).await]);
        world.control.sweep(SweepMode::Act).await.unwrap();
        world.work().await;
        assert_eq!(mails().len(), 2);
    })
    .await;
}
