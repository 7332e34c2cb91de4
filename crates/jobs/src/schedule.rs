//! Recurring jobs: one process takes each turn.

use std::time::Duration;

use chrono::{DateTime, Utc};
use store::StoreError;
use store::jobs::{self, NewJob};

use crate::Parts;
use crate::context::later;

/// A kind of job and how often it is to run.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub kind: &'static str,
    pub period: Duration,
}

/// Which schedule is looked at when; in memory only, the turns themselves are rows.
pub(crate) struct Turns(Vec<(Schedule, DateTime<Utc>)>);

impl Turns {
    pub(crate) fn new(schedules: &[Schedule], now: DateTime<Utc>) -> Self {
        Self(schedules.iter().map(|schedule| (schedule.clone(), now)).collect())
    }

    /// Takes the turns that are due. Reads and writes nothing before the next one is.
    pub(crate) async fn take(&mut self, parts: &Parts) -> Result<(), StoreError> {
        let now = parts.clock.now();
        for (schedule, look_at) in &mut self.0 {
            let next = later(now, schedule.period);
            // A look far ahead: the clock went back.
            if *look_at > now && *look_at <= next {
                continue;
            }
            let stored = jobs::next_turn(&mut parts.store.read().await?, schedule.kind).await?;
            if let Some(stored) = stored.filter(|stored| *stored > now && *stored <= next) {
                *look_at = stored;
                continue;
            }
            let mut write = parts.store.write().await?;
            if jobs::take_turn(&mut write, schedule.kind, now, next).await? {
                let job = NewJob {
                    unique_key: Some(format!("schedule:{}", schedule.kind)),
                    ..NewJob::new(schedule.kind, None, serde_json::json!({}))
                };
                jobs::enqueue(&mut write, &*parts.clock, &*parts.entropy, job).await?;
            }
            write.commit_without_audit("a turn of a schedule").await?;
            *look_at = next;
        }
        Ok(())
    }
}
