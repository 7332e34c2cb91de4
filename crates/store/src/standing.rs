//! Whether a look of a moment ago still stands: what lets facts be remembered without ever being stale.
//!
//! SQLite has one process that serves and one connection that writes, so this process sees every commit. With PostgreSQL
//! others write too, and only time can bound what is believed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Dialect, Store};

/// Ask before the look-up; what was found stands while the answer stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// After so many commits, none under way. The same number later: nothing has changed since.
    Settled(u64),
    /// A commit is under way, or its caller went away before the answer: nothing may be believed.
    Changing,
    /// Other processes write as well.
    Shared,
}

/// Commits of the one writer of SQLite, in their order.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Commits {
    /// Before the database is told. The number goes to [`Commits::end`] when it has answered, whatever it said; a caller
    /// that is dropped in between leaves `Changing` until the next commit has ended, which the one writer does later.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn end(&self, number: u64) {
        self.ended.store(number, Ordering::SeqCst);
    }

    fn standing(&self) -> Standing {
        let ended = self.ended.load(Ordering::SeqCst);
        if self.begun.load(Ordering::SeqCst) == ended { Standing::Settled(ended) } else { Standing::Changing }
    }
}

impl Store {
    /// See [`Standing`].
    pub fn standing(&self) -> Standing {
        match self.dialect() {
            Dialect::Sqlite => self.shared.commits.standing(),
            Dialect::Postgres => Standing::Shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_without_an_answer_is_believed_only_after_the_next_one() {
        let commits = Commits::default();
        assert_eq!(commits.standing(), Standing::Settled(0));
        let _forgotten = commits.begin();
        assert_eq!(commits.standing(), Standing::Changing);
        let next = commits.begin();
        assert_eq!(commits.standing(), Standing::Changing);
        commits.end(next);
        assert_eq!(commits.standing(), Standing::Settled(2));
    }
}
