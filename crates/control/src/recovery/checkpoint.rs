//! The newest entry of every audit chain, signed and kept in the data folder: a chain that was rewritten from its start,
//! together with its head in the database, does not fit it any more. A copy on another machine shows a change of both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::Clock;
use serde::{Deserialize, Serialize};
use store::Store;
use store::audit::{self, Chain, Head, Verdict};
use vault::{MasterKey, MasterRing};

use super::error::{RecoveryError, Result, file};
use super::manifest::{hex, unhex};

pub(super) const FILE: &str = "audit-checkpoint.json";
const PURPOSE: &str = "audit checkpoint file";
const SIGNER: &str = "audit checkpoint";

/// One chain, by `instance` or the organization's id.
#[derive(Debug, Clone)]
pub struct ChainVerdict {
    pub chain: String,
    pub verdict: Verdict,
}

/// What a verification found.
#[derive(Debug, Clone)]
pub struct Verification {
    pub chains: Vec<ChainVerdict>,
    pub checkpoint: CheckpointState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointState {
    /// There was none before; there is one now.
    First,
    Compared,
    /// It was changed, or a key signed it that is not here: chains were verified without it, and it was left as it is.
    Unusable,
}

impl Verification {
    pub fn is_intact(&self) -> bool {
        self.checkpoint != CheckpointState::Unusable && self.chains.iter().all(|chain| matches!(chain.verdict, Verdict::Intact { .. }))
    }
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    at: String,
    heads: BTreeMap<String, (i64, String)>,
}

/// The file in a data folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Verifies every chain against the database and the checkpoint, and writes a new checkpoint when all is well.
///
/// # Errors
/// The database's and the file system's; a broken chain is no error but a verdict.
pub async fn verify(store: &Store, masters: &MasterRing, data_dir: &Path, clock: &dyn Clock) -> Result<Verification> {
    let place = path(data_dir);
    let (known, checkpoint) = match std::fs::read_to_string(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (BTreeMap::new(), CheckpointState::First),
        other => match read(&other.map_err(file(&place))?, masters) {
            Some(known) => (known.heads, CheckpointState::Compared),
            None => (BTreeMap::new(), CheckpointState::Unusable),
        },
    };
    let mut unit = store.read().await?;
    // The chains that there are, and those that there were.
    let mut names: BTreeMap<String, Chain> = audit::list_chains(&mut unit).await?.into_iter().map(|chain| (name(chain), chain)).collect();
    names.extend(known.keys().filter_map(|name| Some((name.clone(), chain(name)?))));
    let (mut chains, mut heads) = (Vec::new(), BTreeMap::new());
    for (name, chain) in names {
        let head = known.get(&name).and_then(|(sequence, hash)| Some(Head { sequence: *sequence, hash: unhex(hash)? }));
        let verdict = audit::verify(&mut unit, chain, head.as_ref()).await?;
        if let Some(head) = audit::head(&mut unit, chain).await? {
            heads.insert(name.clone(), (head.sequence, hex(&head.hash)));
        }
        chains.push(ChainVerdict { chain: name, verdict });
    }
    let verification = Verification { chains, checkpoint };
    if verification.is_intact() {
        write(&place, &Checkpoint { at: clock.now().to_rfc3339(), heads }, masters.current())?;
    }
    Ok(verification)
}

/// Signs the checkpoint with the current key of the ring, if one of its keys had signed it: after a rotation.
///
/// # Errors
/// The file system's.
pub fn sign_again(data_dir: &Path, masters: &MasterRing) -> Result<()> {
    let place = path(data_dir);
    match std::fs::read_to_string(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => match read(&other.map_err(file(&place))?, masters) {
            Some(checkpoint) => write(&place, &checkpoint, masters.current()),
            None => Ok(()),
        },
    }
}

fn read(text: &str, masters: &MasterRing) -> Option<Checkpoint> {
    let (body, signature) = text.trim_end().split_once('\n')?;
    let signature = unhex(signature.trim())?;
    let signed = masters.keys().any(|key| key.signer(SIGNER).verify(PURPOSE, body.as_bytes(), &signature));
    if signed { serde_json::from_str(body).ok() } else { None }
}

fn write(place: &Path, checkpoint: &Checkpoint, key: &MasterKey) -> Result<()> {
    let body = serde_json::to_string(checkpoint).map_err(|error| RecoveryError::Damaged(error.to_string()))?;
    let signature = hex(&key.signer(SIGNER).sign(PURPOSE, body.as_bytes()));
    let draft = place.with_extension("json.new");
    std::fs::write(&draft, format!("{body}\n{signature}\n"))
        .and_then(|()| std::fs::File::open(&draft)?.sync_all())
        .and_then(|()| std::fs::rename(&draft, place))
        .map_err(file(place))
}

fn name(chain: Chain) -> String {
    match chain {
        Chain::Instance => "instance".to_owned(),
        Chain::Organization(id) => id.to_string(),
    }
}

fn chain(name: &str) -> Option<Chain> {
    if name == "instance" {
        return Some(Chain::Instance);
    }
    name.parse().ok().map(Chain::Organization)
}
