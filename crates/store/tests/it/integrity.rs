//! A database that is damaged is told from a sound one.

use store::execute;
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
    store.close().await;
    // What a bad disk does: the end of each page, where rows lie, is overwritten.
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(4).position(|window| window == b"1970").unwrap_or(bytes.len() - 200);
    let page = place / 4096 * 4096;
    for byte in bytes.iter_mut().skip(page + 8).take(64) {
        *byte = 0xff;
    }
    std::fs::write(&path, bytes).unwrap();
    let store = store::Store::open(path.to_str().unwrap()).await;
    let told = match store {
        Err(_) => true,
        Ok(store) => store.integrity().await.map_or(true, |faults| !faults.is_empty()),
    };
    assert!(told);
}
