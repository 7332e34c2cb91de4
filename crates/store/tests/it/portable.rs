//! The whole database through files: from each kind into each kind.

use std::collections::BTreeMap;

use domain::{FixedClock, SeededEntropy};
use serde_json::json;
use store::audit::{self, Actor, Chain, Record, Verdict};
use store::jobs::{self, NewJob};
use store::{Store, data_keys, execute, instance, portable};
use testkit::databases::{TestStore, on_both};
use uuid::Uuid;

async fn fill(store: &Store) {
    let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(1));
    let mut write = store.write().await.unwrap();
    instance::ensure(&mut write, domain::Clock::now(&clock)).await.unwrap();
    data_keys::insert_first(&mut write, Uuid::from_u128(7), &[0, 1, 255], "mk", domain::Clock::now(&clock)).await.unwrap();
    let now = domain::Clock::now(&clock);
    for (place, operator) in [(1, true), (2, false)] {
        let text = "INSERT INTO users (id, email, email_key, name, operator, settings, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
        let email = format!("p{place}@example.test");
        execute!(
            &mut write,
            text,
            Uuid::from_u128(place),
            &email,
            &email,
            "Zoë \"Q\"\n\u{1f6a2}",
            operator,
            json!({"a": [1, null, "x"]}),
            1i64,
            now
        )
        .await
        .unwrap();
    }
    let text = "INSERT INTO sessions (id, user_id, digest, created_at, last_used_at, confirmed_at, expires_at) VALUES ($1, $2, $3, $4, $4, $4, $4)";
    execute!(&mut write, text, Uuid::from_u128(9), Uuid::from_u128(1), vec![1u8, 2], now).await.unwrap();
    jobs::enqueue(&mut write, &clock, &entropy, NewJob::new("test.kind", None, json!({"k": 1}))).await.unwrap();
    let record = Record {
        details: json!({"b": 1, "a": "ü"}),
        source_address: Some("192.0.2.0/24".into()),
        ..Record::new(Chain::Instance, Actor::system("test"), "test.done")
    };
    audit::append(&mut write, &clock, &entropy, record).await.unwrap();
    write.commit().await.unwrap();
}

fn files(folder: &std::path::Path) -> BTreeMap<String, Vec<serde_json::Value>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let mut lines: Vec<serde_json::Value> =
                std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            // JSON's text is written differently, its value is the same.
            for row in lines.iter_mut().skip(1) {
                for cell in row.as_array_mut().unwrap() {
                    if let Some(inner) = cell.as_str().and_then(|text| serde_json::from_str(text).ok()) {
                        *cell = inner;
                    }
                }
            }
            lines.sort_by_key(ToString::to_string);
            (path.file_name().unwrap().to_str().unwrap().to_owned(), lines)
        })
        .collect()
}

#[tokio::test]
async fn rows_go_from_each_database_into_each() {
    on_both(async |source| {
        fill(source).await;
        let folder = tempfile::tempdir().unwrap();
        let exported = portable::export(source, folder.path()).await.unwrap();
        assert_eq!(exported.migrations.last().copied(), Some(store::migrations::newest().unwrap()));
        let rows = |name: &str| exported.tables.iter().find(|table| table.name == name).unwrap().rows;
        assert_eq!((rows("users"), rows("sessions"), rows("jobs"), rows("audit_entries")), (2, 1, 1, 1));
        for target in [TestStore::sqlite().await.unwrap(), TestStore::postgres().await.unwrap()] {
            portable::import(&target, folder.path(), &exported.tables).await.unwrap();
            let again = tempfile::tempdir().unwrap();
            portable::export(&target, again.path()).await.unwrap();
            assert_eq!(files(folder.path()), files(again.path()), "into {:?}", target.dialect());
            let verdict = audit::verify(&mut target.read().await.unwrap(), Chain::Instance, None).await.unwrap();
            assert_eq!(verdict, Verdict::Intact { entries: 1 });
            target.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_export_is_of_one_moment_while_others_write() {
    on_both(async |source| {
        fill(source).await;
        let writer = source.reopen().await.unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = stop.clone();
        // Both rows or none: a job and its audit entry.
        let task = tokio::spawn(async move {
            let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(2));
            let mut count = 0u64;
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                let mut write = writer.write().await.unwrap();
                jobs::enqueue(&mut write, &clock, &entropy, NewJob::new("test.kind", None, json!({}))).await.unwrap();
                audit::append(&mut write, &clock, &entropy, Record::new(Chain::Instance, Actor::system("test"), "test.done"))
                    .await
                    .unwrap();
                write.commit().await.unwrap();
                count += 1;
            }
            writer.close().await;
            count
        });
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let exported = portable::export(source, folder.path()).await.unwrap();
            let rows = |name: &str| exported.tables.iter().find(|table| table.name == name).unwrap().rows;
            assert_eq!(rows("jobs"), rows("audit_entries"));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(task.await.unwrap() > 0, "nothing was written beside the exports");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_lost_a_row_or_a_column_is_refused_and_nothing_is_loaded() {
    on_both(async |source| {
        fill(source).await;
        let folder = tempfile::tempdir().unwrap();
        let exported = portable::export(source, folder.path()).await.unwrap();
        let path = folder.path().join("users.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for damaged in [lines[..2].join("\n"), text.replacen("\"email\",", "", 1), text.replacen("[{\"b\":", "[{\"c\":", 1)] {
            std::fs::write(&path, damaged).unwrap();
            let target = TestStore::sqlite().await.unwrap();
            portable::import(&target, folder.path(), &exported.tables).await.unwrap_err();
            assert!(instance::find(&mut target.read().await.unwrap()).await.unwrap().is_none());
            target.close().await;
        }
    })
    .await;
}

/// Every sealed column of the data map is in the list that rotation walks, and the other way round.
#[test]
fn every_sealed_column_is_walked() {
    let map = store::data_map::DataMap::embedded().unwrap();
    let mut declared: Vec<(String, String)> = Vec::new();
    for (table, known) in &map.0 {
        for (column, entry) in &known.columns {
            if entry.sealed {
                declared.push((table.clone(), column.clone()));
            }
        }
    }
    let mut walked: Vec<(String, String)> =
        store::sealed::SEALED.iter().map(|column| (column.table.to_owned(), column.column.to_owned())).collect();
    walked.sort();
    assert_eq!(declared, walked);
}
