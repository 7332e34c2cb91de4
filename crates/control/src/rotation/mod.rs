//! Rotation of the master key and of tenants' data keys, online and resumable.
//!
//! Each step is durable before the next begins, and a run that was killed anywhere is finished by the next one: the same
//! call, or the scheduled job. Values stay readable all the time; no value is ever under a key that is not stored.
//!
//! It must never: make a second new key while a rotation is under way; retire or destroy a key that something still names.
//! To seal one more column: a line in `store::sealed::SEALED`; the walk needs nothing else.

mod data_key;
mod files;
pub mod job;
mod master;
mod moments;

pub use data_key::{DataKeyRotation, RETIRED_KEPT};
pub use files::MasterKeyFiles;
pub use master::MasterRotation;
pub use moments::{Cuts, Moment, NoCuts};

use domain::{Clock, Entropy};
use store::Store;
use store::audit::{self, Actor, Chain, Record, Resource};
use uuid::Uuid;

use crate::error::Result;
use crate::keys::Keys;
use crate::state::Control;

/// Who the audit log names.
pub(crate) const ACTOR: &str = "keys.rotate";

/// What a rotation works with.
#[derive(Clone, Copy)]
pub struct Rotation<'a> {
    pub store: &'a Store,
    pub keys: &'a Keys,
    pub clock: &'a dyn Clock,
    pub entropy: &'a dyn Entropy,
    /// Where a test ends the run; [`NoCuts`] otherwise.
    pub cuts: &'a dyn Cuts,
}

impl Control {
    /// The rotation of this instance's keys.
    pub fn rotation(&self) -> Rotation<'_> {
        Rotation { store: self.store(), keys: self.keys(), clock: self.clock(), entropy: self.entropy(), cuts: &NoCuts }
    }
}

impl Rotation<'_> {
    async fn record(&self, write: &mut store::Write, tenant: Uuid, action: &'static str, kind: &'static str, id: String) -> Result<()> {
        let chain = if tenant.is_nil() { Chain::Instance } else { Chain::Organization(domain::id::Id::from_uuid(tenant)) };
        let record = Record { resource: Some(Resource { kind, id, name: None }), ..Record::new(chain, Actor::system(ACTOR), action) };
        audit::append(write, self.clock, self.entropy, record).await?;
        Ok(())
    }
}
