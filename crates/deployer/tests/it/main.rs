//! The server side against real programs: git, sshd, a Docker engine.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod builds;
mod git_server;
mod sources;
