//! The binary: configuration, wiring and life cycle of every part, and the client verbs.
//!
//! It must never hold a rule of the product: what a verb does is a use case in `control`, a call of the API, or a part's own
//! `start`. To add an operator's verb: a variant in [`arguments::Verb`], a file in `verbs/`. To add a setting: a line in
//! [`configuration::keys::KEYS`], a field with its check in the concern's struct, then `UPDATE=1 cargo test -p seaway`.

mod arguments;
mod configuration;
mod data_dir;
#[cfg(test)]
mod documents;
mod logging;
mod master_key;
mod memory;
mod runtime;
mod say;
mod serve;
mod store_open;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Two providers could be in the tree one day; the choice must not be left to chance. Set first, so this cannot fail.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let arguments = arguments::Arguments::parse();
    runtime::forbid_core_dumps();
    match verbs::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::from(say::FAILED)
        }
    }
}
