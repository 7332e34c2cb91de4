//! Every type of value comes back as it went in, sorts and compares the same, on both databases.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{Id, OrganizationId};
use serde_json::json;
use store::{Json, StoreError, execute, fetch_all, fetch_one, row};
use testkit::databases::on_both;

row! {
    struct OperationRow {
        id: uuid::Uuid,
        organization_id: Option<OrganizationId>,
        kind: String,
        result: Option<Json<serde_json::Value>>,
        created_at: DateTime<Utc>,
        finished_at: Option<DateTime<Utc>>,
    }
}

#[tokio::test]
async fn values_round_trip() {
    on_both(async |store| {
        let organization = OrganizationId::from_uuid(uuid::Uuid::from_u128(u128::MAX / 3));
        let time = DateTime::from_timestamp_nanos(1_793_491_200_123_456_789);
        let json = json!({"b": [1, 2.5, null, "ü\u{0001}'\""], "a": {"nested": true}});
        let mut write = store.write().await.unwrap();
        let text = "INSERT INTO operations (id, organization_id, kind, state, result, created_at, updated_at, finished_at) \
                    VALUES ($1, $2, $3, 'pending', $4, $5, $5, $6)";
        let id = uuid::Uuid::from_u128(1);
        execute!(&mut write, text, id, Some(organization), "näme", Json(&json), time, None::<DateTime<Utc>>).await.unwrap();
        let id = uuid::Uuid::from_u128(2);
        execute!(&mut write, text, id, None::<OrganizationId>, "", None::<Json<()>>, DateTime::UNIX_EPOCH, Some(time)).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let mut read = store.read().await.unwrap();
        let rows = fetch_all!(&mut read, OperationRow, "SELECT {columns} FROM operations ORDER BY id").await.unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].organization_id, rows[0].kind.as_str()), (Some(organization), "näme"));
        assert_eq!(rows[0].result.as_ref().unwrap().0, json);
        // Truncated, never rounded up, to what both databases hold.
        assert_eq!(rows[0].created_at.timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(rows[0].finished_at, None);
        assert_eq!((rows[1].organization_id, rows[1].created_at), (None, DateTime::UNIX_EPOCH));
        assert!(rows[1].result.is_none() && rows[1].finished_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn times_sort_and_compare() {
    on_both(async |store| {
        let base = DateTime::from_timestamp(1_793_491_200, 0).unwrap();
        // Before 1970, whole seconds, fractions of each length, far ahead.
        let mut times: Vec<DateTime<Utc>> = [-1, 1, 10, 999, 1_000, 500_000, 1_000_000, 1_000_001, i64::from(i32::MAX) * 1_000_000]
            .into_iter()
            .map(|micros| base + TimeDelta::microseconds(micros))
            .collect();
        times.extend([
            base,
            DateTime::from_timestamp_micros(-1).unwrap(),
            DateTime::from_timestamp_micros(-62_000_000_000_000_000).unwrap(),
        ]);
        let mut write = store.write().await.unwrap();
        for (place, time) in times.iter().enumerate() {
            execute!(&mut write, "INSERT INTO job_schedules (kind, next_at) VALUES ($1, $2)", place.to_string(), time).await.unwrap();
        }
        write.commit_without_audit("test").await.unwrap();
        let mut read = store.read().await.unwrap();
        let stored = fetch_all!(&mut read, (DateTime<Utc>,), "SELECT next_at AS value FROM job_schedules ORDER BY next_at").await.unwrap();
        times.sort();
        assert_eq!(stored.iter().map(|row| row.0).collect::<Vec<_>>(), times);
        for time in &times {
            let text = "SELECT count(*) AS value FROM job_schedules WHERE next_at <= $1";
            let expected = times.iter().filter(|other| *other <= time).count();
            assert_eq!(fetch_one!(&mut read, (i64,), text, time).await.unwrap().0, i64::try_from(expected).unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn text_sorts_by_bytes() {
    on_both(async |store| {
        let mut write = store.write().await.unwrap();
        let mut names = ["b", "B", "a", "ä", "_", "Z", "a b", "a-b", "é", "10", "9"];
        for name in names {
            execute!(&mut write, "INSERT INTO job_schedules (kind, next_at) VALUES ($1, $2)", name, DateTime::UNIX_EPOCH).await.unwrap();
        }
        write.commit_without_audit("test").await.unwrap();
        let mut read = store.read().await.unwrap();
        let stored = fetch_all!(&mut read, (String,), "SELECT kind AS value FROM job_schedules ORDER BY kind").await.unwrap();
        names.sort_unstable();
        assert_eq!(stored.into_iter().map(|row| row.0).collect::<Vec<_>>(), names);
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_column_names_row_and_column() {
    row! {
        struct Wrong {
            id: uuid::Uuid,
            kind: Json<serde_json::Value>,
        }
    }
    on_both(async |store| {
        let mut write = store.write().await.unwrap();
        let text = "INSERT INTO operations (id, kind, state, created_at, updated_at) VALUES ($1, 'not json', 'pending', $2, $2)";
        execute!(&mut write, text, uuid::Uuid::from_u128(5), DateTime::UNIX_EPOCH).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let mut read = store.read().await.unwrap();
        let result = fetch_one!(&mut read, Wrong, "SELECT {columns} FROM operations").await.map(|row| (row.id, row.kind));
        match result.unwrap_err() {
            StoreError::Inconsistent { row, column, id, .. } => {
                assert_eq!((row, column.as_str()), ("Wrong", "kind"));
                assert_eq!(id, uuid::Uuid::from_u128(5).to_string());
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}
