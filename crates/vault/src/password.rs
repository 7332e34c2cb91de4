//! Passwords: argon2id with the parameters of OWASP ASVS, bounded in memory and waiting, the same cost for accounts that
//! do not exist, and a policy that works offline ([`PasswordPolicy`]).
//!
//! Every function here takes tens of milliseconds of CPU: call it on a blocking thread, never on the run time's own.

mod lists;
mod patterns;
mod policy;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use domain::{Entropy, Secret};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::aead;
use crate::signer::constant_time_eq;

pub use policy::{Context, PasswordPolicy, Weakness};

/// The shortest password where it is the only factor.
pub const CHARACTERS_MIN: usize = 15;
/// The shortest password where a second factor is required as well.
pub const CHARACTERS_MIN_WITH_SECOND_FACTOR: usize = 8;
/// The longest password; longer ones are refused, never cut.
pub const CHARACTERS_MAX: usize = 256;
/// The longest password in bytes.
pub const SIZE_BYTES_MAX: usize = 1024;
/// Hashes computed at the same time; each takes 19 MiB.
pub const HASHES_AT_ONCE_MAX: usize = 4;
/// Callers that wait for a turn; the next one is told to come back later.
pub const WAITING_MAX: usize = 64;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_LENGTH: usize = 16;
const HASH_LENGTH: usize = 32;
/// Stored hashes that ask for more than this were not made by Seaway.
const MEMORY_KIB_MAX: u32 = 262_144;
const PASSES_MAX: u32 = 10;

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("too many log-ins at the same time; try again in a moment")]
    Busy,
    #[error("a password has at most {CHARACTERS_MAX} characters and {SIZE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the stored password hash is damaged")]
    DamagedHash,
    #[error("the password could not be hashed: {0}")]
    Hash(argon2::Error),
}

/// What a comparison said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, but the stored hash was made with weaker parameters: hash the password again and store it.
    RightButOutdated,
}

/// Hashes and compares passwords, a few at a time.
#[derive(Debug, Default)]
pub struct PasswordHasher {
    turns: Turns,
}

impl PasswordHasher {
    pub fn new() -> Self {
        Self::default()
    }

    /// The PHC string to store.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`], [`PasswordError::Busy`]. Whether the password is good is the policy's question.
    pub fn hash(&self, password: &Secret<String>, entropy: &dyn Entropy) -> Result<String, PasswordError> {
        let password = normalized(password)?;
        let salt = aead::random::<SALT_LENGTH>(entropy);
        let parameters = Parameters { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        let hash = self.compute(&password, &salt, parameters, HASH_LENGTH)?;
        Ok(format!(
            "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(hash.as_slice())
        ))
    }

    /// Compares a password with a stored PHC string.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::DamagedHash`]. A password that is too long is simply wrong.
    pub fn verify(&self, password: &Secret<String>, stored: &str) -> Result<Verdict, PasswordError> {
        let stored = Stored::parse(stored).ok_or(PasswordError::DamagedHash)?;
        let Ok(password) = normalized(password) else { return Ok(Verdict::Wrong) };
        let hash = self.compute(&password, &stored.salt, stored.parameters, stored.hash.len())?;
        if !constant_time_eq(&hash, &stored.hash) {
            return Ok(Verdict::Wrong);
        }
        Ok(if stored.is_outdated() { Verdict::RightButOutdated } else { Verdict::Right })
    }

    /// Does the work of [`PasswordHasher::verify`] for an account that does not exist, so that the answer takes as long.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], as for an account that exists.
    pub fn verify_nobody(&self, password: &Secret<String>) -> Result<(), PasswordError> {
        let Ok(password) = normalized(password) else { return Ok(()) };
        let parameters = Parameters { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        self.compute(&password, &[0; SALT_LENGTH], parameters, HASH_LENGTH).map(|_| ())
    }

    fn compute(&self, password: &str, salt: &[u8], parameters: Parameters, length: usize) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
        let Parameters { memory_kib, passes, lanes } = parameters;
        let params = Params::new(memory_kib, passes, lanes, Some(length)).map_err(PasswordError::Hash)?;
        let _turn = self.turns.take().ok_or(PasswordError::Busy)?;
        let mut hash = Zeroizing::new(vec![0; length]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), salt, &mut hash)
            .map_err(PasswordError::Hash)?;
        Ok(hash)
    }
}

/// NFKC once (NIST SP 800-63B), then the limits; nothing is cut.
fn normalized(password: &Secret<String>) -> Result<Zeroizing<String>, PasswordError> {
    if password.reveal().len() > SIZE_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let normal = Zeroizing::new(password.reveal().nfkc().collect::<String>());
    if normal.len() > SIZE_BYTES_MAX || normal.chars().count() > CHARACTERS_MAX {
        return Err(PasswordError::TooLong);
    }
    Ok(normal)
}

#[derive(Clone, Copy)]
struct Parameters {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

struct Stored {
    parameters: Parameters,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (parameters, salt, hash) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() {
            return None;
        }
        let mut parameters = parameters.split(',');
        let mut number = |prefix: &str| parameters.next()?.strip_prefix(prefix)?.parse::<u32>().ok();
        let (memory_kib, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
        if parameters.next().is_some() || memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes != LANES {
            return None;
        }
        let salt = STANDARD_NO_PAD.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()))?;
        let hash = STANDARD_NO_PAD.decode(hash).ok().filter(|hash| (16..=64).contains(&hash.len()))?;
        Some(Self { parameters: Parameters { memory_kib, passes, lanes }, salt, hash })
    }

    fn is_outdated(&self) -> bool {
        self.parameters.memory_kib < MEMORY_KIB || self.parameters.passes < PASSES || self.hash.len() < HASH_LENGTH
    }
}

