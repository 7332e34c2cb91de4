//! Everything that keeps a credential secret: envelope encryption, the keys and their rotation, passwords, tokens.
//!
//! The hierarchy: a [`MasterKey`] (a file or an environment value, never in the database) wraps one [`DataKey`] per
//! organization and version; data keys seal values into [`Sealed`] envelopes bound to their [`Place`]. This crate knows no
//! database: the caller stores the bytes of [`Sealed`], [`WrappedDataKey`] and [`KeyCheck`].
//!
//! It must never: return bytes that did not authenticate; treat bytes that are no envelope as plaintext; make a new master
//! key while ciphertext exists; put a secret into an error, a `Debug` or a log.
//!
//! To seal one more kind of value: no code here. Name its table, column, row and name in a [`Place`] and store the bytes of
//! [`KeyRing::seal`] in a column declared as sealed. To add an algorithm: a new algorithm byte in `envelope`, never a
//! change to the meaning of an old one.

pub mod password;
pub mod token;

mod aead;
mod data_key;
mod envelope;
mod error;
mod key_check;
mod key_file;
mod key_ring;
mod master_key;
mod passphrase;
mod place;
mod signer;

pub use data_key::{DataKey, WrappedDataKey};
pub use domain::Secret;
pub use envelope::{PLAINTEXT_SIZE_BYTES_MAX, Sealed};
pub use error::{Unreadable, VaultError};
pub use key_check::KeyCheck;
pub use key_file::{Ciphertext, LoadedMasterKey, load_or_generate};
pub use key_ring::{KeyRing, USES_BEFORE_ROTATION, USES_MAX};
pub use master_key::{MasterKey, MasterKeyId, MasterRing};
pub use passphrase::{PASSPHRASE_CHARACTERS_MIN, open_with_passphrase, seal_with_passphrase};
pub use place::Place;
pub use signer::{Signer, constant_time_eq};

#[cfg(test)]
mod vectors;
