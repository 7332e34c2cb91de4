//! The server side against real programs: git, sshd, a Docker engine, the ingress. `tests/dockerd.sh` starts the engine,
//! `tests/images/build.sh` makes the images.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod around;
mod builds;
mod disk;
mod git_server;
mod isolation;
mod orders;
mod rollout;
mod sources;
mod world;
