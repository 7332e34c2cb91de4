//! Deploy keys: made here, or read from a pasted private key.

use domain::{Entropy, Secret};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use crate::error::{ControlError, Result};

/// A private key with what is shown of it.
pub(super) struct KeyPair {
    pub private_key: Secret<String>,
    pub public_line: String,
    pub fingerprint: String,
}

/// A new Ed25519 pair.
pub(super) fn generate(entropy: &dyn Entropy, comment: &str) -> Result<KeyPair> {
    let mut seed = [0u8; 32];
    entropy.fill(&mut seed);
    let pair = Ed25519Keypair::from_seed(&seed);
    zeroize::Zeroize::zeroize(&mut seed);
    let key = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(|error| ControlError::Internal(error.into()))?;
    described(&key)
}

/// A pasted key; one with a passphrase cannot be used without a person.
pub(super) fn read(text: &Secret<String>) -> Result<KeyPair> {
    let refused = |detail: &str| ControlError::invalid("/private_key", "invalid", detail.to_owned());
    let key = PrivateKey::from_openssh(text.reveal().trim())
        .map_err(|_| refused("it is not a private key in OpenSSH form (it begins with -----BEGIN OPENSSH PRIVATE KEY-----)"))?;
    if key.is_encrypted() {
        return Err(refused("it has a passphrase; give a key without one, or leave it out and Seaway makes a pair"));
    }
    described(&key)
}

fn described(key: &PrivateKey) -> Result<KeyPair> {
    let internal = |error: ssh_key::Error| ControlError::Internal(error.into());
    let private_key = key.to_openssh(LineEnding::LF).map_err(internal)?;
    Ok(KeyPair {
        private_key: Secret::new(private_key.to_string()),
        public_line: key.public_key().to_openssh().map_err(internal)?,
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use domain::SeededEntropy;

    use super::*;

    #[test]
    fn a_made_key_reads_back_as_itself() {
        let made = generate(&SeededEntropy::new(7), "seaway").unwrap();
        let again = read(&made.private_key).unwrap();
        assert_eq!(again.public_line, made.public_line);
        assert_eq!(again.fingerprint, made.fingerprint);
        assert!(made.public_line.starts_with("ssh-ed25519 "));
        assert!(made.fingerprint.starts_with("SHA256:"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(read(&Secret::new("ssh-ed25519 AAAA".to_owned())).is_err());
    }
}
