//! The audit log: append-only, one hash chain per organization and one for the instance.
//!
//! `hash(n) = SHA-256(hash(n-1) ‖ canonical JSON of entry n)`. The newest sequence and hash also stand in `audit_heads`,
//! so cutting the tail off is seen. What must be erasable (the source address) is covered by a salted digest only: its
//! erasure does not break the chain.

use chrono::{DateTime, Utc};
use domain::id::{AuditEntryId, Id, OrganizationId};
use domain::{Clock, Entropy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Filter, Listing, Order, Page, StoreError, Unit, Write, execute, fetch_all, fetch_one, fetch_optional, fetch_page, row};

/// Entries read at a time by [`verify`].
const VERIFY_BATCH: i64 = 1_000;
/// The hash before the first entry.
const GENESIS: [u8; 32] = [0; 32];

/// Whose log: an organization's or the instance's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    Instance,
    Organization(OrganizationId),
}

/// Who acted. `id` is shown as is (`usr_…`, `pat_…`, a job's kind).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    pub id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    User,
    Token,
    System,
    Anonymous,
}

crate::text_value!(ActorKind);

/// What an action was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `project`, `service`, …
    pub kind: &'static str,
    pub id: String,
    /// The name at that time; not a person's.
    pub name: Option<String>,
}

/// What happened, to be written down.
#[derive(Debug, Clone)]
pub struct Record {
    pub chain: Chain,
    pub actor: Actor,
    /// `project.create`: resource and verb.
    pub action: &'static str,
    pub resource: Option<Resource>,
    pub request_id: Option<String>,
    /// Already truncated (/24, /48) by the resolver of client addresses.
    pub source_address: Option<String>,
    /// Never secret values, never personal data.
    pub details: Value,
    /// SHA-256 of the resource's state before and after.
    pub before_digest: Option<[u8; 32]>,
    pub after_digest: Option<[u8; 32]>,
}

impl Record {
    /// A record without resource, request and details; fill in what there is.
    pub fn new(chain: Chain, actor: Actor, action: &'static str) -> Self {
        Self {
            chain,
            actor,
            action,
            resource: None,
            request_id: None,
            source_address: None,
            details: json!({}),
            before_digest: None,
            after_digest: None,
        }
    }
}

impl Actor {
    pub fn user(id: impl ToString) -> Self {
        Self { kind: ActorKind::User, id: Some(id.to_string()) }
    }
    pub fn token(id: impl ToString) -> Self {
        Self { kind: ActorKind::Token, id: Some(id.to_string()) }
    }
    /// Seaway itself; `part` is a job's kind or a reconciler's name.
    pub fn system(part: &str) -> Self {
        Self { kind: ActorKind::System, id: Some(part.to_owned()) }
    }
    pub fn anonymous() -> Self {
        Self { kind: ActorKind::Anonymous, id: None }
    }
}

row! {
    /// An entry as stored.
    pub struct AuditEntryRow {
        pub id: AuditEntryId,
        pub chain: Uuid,
        pub sequence: i64,
        pub at: DateTime<Utc>,
        pub actor_kind: ActorKind,
        pub actor_id: Option<String>,
        pub action: String,
        pub resource_kind: Option<String>,
        pub resource_id: Option<String>,
        pub resource_name: Option<String>,
        pub request_id: Option<String>,
        pub source_address: Option<String>,
        pub personal_salt: Option<Vec<u8>>,
        pub personal_digest: Option<Vec<u8>>,
        pub details: String,
        pub before_digest: Option<Vec<u8>>,
        pub after_digest: Option<Vec<u8>>,
        pub previous_hash: Vec<u8>,
        pub hash: Vec<u8>,
    }
}

