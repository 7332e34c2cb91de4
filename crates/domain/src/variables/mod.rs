//! Variables: names, `.env` texts, levels (project → environment → service) and references to other values.
//!
//! Invariant: what a user entered reaches the container byte by byte; only a well-formed `${{…}}` is replaced. Everything here
//! is pure: whoever calls brings the values ([`Lookup`]).

mod dotenv;
mod name;
mod reference;
mod resolve;

pub use dotenv::{ParseError, parse, print, print_line};
pub use name::{BUILT_IN_PREFIX, ENVIRONMENT_VARIABLES_MAX, NAME_LENGTH_MAX, VALUE_BYTES_MAX, check_file_name, check_name, check_value};
pub use reference::{Part, Reference, parts, services_of};
pub use resolve::{DEPTH_MAX, Found, Lookup, LookupError, Owner, ResolveError, Resolved, ResolvedValue, resolve};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VariableKind {
    /// Shown to everybody who may read the service.
    Plain,
    /// Revealed by permission, after the password was given again; every reveal is in the audit log.
    Secret,
    /// Never shown again; only replaced.
    Sealed,
}

impl VariableKind {
    pub fn is_hidden(self) -> bool {
        self != Self::Plain
    }
}
