//! Where a test may end a rotation: after each step that something outside of the process can see.

use crate::error::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The next master key is in its file.
    MasterKeyWritten,
    /// The database knows that there is a next master key.
    MasterKeyAnnounced,
    /// One data key is under the new master key.
    OneRewrapped,
    AllRewrapped,
    CheckRenewed,
    /// The old master key has its second name.
    PreviousKept,
    /// The new master key has the name of the current one.
    MasterKeySwapped,
    /// The database calls the old master key retired.
    MasterKeyRetired,
    /// The next data key is stored.
    PendingStored,
    Promoted,
    BatchResealed,
    AllResealed,
}

impl Moment {
    pub const MASTER: &[Self] = &[
        Self::MasterKeyWritten,
        Self::MasterKeyAnnounced,
        Self::OneRewrapped,
        Self::AllRewrapped,
        Self::CheckRenewed,
        Self::PreviousKept,
        Self::MasterKeySwapped,
        Self::MasterKeyRetired,
    ];
    pub const DATA: &[Self] = &[Self::PendingStored, Self::Promoted, Self::BatchResealed, Self::AllResealed];
}

/// Called at every such moment; an error ends the run there, as a kill would.
pub trait Cuts: Send + Sync {
    /// # Errors
    /// Whatever a test wants.
    fn at(&self, moment: Moment) -> Result<()>;
}

pub struct NoCuts;

impl Cuts for NoCuts {
    fn at(&self, _moment: Moment) -> Result<()> {
        Ok(())
    }
}
