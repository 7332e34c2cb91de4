//! Keyset pages: every row once, in order, also with equal sort values, also while rows are added.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{Id, OperationId, OrganizationId};
use store::{Filter, Order, PAGE_LIMIT_MAX, Page, Store, execute, fetch_page, row};
use testkit::databases::on_both;

row! {
    struct OperationRow {
        id: OperationId,
        kind: String,
        created_at: DateTime<Utc>,
    }
}

const ROWS: u32 = 25;

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(uuid::Uuid::from_u128(number))
}

async fn fill(store: &Store) {
    let mut write = store.write().await.unwrap();
    for number in 0..ROWS {
        let text =
            "INSERT INTO operations (id, organization_id, kind, state, created_at, updated_at) VALUES ($1, $2, $3, 'pending', $4, $4)";
        // Three rows share each time and each kind; ids run against the order of insertion.
        let created_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::from(number / 3));
        let id = uuid::Uuid::from_u128(u128::from(1_000 - number));
        execute!(&mut write, text, id, organization(1), format!("kind-{}", number / 3), created_at).await.unwrap();
    }
    let text =
        "INSERT INTO operations (id, organization_id, kind, state, created_at, updated_at) VALUES ($1, $2, 'foreign', 'pending', $3, $3)";
    execute!(&mut write, text, uuid::Uuid::from_u128(9_999), organization(2), DateTime::UNIX_EPOCH).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
}

async fn walk(store: &Store, order: Order, limit: u32) -> Vec<OperationRow> {
    let mut read = store.read().await.unwrap();
    let mut page = Page { limit, after: None };
    let mut all = Vec::new();
    loop {
        let filter = Filter::of("organization_id = ?", organization(1));
        let listing = fetch_page::<OperationRow>(&mut read, "SELECT {columns} FROM operations", filter, order, &page).await.unwrap();
        assert!(u32::try_from(listing.rows.len()).unwrap() <= limit);
        all.extend(listing.rows);
        match listing.next {
            // Through its text form, as a cursor travels.
            Some(next) => page.after = Some(next.to_string().parse().unwrap()),
            None => return all,
        }
    }
}

#[tokio::test]
async fn pages_hold_every_row_once_in_order() {
    on_both(async |store| {
        fill(store).await;
        for limit in [1, 2, 3, 5, ROWS, PAGE_LIMIT_MAX] {
            for order in [Order::Newest("created_at"), Order::Oldest("created_at"), Order::Name("kind")] {
                let rows = walk(store, order, limit).await;
                assert_eq!(rows.len(), usize::try_from(ROWS).unwrap(), "{order:?} by {limit}");
                let sorted = rows.windows(2).all(|pair| match order {
                    Order::Newest(_) => (pair[0].created_at, pair[0].id) > (pair[1].created_at, pair[1].id),
                    Order::Oldest(_) => (pair[0].created_at, pair[0].id) < (pair[1].created_at, pair[1].id),
                    Order::Name(_) => (&pair[0].kind, pair[0].id) < (&pair[1].kind, pair[1].id),
                });
                assert!(sorted, "{order:?} by {limit}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_clamped() {
    on_both(async |store| {
        fill(store).await;
        let mut read = store.read().await.unwrap();
        let page = Page { limit: 0, after: None };
        let order = Order::Newest("created_at");
        let listing =
            fetch_page::<OperationRow>(&mut read, "SELECT {columns} FROM operations", Filter::default(), order, &page).await.unwrap();
        assert_eq!(listing.rows.len(), 1);
    })
    .await;
}
