//! What git, ssh and curl say, as a cause and a next step. Missing, private and forbidden repositories read alike.

use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};

use super::super::disk_full;
use super::known_hosts::Shown;
use super::reference::{ReferenceError, Want};
use super::url::{GitUrl, UrlError};
use crate::egress::EgressError;
use crate::process::{Finished, RunError};

const TAIL_LINES: usize = 12;
const BRANCHES_SHOWN: usize = 10;

fn clone_failure(message: impl Into<String>, next_step: impl Into<String>) -> Failure {
    Failure::new(Cause::Clone, Step::Fetch, message, next_step)
}

pub fn url(error: &UrlError) -> Failure {
    let next_step = match error {
        UrlError::Password => "Store the token as a credential of the organization and choose it in the service's source.",
        _ => "Use an address of the form https://host/path or git@host:path.",
    };
    clone_failure(error.to_string(), next_step)
}

pub fn reference(error: &ReferenceError) -> Failure {
    clone_failure(error.to_string(), "Set the branch, tag or full commit id in the service's source.")
}

pub fn egress(error: &EgressError) -> Failure {
    let next_step = match error {
        EgressError::Unresolved { .. } => "Check the host name of the repository.",
        EgressError::Refused { .. } | EgressError::Port { .. } => {
            "Use a public address, or let the instance's operator allow this network for sources."
        }
        _ => "Check the address of the repository.",
    };
    clone_failure(format!("The repository cannot be reached: {error}."), next_step)
}

pub fn key_for_http() -> Failure {
    clone_failure(
        "The repository has an https address, but its credential is a deploy key for ssh.",
        "Choose an access token, or use the ssh address of the repository.",
    )
}

pub fn ssh_without_key() -> Failure {
    clone_failure(
        "The repository has an ssh address, but no deploy key is chosen for it.",
        "Add a deploy key to the service's source, or use the https address.",
    )
}

pub fn redirects(url: &GitUrl) -> Failure {
    clone_failure(format!("{} redirects too often.", url.text()), "Use the repository's final address.")
}

pub fn timed_out(timeout: Duration) -> Failure {
    clone_failure(
        format!("Fetching the source took longer than {} seconds and was stopped.", timeout.as_secs()),
        "Make the repository smaller, or try again when its host is faster.",
    )
}

pub fn tool(error: &RunError) -> Failure {
    Failure::new(
        Cause::Internal,
        Step::Fetch,
        format!("Git could not be run on the server: {error}."),
        "Tell the operator; `seaway doctor` names what is missing.",
    )
}

fn says(finished: &Finished, phrases: &[&str]) -> bool {
    let text = finished.stderr_text().to_lowercase();
    phrases.iter().any(|phrase| text.contains(phrase))
}

pub fn is_redirect(finished: &Finished) -> bool {
    says(
        finished,
        &["returned error: 301", "returned error: 302", "returned error: 303", "returned error: 307", "returned error: 308", "redirect"],
    )
}

pub fn is_unknown_reference(finished: &Finished) -> bool {
    says(finished, &["couldn't find remote ref", "could not find remote ref"])
}

pub fn is_commit_not_offered(finished: &Finished) -> bool {
    says(
        finished,
        &[
            "not our ref",
            "unadvertised object",
            "couldn't find remote ref",
            "does not allow request for",
            "not a valid object name",
            "remote error: want",
        ],
    )
}

pub fn is_host_key(finished: &Finished) -> bool {
    says(finished, &["host key verification failed", "host identification has changed", "host key is known for"])
}

