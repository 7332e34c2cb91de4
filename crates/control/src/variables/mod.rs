//! Variables of projects, environments and services: change, reveal, import, export, history, and what a release gets.
//!
//! Invariant: a hidden value is sealed to its row of `variable_versions` and leaves through `reveal`, `export` (both asked for
//! by permission and audited) and [`Control::resolve_variables`] (audited with the deployment) only.

mod change;
mod read;
mod resolve;
mod scope;

pub use resolve::{Purpose, ResolvedVariables};

use domain::Secret;
use domain::id::{Id, OrganizationId};
use uuid::Uuid;
use vault::Place;

use crate::error::Result;
use crate::state::Control;

/// Where the value of a version is sealed to.
pub(crate) fn place(organization: OrganizationId, version_row: Uuid) -> Place<'static> {
    Place { tenant: organization.uuid(), table: "variable_versions", column: "sealed_value", row: version_row, name: "" }
}

impl Control {
    /// The value of a version, plain or opened.
    pub(crate) async fn value_of(
        &self,
        organization: OrganizationId,
        version_row: Uuid,
        plain: Option<String>,
        sealed: Option<&[u8]>,
    ) -> Result<Secret<String>> {
        match (plain, sealed) {
            (Some(plain), _) => Ok(Secret::new(plain)),
            (None, Some(sealed)) => self.keys().open(self.store(), &place(organization, version_row), sealed).await,
            (None, None) => Err(anyhow::anyhow!("variable version {version_row} has no value").into()),
        }
    }
}
