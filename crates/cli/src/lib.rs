//! The client verbs: everything that a person or a pipeline does with an instance, over its API.
//!
//! It must never: ask a question without a terminal, create what was not named, send a token to another instance than it
//! belongs to, print a secret without `--reveal`, or print anywhere but in [`output`].
//!
//! To add a verb: its declaration and its work in a file of `verbs/`, a variant in [`Verb`], a line in `verbs/mod.rs`, then
//! `UPDATE=1 cargo test -p seaway` writes docs/cli.md. Every verb answers `--json` too, through [`output`].

mod api;
mod archive;
mod arguments;
mod configuration;
mod failure;
mod follow;
mod git;
mod input;
mod link;
mod output;
mod session;
mod settings;
mod target;
mod terminal;
mod time;
mod units;
mod verbs;

use std::process::ExitCode;

use clap::CommandFactory;

pub use arguments::{Globals, Verb};
pub use failure::{Failure, codes};
pub use verbs::audit::AuditVerb;

/// Runs a verb; `C` is the whole command line, for completions.
pub fn run<C: CommandFactory>(globals: Globals, verb: Verb) -> ExitCode {
    let output = output::Output::new(globals.json);
    if let Verb::Completions { shell } = verb {
        return output.completions(shell, &mut C::command());
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.failure(&Failure::other(format!("the process cannot start: {error}"))),
    };
    let result = runtime.block_on(verbs::run(&globals, output, verb));
    // A thread may still wait for the keyboard.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    }
}
