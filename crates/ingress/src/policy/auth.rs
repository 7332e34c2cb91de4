//! Basic auth. A right answer is remembered, so that a request costs one fast hash instead of tens of milliseconds.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::Entropy;
use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::password;
use crate::{pages::Page, routes::policy::BasicUser};

/// Right answers remembered, for all services; the memory is emptied when it is full.
const REMEMBERED_MAX: usize = 20_000;
/// Slow hashes computed at the same time; each takes up to 64 MiB.
const HASHES_AT_ONCE_MAX: usize = 2;
/// How long a request waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(3);
const CREDENTIALS_BYTES_MAX: usize = 1_024;

#[derive(Debug)]
pub struct Gatekeeper {
    /// Digests mean nothing outside of this process.
    salt: [u8; 32],
    remembered: Mutex<HashSet<[u8; 32]>>,
    turns: Arc<Semaphore>,
}

impl Gatekeeper {
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        Self { salt, remembered: Mutex::default(), turns: Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX)) }
    }

    /// `Err(Unauthorised)` asks for a name and a password.
    pub async fn check(&self, users: &[BasicUser], headers: &HeaderMap) -> Result<(), Page> {
        let (name, given) = credentials(headers).ok_or(Page::Unauthorised)?;
        // Without such a user nothing is hashed: the names are no secret, and a guess costs us nothing.
        let user = users.iter().find(|user| user.name.as_bytes() == name).ok_or(Page::Unauthorised)?;
        let digest = self.digest(&name, &given, &user.password_hash);
        if self.remembered().contains(&digest) {
            return Ok(());
        }
        let turn = tokio::time::timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Page::Busy) };
        let hash = user.password_hash.clone();
        let is_right = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            password::is_right(&given, &hash)
        });
        if !is_right.await.unwrap_or(false) {
            return Err(Page::Unauthorised);
        }
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest);
        Ok(())
    }

    /// Holds the stored hash: a changed password is asked for again.
    fn digest(&self, name: &[u8], password: &[u8], hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.salt);
        for part in [name, password, hash.as_bytes()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > CREDENTIALS_BYTES_MAX {
        return None;
    }
    let mut name = STANDARD.decode(encoded.trim()).ok()?;
    let colon = name.iter().position(|byte| *byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((name, password))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asking(credentials: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(credentials))).unwrap());
        headers
    }

    #[tokio::test]
    async fn a_right_answer_is_remembered_until_the_password_changes() {
        let gate = Gatekeeper::new(&domain::SeededEntropy::new(1));
        let user = |password: &str| BasicUser { name: "ann".into(), password_hash: bcrypt::hash(password, 4).unwrap() };
        let users = [user("se:cret")];
        assert_eq!(gate.check(&users, &asking("ann:se:cret")).await, Ok(()));
        assert_eq!(gate.remembered().len(), 1);
        assert_eq!(gate.check(&users, &asking("ann:se:cret")).await, Ok(()));
        for wrong in ["ann:wrong", "bob:se:cret", "ann:", "ann", ""] {
            assert_eq!(gate.check(&users, &asking(wrong)).await, Err(Page::Unauthorised), "{wrong}");
        }
        assert_eq!(gate.check(&users, &HeaderMap::new()).await, Err(Page::Unauthorised));
        assert_eq!(gate.check(&[user("new")], &asking("ann:se:cret")).await, Err(Page::Unauthorised));
        assert_eq!(gate.remembered().len(), 1, "nothing wrong is remembered");
    }
}
