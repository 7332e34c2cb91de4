use domain::{FixedClock, SeededEntropy};
use store::audit::{self, Actor, AuditFilter, Chain, Record, Verdict};
use store::{Durability, Page, Store};

#[tokio::test]
async fn smoke() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seaway.db");
    let store = Store::open_with(path.to_str().unwrap(), Durability::ProcessDeath).await.unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(1));
    for _ in 0..3 {
        let mut write = store.write().await.unwrap();
        audit::append(&mut write, &clock, &entropy, Record::new(Chain::Instance, Actor::system("test"), "instance.setup")).await.unwrap();
        write.commit().await.unwrap();
    }
    let mut read = store.read().await.unwrap();
    assert_eq!(audit::verify(&mut read, Chain::Instance, None).await.unwrap(), Verdict::Intact { entries: 3 });
    let listing = audit::list(&mut read, Chain::Instance, &AuditFilter::default(), &Page { limit: 2, after: None }).await.unwrap();
    assert_eq!(listing.rows.len(), 2);
    assert!(listing.next.is_some());
}
