use contract::runs::{CreateRun, RUN_TIMEOUT_SECONDS_DEFAULT, RUN_TIMEOUT_SECONDS_MAX, Run};
use contract::{Code, FieldError};
use domain::id::RunId;
use domain::permission::Permission;
use serde_json::json;
use store::jobs::{NewJob, Pool};
use store::runs::{RunRow, RunState};

use super::job;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

const ARGUMENTS_MAX: usize = 256;
const ARGUMENT_BYTES_MAX: usize = 32 * 1024;

impl Control {
    /// Runs a command once in a fresh replica of the current release, with its variables and limits.
    pub async fn create_run(&self, actor: &Actor, wanted: CreateRun) -> Result<Run> {
        actor.require(Permission::ExecWrite)?;
        self.require_feature(contract::instance::Feature::Commands).await?;
        let service = actor.service()?;
        let facts = self.service_facts(actor.organization, service).await?;
        Self::deployable(&facts.service)?;
        check_command("/command", &wanted.command)?;
        let timeout = wanted.timeout_seconds.unwrap_or(RUN_TIMEOUT_SECONDS_DEFAULT);
        if timeout == 0 || timeout > RUN_TIMEOUT_SECONDS_MAX {
            return Err(ControlError::invalid("/timeout_seconds", "out-of-range", format!("1 to {RUN_TIMEOUT_SECONDS_MAX}")));
        }
        let release = facts
            .service
            .current_release_id
            .ok_or_else(|| ControlError::refused(Code::Conflict, "The service has no release yet. Deploy it first."))?;
        let id = RunId::new(self.clock(), self.entropy());
        let author = actor.author();
        let mut write = self.store().write().await?;
        let enqueued = store::jobs::enqueue(
            &mut write,
            self.clock(),
            self.entropy(),
            NewJob {
                pool: Pool::Deployments,
                unique_key: Some(format!("run/{id}")),
                attempts_max: 3,
                ..NewJob::new(job::KIND, Some(actor.organization), json!({ "run": id }))
            },
        )
        .await?;
        let row = RunRow {
            id,
            organization_id: actor.organization,
            service_id: service,
            release_id: release,
            command: store::Json(wanted.command),
            state: RunState::Queued,
            timeout_seconds: i64::from(timeout),
            exit_code: None,
            reason: None,
            job_id: Some(enqueued.id()),
            author_kind: author.kind.to_owned(),
            author_id: author.id,
            author_name: author.name,
            created_at: self.clock().now(),
            started_at: None,
            finished_at: None,
        };
        store::runs::insert(&mut write, &row).await?;
        self.record(actor, "run.created").resource("run", id, Some(&facts.service.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(super::read::shown(row))
    }
}

/// An argument list that a container may be started with.
pub(crate) fn check_command(pointer: &str, command: &[String]) -> Result<()> {
    let error = |detail: &str| Err(ControlError::Invalid(vec![FieldError::new(pointer, "invalid", detail)]));
    if command.first().is_none_or(String::is_empty) {
        return error("a command is a list whose first entry is the program, for example [\"npm\", \"run\", \"migrate\"]");
    }
    if command.len() > ARGUMENTS_MAX || command.iter().map(String::len).sum::<usize>() > ARGUMENT_BYTES_MAX {
        return error("a command has at most 256 arguments and 32 KiB in all");
    }
    if command.iter().any(|argument| argument.contains('\0')) {
        return error("an argument cannot hold a zero byte");
    }
    Ok(())
}