row! {
    /// The newest entry of a chain. Kept off the host as a checkpoint, it also shows a rewritten chain.
    #[derive(PartialEq, Eq)]
    pub struct Head {
        pub sequence: i64,
        pub hash: Vec<u8>,
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor_id: Option<String>,
    pub action: Option<String>,
    pub resource_id: Option<String>,
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Intact { entries: i64 },
    Broken { sequence: i64, fault: Fault },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An entry of this sequence is missing (deleted or reordered).
    Gap,
    /// The entry does not follow the one before it.
    Link,
    /// A column was changed.
    Edited,
    /// Entries at the end are missing, or the head was changed.
    Truncated,
    /// The chain is not the one that the checkpoint was taken of.
    Checkpoint,
}

impl Chain {
    pub(crate) fn key(self) -> Uuid {
        match self {
            Self::Instance => Uuid::nil(),
            Self::Organization(id) => id.uuid(),
        }
    }
}

/// Appends a record; the unit may then be committed. Append last: the chain's head is locked until the unit ends.
pub async fn append(write: &mut Write, clock: &dyn Clock, entropy: &dyn Entropy, record: Record) -> Result<AuditEntryId, StoreError> {
    let chain = record.chain.key();
    // Makes and locks the head, so that two units cannot take the same sequence.
    execute!(write, "INSERT INTO audit_heads (chain, sequence, hash) VALUES ($1, 0, $2) ON CONFLICT (chain) DO NOTHING", chain, GENESIS)
        .await?;
    let head: Option<Head> = fetch_optional!(write, Head, "SELECT {columns} FROM audit_heads WHERE chain = $1 {for update}", chain).await?;
    let head = head.ok_or(StoreError::NotFound { row: "audit_heads" })?;
    let (personal_salt, personal_digest) = match &record.source_address {
        None => (None, None),
        Some(address) => {
            let mut salt = [0u8; 16];
            entropy.fill(&mut salt);
            (Some(salt.to_vec()), Some(personal_digest(&salt, address)))
        }
    };
    let sequence = head.sequence.saturating_add(1);
    let mut entry = AuditEntryRow {
        id: entry_id(clock, entropy, sequence),
        chain,
        sequence,
        at: clock.now(),
        actor_kind: record.actor.kind,
        actor_id: record.actor.id,
        action: record.action.to_owned(),
        resource_kind: record.resource.as_ref().map(|resource| resource.kind.to_owned()),
        resource_id: record.resource.as_ref().map(|resource| resource.id.clone()),
        resource_name: record.resource.and_then(|resource| resource.name),
        request_id: record.request_id,
        source_address: record.source_address,
        personal_salt,
        personal_digest,
        details: canonical(&record.details),
        before_digest: record.before_digest.map(|digest| digest.to_vec()),
        after_digest: record.after_digest.map(|digest| digest.to_vec()),
        previous_hash: head.hash,
        hash: Vec::new(),
    };
    entry.hash = hash(&entry);
    insert(write, &entry).await?;
    execute!(write, "UPDATE audit_heads SET sequence = $2, hash = $3 WHERE chain = $1", chain, entry.sequence, &entry.hash).await?;
    write.mark_audited();
    Ok(entry.id)
}

/// An id whose order within a millisecond is that of the sequence, so that a list by time and id never swaps two entries.
fn entry_id(clock: &dyn Clock, entropy: &dyn Entropy, sequence: i64) -> AuditEntryId {
    let mut tail = [0u8; 10];
    entropy.fill(&mut tail);
    // The two bits that say the variant stand before these 30; the random rest keeps ids of other chains apart.
    let low = u32::try_from(sequence & 0x3fff_ffff).unwrap_or(0).to_be_bytes();
    for (place, byte) in tail.iter_mut().zip([0, 0].into_iter().chain(low)) {
        *place = byte;
    }
    let milliseconds = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    AuditEntryId::from_uuid(uuid::Builder::from_unix_timestamp_millis(milliseconds, &tail).into_uuid())
}

async fn insert(write: &mut Write, entry: &AuditEntryRow) -> Result<u64, StoreError> {
    execute!(
        write,
        "INSERT INTO audit_entries (id, chain, sequence, at, actor_kind, actor_id, action, resource_kind, resource_id, \
         resource_name, request_id, source_address, personal_salt, personal_digest, details, before_digest, after_digest, \
         previous_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        entry.id,
        entry.chain,
        entry.sequence,
        entry.at,
        entry.actor_kind,
        &entry.actor_id,
        &entry.action,
        &entry.resource_kind,
        &entry.resource_id,
        &entry.resource_name,
        &entry.request_id,
        &entry.source_address,
        &entry.personal_salt,
        &entry.personal_digest,
        &entry.details,
        &entry.before_digest,
        &entry.after_digest,
        &entry.previous_hash,
        &entry.hash,
    )
    .await
}

/// Entries of one chain, newest first.
pub async fn list(unit: &mut impl Unit, chain: Chain, filter: &AuditFilter, page: &Page) -> Result<Listing<AuditEntryRow>, StoreError> {
    let filter = Filter::of("chain = ?", chain.key())
        .and_some("actor_id = ?", filter.actor_id.as_ref())
        .and_some("action = ?", filter.action.as_ref())
        .and_some("resource_id = ?", filter.resource_id.as_ref())
        .and_some("at >= ?", filter.from)
        .and_some("at < ?", filter.to);
    fetch_page(unit, "SELECT {columns} FROM audit_entries", filter, Order::Newest("at"), page).await
}

/// The newest entry's sequence and hash; `None` for an empty chain.
pub async fn head(unit: &mut impl Unit, chain: Chain) -> Result<Option<Head>, StoreError> {
    fetch_optional!(unit, Head, "SELECT {columns} FROM audit_heads WHERE chain = $1", chain.key()).await
}

/// Walks the whole chain and tells the first fault.
///
/// `checkpoint`: a head that was kept elsewhere; without it, a chain rewritten from the start together with its head
/// cannot be told from a true one.
pub async fn verify(unit: &mut impl Unit, chain: Chain, checkpoint: Option<&Head>) -> Result<Verdict, StoreError> {
    let before = head(unit, chain).await?;
    // What retention took away is proved by the hash of the last entry of it.
    let removed = removed(unit, chain).await?;
    let start = removed.as_ref().map_or(0, |removed| removed.removed);
    let mut previous = removed.and_then(|removed| removed.removed_hash).unwrap_or_else(|| GENESIS.to_vec());
    let mut sequence = start;
    loop {
        let text = "SELECT {columns} FROM audit_entries WHERE chain = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
        let batch = fetch_all!(unit, AuditEntryRow, text, chain.key(), sequence, VERIFY_BATCH).await?;
        if batch.is_empty() {
            break;
        }
        for entry in batch {
            if let Some(fault) = fault_of(&entry, sequence, &previous, checkpoint) {
                return Ok(Verdict::Broken { sequence: sequence.saturating_add(1), fault });
            }
            sequence = entry.sequence;
            previous = entry.hash;
        }
    }
    // Entries may be appended while we walk: the head of before must be behind us, the head of now not behind.
    let before = before.unwrap_or(Head { sequence: 0, hash: GENESIS.to_vec() });
    let now = head(unit, chain).await?.map_or(0, |head| head.sequence);
    let cut = sequence < before.sequence || now < sequence || (sequence == before.sequence && previous != before.hash);
    if cut || checkpoint.is_some_and(|checkpoint| checkpoint.sequence > sequence) {
        return Ok(Verdict::Broken { sequence: sequence.saturating_add(1), fault: Fault::Truncated });
    }
    Ok(Verdict::Intact { entries: sequence - start })
}

fn fault_of(entry: &AuditEntryRow, before: i64, previous: &[u8], checkpoint: Option<&Head>) -> Option<Fault> {
    if entry.sequence != before.saturating_add(1) {
        return Some(Fault::Gap);
    }
    if entry.previous_hash != previous {
        return Some(Fault::Link);
    }
    let personal = match (&entry.source_address, &entry.personal_salt) {
        (Some(address), Some(salt)) => entry.personal_digest.as_ref() == Some(&personal_digest(salt, address)),
        (Some(_), None) => false,
        (None, _) => true,
    };
    if !personal || hash(entry) != entry.hash {
        return Some(Fault::Edited);
    }
    let other = checkpoint.is_some_and(|checkpoint| checkpoint.sequence == entry.sequence && checkpoint.hash != entry.hash);
    other.then_some(Fault::Checkpoint)
}

/// Empties source addresses older than `before` (privacy.md: 24 h); the chain stays intact. Returns how many.
pub async fn erase_source_addresses(write: &mut Write, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let text = "UPDATE audit_entries SET source_address = NULL, personal_salt = NULL WHERE source_address IS NOT NULL AND at < $1";
    execute!(write, text, before).await
}

row! {
    /// Up to where a chain was cut off at its old end.
    struct RemovedRow {
        removed: i64,
        removed_hash: Option<Vec<u8>>,
    }
}

async fn removed(unit: &mut impl Unit, chain: Chain) -> Result<Option<RemovedRow>, StoreError> {
    fetch_optional!(unit, RemovedRow, "SELECT {columns} FROM audit_heads WHERE chain = $1", chain.key()).await
}

/// Whether the chain has an entry from before this time.
pub async fn has_before(unit: &mut impl Unit, chain: Chain, before: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "SELECT count(*) AS value FROM audit_entries WHERE chain = $1 AND at < $2";
    Ok(fetch_one!(unit, (i64,), text, chain.key(), before).await?.0 > 0)
}

/// Takes away what was written before the first entry that is not older than `before`; the newest entry always stays.
/// Answers the sequence of the last entry that went, and how many did. Append a record of it in the same unit.
pub async fn remove_before(write: &mut Write, chain: Chain, before: DateTime<Utc>) -> Result<Option<(i64, u64)>, StoreError> {
    let Some(head) = fetch_optional!(write, Head, "SELECT {columns} FROM audit_heads WHERE chain = $1 {for update}", chain.key()).await?
    else {
        return Ok(None);
    };
    let text = "SELECT sequence AS value FROM audit_entries WHERE chain = $1 AND at >= $2 ORDER BY sequence LIMIT 1";
    let kept = fetch_optional!(write, (i64,), text, chain.key(), before).await?.map_or(head.sequence, |row| row.0);
    let text = "SELECT {columns} FROM audit_entries WHERE chain = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT 1";
    let Some(last) = fetch_optional!(write, Head, text, chain.key(), kept).await? else { return Ok(None) };
    let text = "DELETE FROM audit_entries WHERE chain = $1 AND sequence <= $2";
    let count = execute!(write, text, chain.key(), last.sequence).await?;
    let text = "UPDATE audit_heads SET removed = $2, removed_hash = $3 WHERE chain = $1";
    execute!(write, text, chain.key(), last.sequence, &last.hash).await?;
    Ok(Some((last.sequence, count)))
}

row! {
    /// A chain with entries that were not sent out yet.
    pub struct UnsentRow {
        pub chain: Uuid,
        pub streamed: i64,
    }
}

/// Chains that have more than was sent out.
pub async fn list_unsent(unit: &mut impl Unit, limit: i64) -> Result<Vec<UnsentRow>, StoreError> {
    let text = "SELECT {columns} FROM audit_heads WHERE streamed < sequence ORDER BY chain LIMIT $1";
    fetch_all!(unit, UnsentRow, text, limit).await
}

/// Entries of a chain after a sequence, oldest first.
pub async fn list_after(unit: &mut impl Unit, chain: Uuid, sequence: i64, limit: i64) -> Result<Vec<AuditEntryRow>, StoreError> {
    let text = "SELECT {columns} FROM audit_entries WHERE chain = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
    fetch_all!(unit, AuditEntryRow, text, chain, sequence, limit).await
}

/// Everything up to this sequence was sent out.
pub async fn set_sent(write: &mut Write, chain: Uuid, sequence: i64) -> Result<(), StoreError> {
    let text = "UPDATE audit_heads SET streamed = $2 WHERE chain = $1 AND streamed < $2";
    execute!(write, text, chain, sequence).await.map(|_| ())
}

fn personal_digest(salt: &[u8], address: &str) -> Vec<u8> {
    Sha256::new().chain_update(salt).chain_update(address.as_bytes()).finalize().to_vec()
}

fn hash(entry: &AuditEntryRow) -> Vec<u8> {
    let hex = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let record = json!({
        "id": entry.id.to_string(),
        "chain": entry.chain.to_string(),
        "sequence": entry.sequence,
        "at": entry.at.timestamp_micros(),
        "actor_kind": entry.actor_kind,
        "actor_id": entry.actor_id,
        "action": entry.action,
        "resource_kind": entry.resource_kind,
        "resource_id": entry.resource_id,
        "resource_name": entry.resource_name,
        "request_id": entry.request_id,
        "personal_digest": hex(&entry.personal_digest),
        "details": entry.details,
        "before_digest": hex(&entry.before_digest),
        "after_digest": hex(&entry.after_digest),
    });
    Sha256::new().chain_update(&entry.previous_hash).chain_update(canonical(&record).as_bytes()).finalize().to_vec()
}

/// JSON with sorted keys and no white space: the same value is always the same text.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            let fields: Vec<String> =
                pairs.into_iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

/// Every chain that has entries.
pub async fn list_chains(unit: &mut impl Unit) -> Result<Vec<Chain>, StoreError> {
    let keys = fetch_all!(unit, (Uuid,), "SELECT DISTINCT chain AS value FROM audit_entries ORDER BY value").await?;
    let chain = |key: Uuid| if key.is_nil() { Chain::Instance } else { Chain::Organization(domain::id::Id::from_uuid(key)) };
    Ok(keys.into_iter().map(|key| chain(key.0)).collect())
}
