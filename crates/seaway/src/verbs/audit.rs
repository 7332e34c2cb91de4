//! `seaway audit verify`: recomputes every chain.

use std::process::ExitCode;

use anyhow::Result;
use store::audit::{self, Chain, Verdict};

use crate::configuration::Configuration;
use crate::{say, store_open};

/// # Errors
/// The database's. A broken chain is exit code 1 and a line that names the entry.
pub async fn verify(configuration: &Configuration, json: bool) -> Result<ExitCode> {
    let store = store_open::open(&configuration.database).await?;
    let mut read = store.read().await?;
    let mut intact = true;
    let mut chains = vec![Chain::Instance];
    chains.extend(audit::list_chains(&mut read).await?.into_iter().filter(|chain| *chain != Chain::Instance));
    for chain in chains {
        let verdict = audit::verify(&mut read, chain, None).await?;
        let name = match chain {
            Chain::Instance => "instance".to_owned(),
            Chain::Organization(id) => id.to_string(),
        };
        intact &= matches!(verdict, Verdict::Intact { .. });
        let (line, document) = match verdict {
            Verdict::Intact { entries } => {
                (format!("{name}: {entries} entries, intact"), serde_json::json!({"chain": name, "ok": true, "entries": entries}))
            }
            Verdict::Broken { sequence, fault } => (
                format!("{name}: BROKEN at entry {sequence}: {}", meaning(fault)),
                serde_json::json!({"chain": name, "ok": false, "sequence": sequence, "fault": format!("{fault:?}").to_lowercase()}),
            ),
        };
        if json { say::line(document) } else { say::line(line) }
    }
    store.close().await;
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::from(say::FAILED) })
}

fn meaning(fault: audit::Fault) -> &'static str {
    match fault {
        audit::Fault::Gap => "an entry is missing; compare with a backup from before",
        audit::Fault::Link => "it does not follow the entry before it",
        audit::Fault::Edited => "it was changed after it was written",
        audit::Fault::Truncated => "entries at the end are missing",
        audit::Fault::Checkpoint => "the chain is not the one that the checkpoint was taken of",
    }
}
