//! Tells people that a service keeps crashing: one mail to the owners and admins for each episode, with the last lines, the cause
//! and the next step. An episode ends with the next restart or deployment.

use ::mail::{Template, Where};
use deployer::protocol::{CrashedService, LogStream};
use store::audit;
use store::services::ServiceRow;

use crate::error::Result;
use crate::mail::{Addressee, Letter};
use crate::state::Control;

impl Control {
    /// What cannot be told now is told after the next sweep.
    pub(super) async fn tell_of_crashes(&self, crashed: &[CrashedService]) {
        for crash in crashed {
            if let Err(error) = self.tell_of_crash(crash).await {
                tracing::warn!(service = %crash.service, %error, "nobody could be told that a service keeps crashing");
            }
        }
    }

    async fn tell_of_crash(&self, crash: &CrashedService) -> Result<()> {
        let episode = format!("{}/{}", crash.release, crash.since.timestamp_micros());
        let mut read = self.store().read().await?;
        let found = store::services::find_any(&mut read, crash.service).await?;
        let Some(row) = found.filter(|row| !row.stopped && row.deleting_at.is_none()) else { return Ok(()) };
        if store::crashes::find(&mut read, row.organization_id, row.id).await?.as_ref() == Some(&episode) {
            return Ok(());
        }
        drop(read);
        let letters = self.crash_letters(&row, crash).await?;
        let mut write = self.store().write().await?;
        // Another process may have been first.
        if !store::crashes::note(&mut write, row.organization_id, row.id, &episode, self.clock().now()).await? {
            return Ok(());
        }
        for letter in letters {
            self.post(&mut write, letter).await?;
        }
        let record = audit::Record {
            resource: Some(audit::Resource { kind: "service", id: row.id.to_string(), name: Some(row.name) }),
            details: serde_json::json!({
                "replicas": crash.replicas,
                "exit_code": crash.exit_code,
                "out_of_memory": crash.out_of_memory,
            }),
            ..audit::Record::new(audit::Chain::Organization(row.organization_id), audit::Actor::system("deployer"), "service.crashed")
        };
        audit::append(&mut write, self.clock(), self.entropy(), record).await?;
        Ok(write.commit().await?)
    }

    async fn crash_letters(&self, row: &ServiceRow, crash: &CrashedService) -> Result<Vec<Letter>> {
        let facts = self.service_facts(row.organization_id, row.id).await?;
        let mut read = self.store().read().await?;
        let project = store::projects::find(&mut read, row.organization_id, row.project_id).await?;
        let members = store::memberships::admins(&mut read, row.organization_id).await?;
        drop(read);
        let template = Template::ServiceCrashed {
            place: Where {
                service: facts.service.name,
                environment: facts.environment.name,
                project: project.map_or_else(String::new, |project| project.name),
            },
            exit: ended(crash),
            restarts: crash.restarts_max,
            since: crash.since,
            next_step: next_step(crash).to_owned(),
            log_lines: self.log_tail(LogStream::Service(row.id)).await,
            link: self.link(&format!("services/{}", row.id)),
        };
        let mut letters = Vec::new();
        // Owners and admins see every service: no list of theirs is asked.
        for member in members {
            let to = Addressee { user: Some(member.id), email: member.email, name: Some(member.name) };
            letters.push(self.letter(&to, Some(row.organization_id), &template).await?);
        }
        Ok(letters)
    }
}

fn ended(crash: &CrashedService) -> String {
    let code = crash.exit_code.map_or_else(|| "an unknown exit code".to_owned(), |code| format!("exit code {code}"));
    if crash.out_of_memory { format!("{code} (out of memory)") } else { code }
}

fn next_step(crash: &CrashedService) -> &'static str {
    if crash.out_of_memory {
        "Raise the memory limit of the service, or make it need less; the new release starts it again."
    } else {
        "Read the last lines, correct the cause and deploy again, return to an earlier release, or restart the service to try once more."
    }
}
