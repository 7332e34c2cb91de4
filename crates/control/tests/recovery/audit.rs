//! Checkpoints show a chain that was rewritten together with its head.

use std::sync::Arc;

use control::recovery::checkpoint::{self, CheckpointState};
use domain::{FixedClock, SystemEntropy};
use store::audit::{Fault, Verdict};
use store::execute;
use testkit::databases::on_both;
use vault::{MasterKey, MasterRing};

use crate::instance::{fill, key_files, keys};

#[tokio::test]
async fn a_chain_that_was_cut_together_with_its_head_does_not_fit_the_checkpoint() {
    on_both(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
        let files = key_files(folder.path());
        let ring = files.read().unwrap();
        fill(store, &keys(ring.clone(), &clock), &clock).await;
        let first = checkpoint::verify(store, &ring, folder.path(), &*clock).await.unwrap();
        assert!(first.is_intact() && first.checkpoint == CheckpointState::First && first.chains.len() == 3);
        let again = checkpoint::verify(store, &ring, folder.path(), &*clock).await.unwrap();
        assert!(again.is_intact() && again.checkpoint == CheckpointState::Compared);

        // Another key signs nothing of ours; after a rotation the new key does.
        let new = MasterKey::generate(&SystemEntropy);
        let foreign = MasterRing::new(new.clone(), vec![]);
        assert_eq!(checkpoint::verify(store, &foreign, folder.path(), &*clock).await.unwrap().checkpoint, CheckpointState::Unusable);
        checkpoint::sign_again(folder.path(), &MasterRing::new(new, vec![ring.current().clone()])).unwrap();
        assert!(checkpoint::verify(store, &foreign, folder.path(), &*clock).await.unwrap().is_intact());

        let mut write = store.write().await.unwrap();
        let nobody = uuid::Uuid::nil();
        execute!(&mut write, "DELETE FROM audit_entries WHERE chain = $1", nobody).await.unwrap();
        execute!(&mut write, "DELETE FROM audit_heads WHERE chain = $1", nobody).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let cut = checkpoint::verify(store, &foreign, folder.path(), &*clock).await.unwrap();
        let instance = cut.chains.iter().find(|chain| chain.chain == "instance").unwrap();
        assert_eq!(instance.verdict, Verdict::Broken { sequence: 1, fault: Fault::Truncated });
        assert!(!cut.is_intact());
    })
    .await;
}
