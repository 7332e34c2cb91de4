//! The proof that a database opens: its key check, every data key, and values of every tenant in every sealed column.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Entropy, Secret};
use store::{Store, data_keys, instance, sealed};
use uuid::Uuid;
use vault::{DataKey, KeyCheck, KeyRing, MasterRing, Place, Sealed, WrappedDataKey};

use super::error::{RecoveryError, Result};

/// What was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proof {
    /// Tenants with sealed values or keys.
    pub tenants: u64,
    pub data_keys: u64,
    pub values: u64,
}

/// Opens one value per tenant and sealed column. An instance without any secret proves nothing and is well.
///
/// # Errors
/// `NotProven` with the first thing that does not open.
pub async fn prove(store: &Store, masters: &MasterRing) -> Result<Proof> {
    let not_proven = |what: String| RecoveryError::NotProven(what);
    let mut read = store.read().await?;
    if let Some(check) = instance::find(&mut read).await?.and_then(|row| row.key_check) {
        KeyCheck::from_bytes(check).verify(masters).map_err(|error| not_proven(error.to_string()))?;
    }
    // Opening draws nothing at random.
    let ring = KeyRing::new(Arc::new(NoEntropy));
    let mut proof = Proof::default();
    let rows = data_keys::list_all(&mut read).await?;
    let mut tenants: BTreeSet<Uuid> = rows.iter().map(|row| row.tenant).collect();
    for column in sealed::by_data_keys() {
        tenants.extend(column.tenants(&mut read).await?);
    }
    for tenant in tenants {
        proof.tenants += 1;
        let mut keys: Vec<DataKey> = Vec::new();
        for row in rows.iter().filter(|row| row.tenant == tenant) {
            let key = WrappedDataKey::from_bytes(row.wrapped.clone()).and_then(|wrapped| wrapped.unwrap_key(masters, tenant));
            keys.push(key.map_err(|error| not_proven(format!("data key {} of {tenant}: {error}", row.version)))?);
            proof.data_keys += 1;
        }
        if let Some(newest) = keys.last().map(DataKey::version) {
            ring.load(tenant, keys, newest).map_err(|error| not_proven(error.to_string()))?;
        }
        for column in sealed::by_data_keys() {
            let Some(row) = column.sample(&mut read, tenant).await? else { continue };
            let place = Place { tenant, table: column.table, column: column.column, row: row.id, name: "" };
            let opened = Sealed::from_bytes(row.sealed).and_then(|sealed| ring.open(&sealed, &place));
            let _value: Secret<Vec<u8>> =
                opened.map_err(|error| not_proven(format!("{}.{} {} of {tenant}: {error}", column.table, column.column, row.id)))?;
            proof.values += 1;
        }
    }
    Ok(proof)
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, _buffer: &mut [u8]) {}
}
