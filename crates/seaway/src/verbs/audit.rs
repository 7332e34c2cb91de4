//! `seaway audit verify`: recomputes every chain and compares it with the checkpoint in the data folder.

use std::process::ExitCode;

use anyhow::Result;
use control::recovery::checkpoint::{self, CheckpointState};
use domain::SystemClock;
use store::audit::{Fault, Verdict};

use crate::configuration::Configuration;
use crate::data_dir::DataDir;
use crate::{master_key, say, store_open};

/// # Errors
/// The database's, and a master key that cannot be read. A broken chain is exit code 1 and a line that names the entry.
pub async fn verify(configuration: &Configuration, json: bool) -> Result<ExitCode> {
    let data_dir = DataDir::open(&configuration.data_dir)?;
    let masters = master_key::read_existing(&configuration.vault)?;
    let store = store_open::open(&configuration.database).await?;
    let verification = checkpoint::verify(&store, &masters, data_dir.path(), &SystemClock).await?;
    store.close().await;
    for chain in &verification.chains {
        let name = &chain.chain;
        let (line, document) = match &chain.verdict {
            Verdict::Intact { entries } => {
                (format!("{name}: {entries} entries, intact"), serde_json::json!({"chain": name, "ok": true, "entries": entries}))
            }
            Verdict::Broken { sequence, fault } => (
                format!("{name}: BROKEN at entry {sequence}: {}", meaning(*fault)),
                serde_json::json!({"chain": name, "ok": false, "sequence": sequence, "fault": format!("{fault:?}").to_lowercase()}),
            ),
        };
        if json { say::line(document) } else { say::line(line) }
    }
    let place = checkpoint::path(data_dir.path());
    match verification.checkpoint {
        CheckpointState::First => say::remark(format!("a checkpoint was written to {}; keep a copy on another machine", place.display())),
        CheckpointState::Compared => {}
        CheckpointState::Unusable => say::remark(format!(
            "the checkpoint {} was changed, or signed with a key that is not here; the chains were verified without it. If you know why \
             (a key that is gone), remove the file and run this again",
            place.display()
        )),
    }
    Ok(if verification.is_intact() { ExitCode::SUCCESS } else { ExitCode::from(say::FAILED) })
}

fn meaning(fault: Fault) -> &'static str {
    match fault {
        Fault::Gap => "an entry is missing; compare with a backup from before",
        Fault::Link => "it does not follow the entry before it",
        Fault::Edited => "it was changed after it was written",
        Fault::Truncated => "entries at the end are missing",
        Fault::Checkpoint => "the chain is not the one that the checkpoint was taken of",
    }
}
