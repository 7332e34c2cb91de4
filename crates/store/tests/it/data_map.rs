//! Rule 10: every column that holds data has a class, a purpose and a retention, and credentials are sealed.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::Connection;
use store::data_map::DataMap;
use testkit::databases::TestStore;

/// (table, column, type) of everything that the migrations made.
type Schema = Vec<(String, String, String)>;

async fn postgres() -> Schema {
    let store = TestStore::postgres().await.unwrap();
    let mut connection = sqlx::PgConnection::connect(store.url()).await.unwrap();
    let text = "SELECT table_name::text, column_name::text, data_type::text || CASE is_nullable WHEN 'YES' THEN '?' ELSE '' END \
                FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' ORDER BY 1, 2";
    sqlx::query_as(text).fetch_all(&mut connection).await.unwrap()
}

async fn sqlite() -> Schema {
    let store = TestStore::sqlite().await.unwrap();
    let mut connection = sqlx::SqliteConnection::connect(store.url()).await.unwrap();
    let text = "SELECT t.name, c.name, c.type || CASE c.\"notnull\" WHEN 0 THEN '?' ELSE '' END FROM sqlite_master t, \
                pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' \
                ORDER BY 1, 2";
    sqlx::query_as(text).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn both_databases_have_the_same_columns() {
    let class = |kind: &str| {
        let (kind, optional) = kind.strip_suffix('?').map_or((kind, ""), |kind| (kind, "?"));
        let class = match kind {
            "bigint" | "boolean" | "timestamp with time zone" => "INTEGER",
            "uuid" | "bytea" => "BLOB",
            "text" | "jsonb" => "TEXT",
            "double precision" => "REAL",
            other => other,
        };
        format!("{class}{optional}")
    };
    let postgres: Schema = postgres().await.into_iter().map(|(table, column, kind)| (table, column, class(&kind))).collect();
    assert_eq!(sqlite().await, postgres);
}

#[tokio::test]
async fn data_map_covers_the_schema() {
    let schema: Schema =
        postgres().await.into_iter().map(|(table, column, kind)| (table, column, kind.trim_end_matches('?').to_owned())).collect();
    let faults = DataMap::embedded().unwrap().faults(&schema);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn data_map_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data-map.md");
    let wanted = DataMap::embedded().unwrap().render();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/data-map.md is out of date: UPDATE=1 cargo test -p store --test it data_map");
}

/// Every STRICT table: a text in a number's column is an error in SQLite too.
#[tokio::test]
async fn tables_are_strict() {
    let store = TestStore::sqlite().await.unwrap();
    let mut connection = sqlx::SqliteConnection::connect(store.url()).await.unwrap();
    let text = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 \
                AND name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations'";
    let loose: Vec<(String,)> = sqlx::query_as(text).fetch_all(&mut connection).await.unwrap();
    assert_eq!(loose, []);
    let tables: BTreeMap<String, usize> = sqlite().await.into_iter().fold(BTreeMap::new(), |mut tables, (table, _, _)| {
        *tables.entry(table).or_default() += 1;
        tables
    });
    assert!(tables.len() >= 11, "{tables:?}");
}
