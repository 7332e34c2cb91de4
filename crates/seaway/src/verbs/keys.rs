//! `seaway keys rotate` and `seaway keys ls`. Built by helper recovery.

use anyhow::{Context, Result, bail};
use control::keys::INSTANCE;
use control::recovery::checkpoint;
use control::rotation::MasterKeyFiles;
use domain::id::{Id, OrganizationId};
use store::{data_keys, text_of};
use uuid::Uuid;
use vault::MasterRing;

use super::offline;
use crate::configuration::Configuration;
use crate::say;

/// # Errors
/// What keeps a rotation from its end; running it again goes on.
pub async fn rotate(configuration: &Configuration, master: bool, data: bool, organization: Option<&str>, json: bool) -> Result<()> {
    let control = offline::control(configuration).await?;
    if master {
        if configuration.vault.master_key.is_some() {
            bail!(
                "the master key of this instance is a value in its settings: set master_key to a new one (openssl rand -base64 32) and \
                 master_key_previous to the one of now, and restart; the rest is done in the background"
            );
        }
        let files = MasterKeyFiles::new(&configuration.vault.file);
        let before = control.keys().masters();
        let done = control.rotation().rotate_master(&files).await?;
        let after = files.read()?;
        checkpoint::sign_again(&configuration.data_dir, &MasterRing::new(after.current().clone(), before.keys().cloned().collect()))?;
        let kept = done.old_kept_at.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        if json {
            say::line(serde_json::json!({"master_key": done.new, "old": done.old, "rewrapped": done.rewrapped, "old_kept_at": kept}));
        } else {
            say::line(format!("the master key is now {}; {} data keys were wrapped anew", done.new, done.rewrapped));
            say::line(format!("copy {} to where you keep the old one", files.current().display()));
            say::line(format!("the old key is at {kept}: backups made until now need it; move it to where they are kept"));
        }
    }
    if data {
        let tenants = match organization {
            Some(text) => {
                vec![text.parse::<OrganizationId>().with_context(|| format!("{text:?} is not the id of an organization (org_…)"))?.uuid()]
            }
            None => tenants(&control).await?,
        };
        for tenant in tenants {
            let Some(done) = control.rotation().rotate_data_key(tenant).await? else {
                say::remark(format!("{} has no data key: nothing of it was ever sealed", name(tenant)));
                continue;
            };
            if json {
                say::line(serde_json::json!({
                    "tenant": name(tenant), "version": done.version, "resealed": done.resealed, "unreadable": done.unreadable, "finished": done.finished
                }));
            } else {
                say::line(format!("{}: data key version {}, {} values sealed anew", name(tenant), done.version, done.resealed));
            }
            if done.unreadable > 0 {
                say::remark(format!(
                    "{}: {} values do not open under any key; they were left as they are (see the log)",
                    name(tenant),
                    done.unreadable
                ));
            }
        }
    }
    control.store().close().await;
    Ok(())
}

/// # Errors
/// The database's.
pub async fn list(configuration: &Configuration, json: bool) -> Result<()> {
    let control = offline::control(configuration).await?;
    for row in data_keys::list_progress(&mut control.store().read().await?).await? {
        let state = text_of(&row.state).unwrap_or_default();
        if json {
            say::line(serde_json::json!({"tenant": name(row.tenant), "version": row.version, "state": state, "uses": row.uses}));
        } else {
            say::line(format!("{}  version {}  {state}  {} values sealed", name(row.tenant), row.version, row.uses));
        }
    }
    control.store().close().await;
    Ok(())
}

async fn tenants(control: &control::Control) -> Result<Vec<Uuid>> {
    let mut tenants: Vec<Uuid> =
        data_keys::list_progress(&mut control.store().read().await?).await?.into_iter().map(|row| row.tenant).collect();
    tenants.dedup();
    Ok(tenants)
}

fn name(tenant: Uuid) -> String {
    if tenant == INSTANCE { "instance".to_owned() } else { OrganizationId::from_uuid(tenant).to_string() }
}
