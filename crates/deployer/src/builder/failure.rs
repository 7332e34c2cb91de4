//! What the engine says about a build that failed, as a cause and a next step.

use domain::deployment::{Cause, Failure, Step};
use domain::service::BuildLimits;

use super::engine::EngineError;

const KILLED: i64 = 137;
const MEBIBYTE: u64 = 1024 * 1024;

pub fn build(message: impl Into<String>, next_step: impl Into<String>) -> Failure {
    Failure::new(Cause::Build, Step::Build, message, next_step)
}

pub fn canceled() -> Failure {
    build("The deployment was canceled while its image was built; the build was stopped.", "Deploy again when you want it.")
}

pub fn timed_out(limits: &BuildLimits) -> Failure {
    Failure::new(
        Cause::BuildTimeout,
        Step::Build,
        format!("The build took longer than {} seconds and was stopped.", limits.timeout_seconds),
        "Make the build shorter (use the cache, fewer steps) or raise the build's time limit.",
    )
}

pub fn engine(error: &EngineError, limits: &BuildLimits) -> Failure {
    match error {
        EngineError::Answer { message, .. } => said(message, None, limits),
        _ => engine_gone(&error.to_string()),
    }
}

pub fn engine_gone(detail: &str) -> Failure {
    Failure::new(
        Cause::Engine,
        Step::Build,
        format!("The container engine of the server does not answer, or stopped during the build ({detail})."),
        "Deploy again when the engine is up; `seaway doctor` shows its state.",
    )
}

/// An error of the build itself.
pub fn said(message: &str, code: Option<i64>, limits: &BuildLimits) -> Failure {
    let text = message.to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let code = code.or_else(|| exit_code(&text));
    let failure = if has(&["no space left on device", "disk quota exceeded"]) {
        Failure::new(
            Cause::DiskFull,
            Step::Build,
            "The server's disk is full, so the build was stopped.",
            "Free space on the server (old images, build cache, logs), then deploy again.",
        )
    } else if code == Some(KILLED) || has(&["cannot allocate memory", "out of memory"]) {
        Failure::new(
            Cause::OutOfMemory,
            Step::Build,
            format!(
                "A step of the build was killed; most likely it needed more than the {} MiB that a build of this service may use. {}",
                limits.memory_bytes / MEBIBYTE,
                shortened(message)
            ),
            "Raise the build's memory limit or let the step use less (fewer parallel jobs).",
        )
    } else if has(&[
        "parse error",
        "unknown instruction",
        "dockerfile cannot be empty",
        "no build stage in current context",
        "file with no instructions",
        "syntax error",
        "unknown flag",
        "requires at least",
        "requires exactly",
        "invalid reference format",
        "unexpected end of statement",
    ]) {
        build(
            format!("The Dockerfile is not valid: {}", shortened(message)),
            "Correct the named line of the Dockerfile, push, and deploy again.",
        )
    } else if has(&["target stage", "failed to reach build target", "could not be found"]) {
        build(
            format!("The Dockerfile has no such stage: {}", shortened(message)),
            "Set the service's target to the name of a stage of the Dockerfile.",
        )
    } else if has(&[
        "failed to load metadata",
        "pull access denied",
        "manifest unknown",
        "repository does not exist",
        "failed to resolve source metadata",
        "manifest for",
        "error getting credentials",
        "failed to do request",
        "no such host",
    ]) && !has(&["process \"", "executor failed running"])
    {
        Failure::new(
            Cause::Image,
            Step::Build,
            format!("A base image of the Dockerfile cannot be pulled: {}", shortened(message)),
            "Check the name and tag after FROM; for a private image add a registry credential.",
        )
    } else if let Some(code) = code {
        build(
            format!("A step of the Dockerfile failed with exit code {code}: {}", shortened(message)),
            "Read the last lines of the build log, mend the step, and deploy again.",
        )
    } else {
        build(
            format!("The image could not be built: {}", shortened(message)),
            "Read the last lines of the build log, mend the Dockerfile, and deploy again.",
        )
    };
    match code {
        Some(code) => failure.with_exit_code(code),
        None => failure,
    }
}

fn exit_code(text: &str) -> Option<i64> {
    ["exit code: ", "non-zero code: ", "exit status "].iter().find_map(|phrase| {
        let (_, after) = text.split_once(phrase)?;
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    })
}

fn shortened(message: &str) -> String {
    const CHARACTERS_MAX: usize = 600;
    let message = message.trim();
    if message.chars().count() <= CHARACTERS_MAX {
        return message.to_owned();
    }
    format!("{}…", message.chars().take(CHARACTERS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_class() {
        for (message, cause, code) in [
            ("dockerfile parse error line 3: unknown instruction: FORM", Cause::Build, None),
            ("executor failed running [/bin/sh -c make]: exit code: 2", Cause::Build, Some(2)),
            ("The command '/bin/sh -c x' returned a non-zero code: 137", Cause::OutOfMemory, Some(137)),
            ("write /x: no space left on device", Cause::DiskFull, None),
            ("docker.io/library/nope:1: pull access denied", Cause::Image, None),
        ] {
            let failure = said(message, None, &BuildLimits::default());
            assert_eq!((failure.cause, failure.exit_code), (cause, code), "{message}");
        }
    }
}
