//! A database that is damaged is told from a sound one.

use store::{execute, fetch_one};
use testkit::databases::on_both;

#[tokio::test]
async fn a_sound_database_finds_no_fault() {
    on_both(async |store| assert_eq!(store.integrity().await.unwrap(), Vec::<String>::new())).await;
}

#[tokio::test]
async fn damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seaway.db");
    let store = store::Store::open(path.to_str().unwrap()).await.unwrap();
    store.migrate().await.unwrap();
    let mut write = store.write().await.unwrap();
    for kind in ["a", "b", "c"] {
        execute!(&mut write, "INSERT INTO job_schedules (kind, next_at) VALUES ($1, $2)", kind, chrono::DateTime::UNIX_EPOCH)
            .await
            .unwrap();
    }
    write.commit_without_audit("test").await.unwrap();
    let text = "SELECT rootpage AS value FROM sqlite_master WHERE name = 'job_schedules'";
    let page = fetch_one!(&mut store.read().await.unwrap(), (i64,), text).await.unwrap().0;
    store.close().await;
    // What a bad disk does: the page where the rows of the table lie is overwritten.
    let mut bytes = std::fs::read(&path).unwrap();
    let size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let place = (usize::try_from(page).unwrap() - 1) * size;
    for byte in bytes.iter_mut().skip(place).take(64) {
        *byte = 0xff;
    }
    std::fs::write(&path, bytes).unwrap();
    let store = store::Store::open(path.to_str().unwrap()).await.unwrap();
    let faults = store.integrity().await.unwrap();
    assert!(!faults.is_empty());
}
