//! PostgreSQL: a restore is prepared in a schema of its own and takes the place of what serves in one transaction.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::StoreError;
use crate::backend::Names;
use crate::database::APPLICATION_NAME;

/// Processes that use the database now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse(pub i64);

/// How many connections of Seaway there are, on whatever machine.
pub async fn serving_processes(url: &str) -> Result<InUse, StoreError> {
    let mut connection = connect(url).await?;
    let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";
    let count = sqlx::query_scalar(text).bind(APPLICATION_NAME).fetch_one(&mut connection).await.map_err(wrap)?;
    Ok(InUse(count))
}

/// How many tables the schema in use holds.
pub async fn tables_present(url: &str) -> Result<i64, StoreError> {
    let mut connection = connect(url).await?;
    let text = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
    sqlx::query_scalar(text).fetch_one(&mut connection).await.map_err(wrap)
}

/// Makes an empty schema; one of the same name that an interrupted restore left is dropped first.
pub async fn make_schema(url: &str, schema: &str) -> Result<(), StoreError> {
    let mut connection = connect(url).await?;
    let schema = checked(schema)?;
    connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"))).await.map_err(wrap)?;
    Ok(())
}

pub async fn drop_schema(url: &str, schema: &str) -> Result<(), StoreError> {
    let mut connection = connect(url).await?;
    let schema = checked(schema)?;
    connection.execute(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).await.map_err(wrap)?;
    Ok(())
}

/// Moves every table of the schema in use into `aside` and every table of `staged` into its place: all or nothing.
///
/// # Errors
/// `Contention` when somebody uses the tables.
pub async fn swap_schemas(url: &str, staged: &str, aside: &str) -> Result<(), StoreError> {
    let mut connection = connect(url).await?;
    let (staged, aside) = (checked(staged)?, checked(aside)?);
    let mut transaction = connection.begin().await.map_err(wrap)?;
    (&mut *transaction).execute("SET LOCAL lock_timeout = '5s'").await.map_err(wrap)?;
    let serving: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut *transaction).await.map_err(wrap)?;
    let list = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY tablename";
    let old: Vec<String> = sqlx::query_scalar(list).bind(&serving).fetch_all(&mut *transaction).await.map_err(wrap)?;
    let new: Vec<String> = sqlx::query_scalar(list).bind(staged).fetch_all(&mut *transaction).await.map_err(wrap)?;
    let mut text = format!("CREATE SCHEMA {aside};");
    for table in old {
        text.push_str(&format!("ALTER TABLE \"{serving}\".\"{table}\" SET SCHEMA {aside};"));
    }
    for table in new {
        text.push_str(&format!("ALTER TABLE {staged}.\"{table}\" SET SCHEMA \"{serving}\";"));
    }
    text.push_str(&format!("DROP SCHEMA {staged};"));
    (&mut *transaction).execute(AssertSqlSafe(text)).await.map_err(wrap)?;
    transaction.commit().await.map_err(wrap)
}

async fn connect(url: &str) -> Result<PgConnection, StoreError> {
    PgConnection::connect(url).await.map_err(wrap)
}

fn checked(schema: &str) -> Result<&str, StoreError> {
    let plain = !schema.is_empty() && schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain { Ok(schema) } else { Err(StoreError::Address { reason: format!("{schema:?} is not a name for a schema") }) }
}

fn wrap(error: sqlx::Error) -> StoreError {
    StoreError::from_sqlx(error, &Names::default())
}
