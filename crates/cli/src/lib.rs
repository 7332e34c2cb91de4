//! The client verbs: everything that a person does with an instance, over its API.
//!
//! It must never: prompt without a terminal, create something that was not asked for, print a secret without `--reveal`, or
//! print anywhere but in `output`.

use std::process::ExitCode;

use clap::{Args, CommandFactory, Subcommand};

#[derive(Debug, Args, Default, Clone)]
pub struct Globals {
    /// Answers as JSON; streams as one object a line
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print a completion script for your shell
    Completions { shell: clap_complete::Shell },
}

/// Runs a verb; `C` is the whole command line, for completions.
pub fn run<C: CommandFactory>(_globals: Globals, verb: Verb) -> ExitCode {
    match verb {
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut C::command(), "seaway", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}
