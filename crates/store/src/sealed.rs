//! Where sealed values are: the one list that rotation walks and a restore proves with.
//!
//! A test holds it against the data map: a column declared `sealed` that is not here fails it, because a rotation would
//! leave its values under a key that is about to be destroyed.

use uuid::Uuid;

use crate::*;

/// What seals a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedBy {
    /// The data key of the organization in this column.
    Organization(&'static str),
    /// The data key of the instance.
    Instance,
    /// The master key itself: re-wrapped with it, not walked.
    MasterKey,
}

/// A column of sealed values. The place of a value is (tenant, table, column, row id, no name).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedColumn {
    pub table: &'static str,
    pub column: &'static str,
    pub by: SealedBy,
}

/// All of them. To add one: a line here, and `sealed = true` in the data map; the row's `id` must be a UUID.
pub const SEALED: &[SealedColumn] = &[
    SealedColumn { table: "credentials", column: "sealed_value", by: SealedBy::Organization("organization_id") },
    SealedColumn { table: "data_keys", column: "wrapped", by: SealedBy::MasterKey },
    SealedColumn { table: "instance_settings", column: "key_check", by: SealedBy::MasterKey },
    SealedColumn { table: "mails", column: "payload_sealed", by: SealedBy::Instance },
    SealedColumn { table: "releases", column: "sealed_variables", by: SealedBy::Organization("organization_id") },
    SealedColumn { table: "variable_versions", column: "sealed_value", by: SealedBy::Organization("organization_id") },
];

/// In an envelope, bytes 2 to 21 are the data key's id and version.
const KEY_START: i64 = 3;
const KEY_LENGTH: i64 = 20;

row! {
    pub struct SealedRow {
        pub id: Uuid,
        pub sealed: Vec<u8>,
    }
}

/// The columns whose values data keys seal.
pub fn by_data_keys() -> impl Iterator<Item = &'static SealedColumn> {
    SEALED.iter().filter(|column| column.by != SealedBy::MasterKey)
}

impl SealedColumn {
    /// Rows of the tenant whose value is sealed with another key than this one (id and version, as in the envelope), in the
    /// order of their ids.
    pub async fn list_under_other_key(
        &self,
        unit: &mut impl Unit,
        tenant: Uuid,
        key: &[u8],
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let Some(mine) = self.condition(tenant) else { return Ok(Vec::new()) };
        let Self { table, column, .. } = self;
        let text = format!(
            "SELECT id, {column} AS sealed FROM {table} WHERE {mine} AND {column} IS NOT NULL AND id > $2 \
             AND substr({column}, {KEY_START}, {KEY_LENGTH}) <> $3 ORDER BY id LIMIT $4"
        );
        let parameters = vec![tenant.parameter(), after.parameter(), key.parameter(), limit.parameter()];
        unit.rows(text, parameters, false).await?.iter().map(SealedRow::read).collect()
    }

    /// How many values of the tenant are sealed with another key than this one.
    pub async fn count_under_other_key(&self, unit: &mut impl Unit, tenant: Uuid, key: &[u8]) -> Result<i64, StoreError> {
        let Some(mine) = self.condition(tenant) else { return Ok(0) };
        let Self { table, column, .. } = self;
        let text = format!(
            "SELECT count(*) AS value FROM {table} WHERE {mine} AND {column} IS NOT NULL \
             AND substr({column}, {KEY_START}, {KEY_LENGTH}) <> $2"
        );
        let rows = unit.rows(text, vec![tenant.parameter(), key.parameter()], true).await?;
        rows.first().map_or(Ok(0), |row| row.get("sealed", "value"))
    }

    /// One value of the tenant, any.
    pub async fn sample(&self, unit: &mut impl Unit, tenant: Uuid) -> Result<Option<SealedRow>, StoreError> {
        let Some(mine) = self.condition(tenant) else { return Ok(None) };
        let Self { table, column, .. } = self;
        let text = format!("SELECT id, {column} AS sealed FROM {table} WHERE {mine} AND {column} IS NOT NULL LIMIT 1");
        unit.rows(text, vec![tenant.parameter()], true).await?.first().map(SealedRow::read).transpose()
    }

    /// The tenants that have a value here.
    pub async fn tenants(&self, unit: &mut impl Unit) -> Result<Vec<Uuid>, StoreError> {
        let Self { table, column, .. } = self;
        let text = match self.by {
            SealedBy::MasterKey => return Ok(Vec::new()),
            SealedBy::Organization(owner) => {
                format!("SELECT DISTINCT {owner} AS value FROM {table} WHERE {column} IS NOT NULL ORDER BY value")
            }
            SealedBy::Instance => {
                let text = format!("SELECT count(*) AS value FROM {table} WHERE {column} IS NOT NULL");
                let rows = unit.rows(text, Vec::new(), true).await?;
                let count: i64 = rows.first().map_or(Ok(0), |row| row.get("sealed", "value"))?;
                return Ok(if count > 0 { vec![Uuid::nil()] } else { Vec::new() });
            }
        };
        unit.rows(text, Vec::new(), false).await?.iter().map(|row| row.get("sealed", "value")).collect()
    }

    /// Puts the new envelope in the place of the old one, unless the value was changed meanwhile. Answers whether it was put.
    pub async fn replace(&self, write: &mut Write, id: Uuid, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        let Self { table, column, .. } = self;
        let text = format!("UPDATE {table} SET {column} = $3 WHERE id = $1 AND {column} = $2 RETURNING id");
        let rows = write.rows(text, vec![id.parameter(), old.parameter(), new.parameter()], false).await?;
        Ok(!rows.is_empty())
    }

    /// `$1` is the tenant in both forms, so that the numbers of the others stay the same.
    fn condition(&self, tenant: Uuid) -> Option<String> {
        match self.by {
            SealedBy::Organization(owner) => Some(format!("{owner} = $1")),
            SealedBy::Instance if tenant.is_nil() => Some("$1 = $1".to_owned()),
            _ => None,
        }
    }
}

/// The part of an envelope that names its key.
pub fn key_of(id: Uuid, version: u32) -> Vec<u8> {
    [id.as_bytes().as_slice(), &version.to_be_bytes()].concat()
}