/// Names the key that the host shows, so that a person can compare and trust it.
pub fn host_key(finished: &Finished, url: &GitUrl, shown: &[Shown]) -> Failure {
    let keys: Vec<String> = shown.iter().map(|key| format!("{} ({})", key.fingerprint, key.line)).collect();
    let keys = if keys.is_empty() { "it showed none when asked".to_owned() } else { keys.join("; ") };
    if says(finished, &["host identification has changed"]) {
        return clone_failure(
            format!(
                "The host key of {} is not the one that this credential trusts. Somebody may be listening, or the host was set up anew. It shows now: {keys}.",
                url.host
            ),
            "Ask the host's operator for the right fingerprint; only if it is one of those, replace the known host in the credential.",
        );
    }
    clone_failure(
        format!("The host key of {} is not known, so the connection was stopped. It shows: {keys}.", url.host),
        "Compare the fingerprint with the one that the host publishes, then add the line as a known host to the deploy key.",
    )
}

pub fn unknown(want: &Want, heads: &str) -> Failure {
    let branches: Vec<&str> =
        heads.lines().filter_map(|line| line.split_once("refs/heads/").map(|(_, name)| name)).take(BRANCHES_SHOWN).collect();
    let offer = if branches.is_empty() {
        "The repository has no branch yet.".to_owned()
    } else {
        format!("Its branches are: {}.", branches.join(", "))
    };
    let message = match want {
        Want::Default => format!("The repository has no default branch. {offer}"),
        Want::Named(name) => format!("The repository has no branch or tag “{name}”. {offer}"),
        Want::Commit { id, .. } => {
            format!("The repository does not hand out the commit {id}; it may have been overwritten by a force-push. {offer}")
        }
    };
    let next_step = if branches.is_empty() {
        "Push a first commit to the repository, then deploy again."
    } else {
        "Set an existing branch, tag or commit in the service's source."
    };
    clone_failure(message, next_step)
}

/// Any other answer.
pub fn git(finished: &Finished, url: Option<&GitUrl>) -> Failure {
    let place = url.map_or_else(|| "The repository".to_owned(), GitUrl::text);
    let tail: Vec<String> = finished.stderr_text().lines().rev().take(TAIL_LINES).map(str::to_owned).collect();
    let failure = if says(finished, &["no space left on device", "disk quota exceeded"]) {
        disk_full()
    } else if says(finished, &["permission denied (publickey", "invalid format", "error in libcrypto", "load key"]) {
        clone_failure(
            format!("{place} refuses this deploy key."),
            "Add the public half of the key to the repository's deploy keys, or choose another key.",
        )
    } else if says(
        finished,
        &[
            "returned error: 401",
            "returned error: 403",
            "returned error: 404",
            "authentication failed",
            "could not read username",
            "could not read password",
            "not found",
            "does not appear to be a git repository",
            "access denied",
            "does not exist",
            "not exported",
        ],
    ) {
        clone_failure(
            format!("{place} does not exist, or this credential may not read it."),
            "Check the address; for a private repository choose a token or deploy key that may read it.",
        )
    } else if says(finished, &["certificate", "ssl", "tls"]) {
        clone_failure(
            format!("{place} has a certificate that is not trusted."),
            "Renew the host's certificate, or let the operator trust its authority.",
        )
    } else if says(
        finished,
        &[
            "could not resolve",
            "failed to connect",
            "connection refused",
            "timed out",
            "no route to host",
            "connection reset",
            "couldn't connect",
            "connection closed",
            "unable to access",
            "network is unreachable",
            "early eof",
            "unexpected disconnect",
            "returned error: 5",
        ],
    ) {
        clone_failure(
            format!("{place} does not answer."),
            "Check that the repository's host is up and reachable from the server, then deploy again.",
        )
    } else if says(finished, &["fsck", "invalid path", "bad object", "error in object", "unpack-objects", "index-pack", "malicious"]) {
        Failure::new(
            Cause::Source,
            Step::Fetch,
            format!("{place} holds objects that git refuses as broken or dangerous."),
            "Repair the repository (`git fsck`), then deploy again.",
        )
    } else {
        clone_failure(format!("{place} could not be fetched."), "Read the last lines, mend the cause, then deploy again.")
    };
    failure.with_exit_code(i64::from(finished.exit_code.unwrap_or(-1))).with_log_tail(tail.into_iter().rev().collect())
}
