//! Proving the log: every chain is walked, and compared with a checkpoint that was kept elsewhere.

use std::collections::BTreeMap;

use domain::id::OrganizationId;
use serde::{Deserialize, Serialize};
use store::audit::{self, Chain, Head, Verdict};

use crate::Control;
use crate::error::{ControlError, Result};

const PURPOSE: &str = "audit checkpoint";

/// What was found in one chain; `organization` is `None` for the instance's own.
#[derive(Debug, Clone)]
pub struct ChainReport {
    pub organization: Option<OrganizationId>,
    pub verdict: Verdict,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    at: String,
    /// By organization, `instance` for the instance: sequence and hash in hexadecimal.
    heads: BTreeMap<String, (i64, String)>,
}

impl Control {
    /// Verifies every chain of the instance. `checkpoint`: a text of [`Control::audit_checkpoint`].
    ///
    /// # Errors
    /// `Invalid` for a checkpoint that this instance did not sign.
    pub async fn verify_audit(&self, checkpoint: Option<&str>) -> Result<Vec<ChainReport>> {
        let heads = match checkpoint {
            None => BTreeMap::new(),
            Some(text) => self.read_checkpoint(text)?.heads,
        };
        let mut read = self.store().read().await?;
        let mut reports = Vec::new();
        for organization in self.chains(&mut read).await? {
            let head = heads.get(&key(organization)).and_then(|(sequence, hash)| Some(Head { sequence: *sequence, hash: bytes(hash)? }));
            let verdict = audit::verify(&mut read, chain(organization), head.as_ref()).await?;
            reports.push(ChainReport { organization, verdict });
        }
        Ok(reports)
    }

    /// The newest entry of every chain, signed; to be kept on another machine.
    pub async fn audit_checkpoint(&self) -> Result<String> {
        let mut read = self.store().read().await?;
        let mut heads = BTreeMap::new();
        for organization in self.chains(&mut read).await? {
            if let Some(head) = audit::head(&mut read, chain(organization)).await? {
                let hash = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
                heads.insert(key(organization), (head.sequence, hash));
            }
        }
        let checkpoint = Checkpoint { at: self.clock().now().to_rfc3339(), heads };
        let text = serde_json::to_string(&checkpoint).map_err(anyhow::Error::new)?;
        let signature: String = self.signer().sign(PURPOSE, text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{text}\n{signature}\n"))
    }

    fn read_checkpoint(&self, text: &str) -> Result<Checkpoint> {
        let invalid = || ControlError::invalid("checkpoint", "signature", "This is not a checkpoint of this instance, or it was changed.");
        let (body, signature) = text.trim_end().split_once('\n').ok_or_else(invalid)?;
        let signature = bytes(signature.trim()).ok_or_else(invalid)?;
        if !self.signer().verify(PURPOSE, body.as_bytes(), &signature) {
            return Err(invalid());
        }
        serde_json::from_str(body).map_err(|_| invalid())
    }

    async fn chains(&self, read: &mut store::Read) -> Result<Vec<Option<OrganizationId>>> {
        let organizations = store::organizations::list_ids(read).await?;
        Ok(std::iter::once(None).chain(organizations.into_iter().map(Some)).collect())
    }
}

fn chain(organization: Option<OrganizationId>) -> Chain {
    organization.map_or(Chain::Instance, Chain::Organization)
}

fn key(organization: Option<OrganizationId>) -> String {
    organization.map_or_else(|| "instance".to_owned(), |id| id.to_string())
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    if !hexadecimal.is_ascii() || !hexadecimal.len().is_multiple_of(2) {
        return None;
    }
    (0..hexadecimal.len()).step_by(2).map(|place| u8::from_str_radix(hexadecimal.get(place..place + 2)?, 16).ok()).collect()
}
