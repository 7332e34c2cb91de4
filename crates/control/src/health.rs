//! Health of the instance, part by part. Anybody may ask, so the answer is remembered for a moment and holds no text of a
//! database or of another program.
//!
//! To add a part: a function that answers a [`PartHealth`], a line in [`Control::ask_all`], a row in docs/operations.md.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contract::health::{Health, PartHealth};
use store::jobs::{self, Pool};
use tokio::time::timeout;

use crate::error::Result;
use crate::running::sweep;
use crate::state::Control;

/// However many ask, the parts are asked this often.
pub const REMEMBERED: TimeDelta = TimeDelta::seconds(1);
/// Work that is due and waits for nothing is begun within this time.
pub const JOB_WAIT_MAX: TimeDelta = TimeDelta::minutes(2);
/// The scheduler is this late at most.
pub const TURN_LATE_MAX: TimeDelta = TimeDelta::minutes(5);
/// A part that takes longer does not answer.
const PART_TIMEOUT: Duration = Duration::from_secs(5);

/// The newest answer, and when it was given.
pub(crate) type Remembered = tokio::sync::Mutex<Option<(DateTime<Utc>, Health)>>;

impl Control {
    /// Asks each part, at most once in [`REMEMBERED`]; never fails.
    pub async fn health(&self) -> Health {
        // Those who come while the parts are asked wait for that answer.
        let mut remembered = self.remembered_health().lock().await;
        let now = self.clock().now();
        if let Some((at, health)) = remembered.as_ref()
            && now >= *at
            && now - *at < REMEMBERED
        {
            return health.clone();
        }
        let health = self.ask_all(now).await;
        *remembered = Some((now, health.clone()));
        health
    }

    async fn ask_all(&self, now: DateTime<Utc>) -> Health {
        let (stored, server) = tokio::join!(self.stored(now), timeout(PART_TIMEOUT, self.server().health()));
        let mut parts = stored;
        parts.push(match self.keys().sealed_reason() {
            None => part("vault", true, "open"),
            Some(reason) => part("vault", false, format!("sealed: {reason}")),
        });
        match server {
            Ok(server) => parts.extend(server.parts.into_iter().map(|one| part(&one.name, one.ok, one.detail))),
            Err(_) => parts.push(part("server", false, "does not answer")),
        }
        Health { ok: parts.iter().all(|part| part.ok), parts }
    }

    /// Database, job queue and scheduler: what the database tells.
    async fn stored(&self, now: DateTime<Utc>) -> Vec<PartHealth> {
        let answer = match timeout(PART_TIMEOUT, self.queue(now)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        match answer {
            Ok((queue, scheduler)) => vec![part("database", true, "answers"), queue, scheduler],
            Err(error) => {
                tracing::warn!(error, "the database does not answer");
                let unknown = |name| part(name, false, "not known: the database does not answer");
                vec![part("database", false, "does not answer"), unknown("jobs"), unknown("scheduler")]
            }
        }
    }

    async fn queue(&self, now: DateTime<Utc>) -> Result<(PartHealth, PartHealth)> {
        let mut read = self.store().read().await?;
        let mut stuck = Vec::new();
        for (pool, name) in [(Pool::Deployments, "deployments"), (Pool::Background, "background work")] {
            let Some(due) = jobs::oldest_due(&mut read, pool, now).await? else { continue };
            // While its workers are busy a queue may be long: builds take their time.
            if now - due > JOB_WAIT_MAX && jobs::count_held(&mut read, pool, now).await? == 0 {
                stuck.push(format!("{name}: due since {} s and nothing takes it", (now - due).num_seconds()));
            }
        }
        let queue = match stuck.is_empty() {
            true => part("jobs", true, "taken as they come due"),
            false => part("jobs", false, stuck.join("; ")),
        };
        let scheduler = match jobs::next_turn(&mut read, sweep::KIND).await? {
            Some(next) if now - next > TURN_LATE_MAX => {
                part("scheduler", false, format!("{} s late with the sweep", (now - next).num_seconds()))
            }
            Some(_) => part("scheduler", true, "on time"),
            None => part("scheduler", true, "before its first turn"),
        };
        Ok((queue, scheduler))
    }
}

fn part(name: &str, ok: bool, detail: impl Into<String>) -> PartHealth {
    PartHealth { name: name.to_owned(), ok, detail: detail.into() }
}
