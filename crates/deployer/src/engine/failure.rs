//! The engine's errors as causes that a person can act on.

use bollard::errors::Error;
use domain::deployment::{Cause, Failure, Step};

/// A failure of an engine call. `what` names the action and its object: `create web.1`.
pub fn failure(step: Step, what: &str, error: &Error) -> Failure {
    let message = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let cause = classify(error, &message);
    let next_step = match cause {
        Cause::DiskFull => "Free space on the server (old images and build caches first), then deploy again.",
        Cause::Image => "Deploy again to build or pull the image once more.",
        Cause::Start => "Check the command and the image; the message above comes from the engine.",
        Cause::OutOfMemory => "Raise the memory limit of the process.",
        _ => "Check that the Docker engine runs on the server (`seaway doctor`), then deploy again.",
    };
    Failure::new(cause, step, format!("Could not {what}: {}", bounded(&message)), next_step)
}

/// Longest text of the engine that is shown.
const MESSAGE_CHARACTERS_MAX: usize = 600;

fn bounded(message: &str) -> String {
    message.trim().chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

fn classify(error: &Error, message: &str) -> Cause {
    let lower = message.to_lowercase();
    if lower.contains("no space left on device") || lower.contains("disk quota exceeded") {
        return Cause::DiskFull;
    }
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } if lower.contains("no such image") => Cause::Image,
        Error::DockerResponseServerError { .. }
            if lower.contains("executable file not found")
                || lower.contains("permission denied")
                || lower.contains("no such file or directory")
                || lower.contains("exec format error")
                || lower.contains("unable to find user")
                || lower.contains("oci runtime create failed") =>
        {
            Cause::Start
        }
        _ => Cause::Engine,
    }
}

/// The object does not exist (any more).
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// The name is taken, the object is in use, or the change is under way already.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 409, .. })
}

/// It is so already (start of a running container, stop of a stopped one).
pub fn is_unchanged(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 304, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.into() }
    }

    #[test]
    fn causes() {
        let table = [
            (answer(500, "write /var/lib/docker/x: no space left on device"), Cause::DiskFull),
            (answer(404, "No such image: sha256:ab"), Cause::Image),
            (answer(400, "OCI runtime create failed: exec: \"nope\": executable file not found in $PATH"), Cause::Start),
            (answer(500, "linux spec user: unable to find user bob"), Cause::Start),
            (answer(500, "server error"), Cause::Engine),
            (Error::RequestTimeoutError, Cause::Engine),
        ];
        for (error, cause) in table {
            assert_eq!(failure(Step::Create, "create web.1", &error).cause, cause, "{error}");
        }
    }
}
