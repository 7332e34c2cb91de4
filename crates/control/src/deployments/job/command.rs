//! A command of the release: runs once, in a replica of its own.

use deployer::protocol::{LogStream, RunOrder};
use domain::deployment::{Cause, Failure, Step};
use domain::id::{DeploymentId, Id, RunId};
use store::releases::ReleaseRow;

use super::Execution;
use super::stop::Stop;
use crate::deployments::Reader;
use crate::deployments::facts::ServiceFacts;

impl Execution<'_> {
    /// Runs a command of the release; answers its failure, if it failed.
    pub(super) async fn once(
        &self,
        facts: &ServiceFacts,
        release: &ReleaseRow,
        command: Vec<String>,
        what: &str,
        timeout_seconds: u32,
    ) -> Result<Option<Failure>, Stop> {
        let control = self.control;
        let shown = command.join(" ");
        let order = RunOrder {
            run: RunId::from_uuid(derived(self.row.id, what)),
            stream: LogStream::Deployment(self.row.id),
            desired: control.desired(facts, release, Reader::Deployment(self.row.id)).await?,
            command,
            timeout_seconds,
        };
        let end = control.server().run(order, self.cancel.clone()).await?;
        if end.exit_code == 0 && !end.timed_out {
            return Ok(None);
        }
        let (cause, happened) = if end.out_of_memory {
            (Cause::OutOfMemory, "ran out of memory".to_owned())
        } else if end.timed_out {
            (Cause::ReleaseCommand, format!("did not end within {timeout_seconds} s"))
        } else {
            (Cause::ReleaseCommand, format!("ended with exit code {}", end.exit_code))
        };
        let failure = Failure::new(
            cause,
            Step::ReleaseCommand,
            format!("The {what} command `{shown}` {happened}."),
            "Read its last lines, correct it and deploy again. The release that serves is not touched.",
        )
        .with_exit_code(end.exit_code)
        .with_log_tail(control.log_tail(LogStream::Deployment(self.row.id)).await);
        Ok(Some(failure))
    }
}

/// A second id of the same deployment, the same at every repeat.
fn derived(deployment: DeploymentId, what: &str) -> uuid::Uuid {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    digest.update(deployment.uuid().as_bytes());
    digest.update(what.as_bytes());
    let bytes: [u8; 32] = digest.finalize().into();
    let mut id = [0u8; 16];
    for (place, byte) in id.iter_mut().zip(bytes) {
        *place = byte;
    }
    uuid::Builder::from_custom_bytes(id).into_uuid()
}
