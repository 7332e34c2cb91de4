//! Mail, from template to server. The golden files are in `snapshots/`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod compose;
mod outbox_folder;
mod samples;
mod smtp;
