//! Backup and restore of the instance itself, and `seaway audit verify`. The verbs `backup`, `restore`, `keys rotate` and
//! `audit verify` in `crates/seaway/src/verbs/` are built with it. Built by helper recovery.