/// A counting semaphore with a bounded queue.
#[derive(Debug, Default)]
struct Turns {
    state: Mutex<TurnState>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct TurnState {
    running: usize,
    waiting: usize,
}

impl Turns {
    /// Waits for a turn; `None` if too many wait already.
    fn take(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        if state.running >= HASHES_AT_ONCE_MAX {
            if state.waiting >= WAITING_MAX {
                return None;
            }
            state.waiting += 1;
            while state.running >= HASHES_AT_ONCE_MAX {
                state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting -= 1;
        }
        state.running += 1;
        Some(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use domain::SeededEntropy;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_hash_verifies_its_password_only() {
        let hasher = PasswordHasher::new();
        let entropy = SeededEntropy::new(1);
        let stored = hasher.hash(&secret("lantern over quiet water"), &entropy).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(hasher.verify(&secret("lantern over quiet water"), &stored).unwrap(), Verdict::Right);
        assert_eq!(hasher.verify(&secret("lantern over quiet wates"), &stored).unwrap(), Verdict::Wrong);
        assert_eq!(hasher.verify(&secret(""), &stored).unwrap(), Verdict::Wrong);
        let again = hasher.hash(&secret("lantern over quiet water"), &entropy).unwrap();
        assert_ne!(stored, again, "a salt of its own");
    }

    /// Made with the reference implementation (libargon2 20171227: `argon2 somesalt -id -t 2 -m 16 -p 1 -l 32`); its own
    /// test suite holds this value.
    #[test]
    fn agrees_with_the_reference_implementation() {
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hasher = PasswordHasher::new();
        assert_eq!(hasher.verify(&secret("password"), stored).unwrap(), Verdict::Right);
        assert_eq!(hasher.verify(&secret("Password"), stored).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn weaker_hashes_are_found() {
        let hasher = PasswordHasher::new();
        let salt = [7; SALT_LENGTH];
        let parameters = Parameters { memory_kib: 4096, passes: 2, lanes: 1 };
        let hash = hasher.compute("lantern over quiet water", &salt, parameters, 32).unwrap();
        let stored = format!("$argon2id$v=19$m=4096,t=2,p=1${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash.as_slice()));
        let verdict = hasher.verify(&secret("lantern over quiet water"), &stored).unwrap();
        assert_eq!(verdict, Verdict::RightButOutdated);
    }

    #[test]
    fn forms_of_the_same_text_are_one_password_and_nothing_is_cut() {
        let hasher = PasswordHasher::new();
        let entropy = SeededEntropy::new(1);
        let stored = hasher.hash(&secret("caf\u{e9} au lait ﬁne"), &entropy).unwrap();
        assert_eq!(hasher.verify(&secret("cafe\u{301} au lait fine"), &stored).unwrap(), Verdict::Right);

        let longest = "ab".repeat(CHARACTERS_MAX / 2);
        let stored = hasher.hash(&secret(&longest), &entropy).unwrap();
        assert_eq!(hasher.verify(&secret(&longest), &stored).unwrap(), Verdict::Right);
        assert_eq!(hasher.verify(&secret(&longest[..CHARACTERS_MAX - 1]), &stored).unwrap(), Verdict::Wrong);
        assert_eq!(hasher.verify(&secret(&format!("{longest}x")), &stored).unwrap(), Verdict::Wrong);
        assert!(matches!(hasher.hash(&secret(&format!("{longest}x")), &entropy), Err(PasswordError::TooLong)));
        assert!(matches!(hasher.hash(&secret(&"\u{1f6a2}".repeat(257)), &entropy), Err(PasswordError::TooLong)));
    }

    #[test]
    fn damaged_and_foreign_hashes_are_errors() {
        let hasher = PasswordHasher::new();
        for stored in [
            "",
            "plaintext",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc$x",
        ] {
            assert!(matches!(hasher.verify(&secret("x"), stored), Err(PasswordError::DamagedHash)), "{stored}");
        }
    }

    /// Not a timing proof: a missing hash run would be faster by more than the factor that is allowed here.
    #[test]
    fn an_unknown_account_costs_as_much_as_a_known_one() {
        let hasher = PasswordHasher::new();
        let stored = hasher.hash(&secret("lantern over quiet water"), &SeededEntropy::new(1)).unwrap();
        let fastest = |run: &dyn Fn()| {
            (0..5)
                .map(|_| {
                    let start = Instant::now();
                    run();
                    start.elapsed()
                })
                .min()
                .unwrap()
        };
        let known = fastest(&|| drop(hasher.verify(&secret("wrong wrong wrong wrong"), &stored)));
        let unknown = fastest(&|| drop(hasher.verify_nobody(&secret("wrong wrong wrong wrong"))));
        assert!(unknown * 4 > known && known * 4 > unknown, "{known:?} and {unknown:?}");
    }

    #[test]
    fn a_flood_is_told_to_come_back() {
        let turns = Turns::default();
        let held = (0..HASHES_AT_ONCE_MAX).map(|_| turns.take().unwrap()).collect::<Vec<_>>();
        turns.lock().waiting = WAITING_MAX;
        assert!(turns.take().is_none());
        turns.lock().waiting = 0;
        drop(held);
        assert!(turns.take().is_some());
        assert_eq!(turns.lock().running, 0);
    }

    #[test]
    fn a_waiting_caller_gets_the_turn_that_is_freed() {
        let turns = Turns::default();
        let held = (0..HASHES_AT_ONCE_MAX).map(|_| turns.take().unwrap()).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| turns.take().is_some());
            while turns.lock().waiting == 0 {
                std::thread::yield_now();
            }
            drop(held);
            assert!(waiter.join().unwrap());
        });
        let state = turns.lock();
        assert_eq!((state.running, state.waiting), (0, 0));
    }
}
