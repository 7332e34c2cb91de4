//! The one place that starts processes (rule 1): a program from a fixed list, an argument vector, a cleared environment,
//! a working directory, a time-out, an output limit, and the end of the whole process group when it stops or is dropped.
//!
//! It must never take a program's name from data, never start a shell, never inherit the agent's environment, and never
//! be given a secret as an argument: secrets go into a [`SecretDir`].
//!
//! To add a program, add a variant to [`Program`].

mod detached;
mod folder_limit;
mod invocation;
mod program;
mod run;
mod secret_dir;

pub use detached::{Detached, start_own_program};
pub use folder_limit::{FolderLimit, FolderSize, measure};
pub use invocation::{Finished, Invocation};
pub use program::Program;
pub use run::{Recorded, RunError, Runner};
pub use secret_dir::SecretDir;
