//! Migrated stores for tests: one of each kind, or the same test on both.

use std::ops::Deref;

use anyhow::{Context, Result};
use store::{Durability, Store};

use crate::postgres::{self, TestDatabase};

/// A migrated, empty store; its database is gone when this is dropped.
pub struct TestStore {
    store: Store,
    url: String,
    _place: Place,
}

#[expect(dead_code, reason = "held for their Drop")]
enum Place {
    Folder(tempfile::TempDir),
    Database(TestDatabase),
}

impl TestStore {
    pub async fn sqlite() -> Result<Self> {
        let folder = tempfile::tempdir().context("temporary folder")?;
        let url = format!("sqlite:{}", folder.path().join("seaway.db").display());
        let store = Store::open_with(&url, Durability::ProcessDeath).await.context("open SQLite")?;
        store.migrate().await.context("migrate SQLite")?;
        Ok(Self { store, url, _place: Place::Folder(folder) })
    }

    pub async fn postgres() -> Result<Self> {
        let database = postgres::migrated_database().await?;
        let store = Store::open_with(database.url(), Durability::ProcessDeath).await.context("open PostgreSQL")?;
        Ok(Self { store, url: database.url().to_owned(), _place: Place::Database(database) })
    }

    /// Opens the same database again, as another process would.
    pub async fn reopen(&self) -> Result<Store> {
        Store::open_with(&self.url, Durability::ProcessDeath).await.context("open once more")
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Runs the test on SQLite, then on PostgreSQL; a failure is preceded by a line that names the database.
///
/// `on_both(async |store| { … }).await` inside a `#[tokio::test]`.
#[expect(clippy::panic, reason = "tests")]
pub async fn on_both<F>(test: F)
where
    F: AsyncFn(&TestStore),
{
    for dialect in ["SQLite", "PostgreSQL"] {
        let store = if dialect == "SQLite" { TestStore::sqlite().await } else { TestStore::postgres().await };
        let store = match store {
            Ok(store) => store,
            Err(error) => panic!("no test store on {dialect}: {error:#}"),
        };
        note(dialect);
        test(&store).await;
        store.close().await;
    }
}

#[expect(clippy::print_stderr, reason = "shown by the test harness only when the test fails")]
fn note(dialect: &str) {
    eprintln!("on {dialect}:");
}
