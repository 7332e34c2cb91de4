//! Personal access tokens: `sea_pat_<id>_<43 characters base62><6 characters base62 checksum>`.
//!
//! The prefix lets secret scanners find a leaked token, the id names it in lists, the checksum (CRC-32 of everything before
//! it) tells a mistyped one without a lookup.

use domain::id::{Id, TokenId};
use domain::{Entropy, Secret};
use zeroize::Zeroizing;

use super::Digest;
use crate::aead;

const PREFIX: &str = "sea_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH: usize = 32;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;

/// A text that is not a personal access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a personal access token; one looks like sea_pat_… and is copied whole")]
pub struct InvalidToken;

/// A new token: the text is shown once, the digest is stored under the id.
#[derive(Debug)]
pub struct PersonalToken {
    pub id: TokenId,
    pub text: Secret<String>,
    pub digest: Digest,
}

/// A token that a client presents, with a right checksum; whether it is known, the stored digest tells.
#[derive(Debug)]
pub struct PresentedToken {
    pub id: TokenId,
    pub digest: Digest,
}

impl PersonalToken {
    pub fn generate(id: TokenId, entropy: &dyn Entropy) -> Self {
        let random = Zeroizing::new(aead::random::<RANDOM_LENGTH>(entropy));
        let secret = Zeroizing::new(base62(random.as_slice(), SECRET_LENGTH));
        let body = Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str()));
        let text = format!("{}{}", body.as_str(), checksum(&body));
        let digest = Digest::of(&text);
        Self { id, text: Secret::new(text), digest }
    }

    /// Reads a presented token. The checksum is checked offline.
    ///
    /// # Errors
    /// [`InvalidToken`] for every other text.
    pub fn parse(presented: &str) -> Result<PresentedToken, InvalidToken> {
        let (id, secret) = presented.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_')).ok_or(InvalidToken)?;
        let id: TokenId = id.parse().map_err(|_| InvalidToken)?;
        let is_base62 = secret.bytes().all(|byte| BASE62.contains(&byte));
        if secret.len() != SECRET_LENGTH + CHECKSUM_LENGTH || !is_base62 {
            return Err(InvalidToken);
        }
        let (body, sum) = presented.split_at_checked(presented.len() - CHECKSUM_LENGTH).ok_or(InvalidToken)?;
        if checksum(body) != sum {
            return Err(InvalidToken);
        }
        Ok(PresentedToken { id, digest: Digest::of(presented) })
    }

    /// How a token begins, for secret scanners and masks: `sea_pat_`.
    pub fn prefix() -> String {
        format!("{PREFIX}{}_", TokenId::PREFIX)
    }
}

fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_LENGTH)
}

/// A big-endian number in base 62, with leading zeros.
fn base62(bytes: &[u8], length: usize) -> String {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = Vec::with_capacity(length);
    for _ in 0..length {
        let mut remainder = 0u32;
        for byte in number.iter_mut() {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        let digit = usize::try_from(remainder).ok().and_then(|place| BASE62.get(place)).copied();
        digits.push(char::from(digit.unwrap_or(b'0')));
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use domain::{FixedClock, SeededEntropy};

    use super::*;

    #[test]
    fn base62_of_known_numbers() {
        assert_eq!(base62(&[0, 0], 3), "000");
        assert_eq!(base62(&[61], 1), "z");
        assert_eq!(base62(&[0x0f, 0x04], 3), "100");
        // 2^256 - 1 needs all 43 digits.
        for bytes in [[0xff; 32], [0x5a; 32], [1; 32]] {
            assert_eq!(base62(&bytes, 43), reference(&bytes, 43));
        }
    }

    /// Another way to the same number: digit by digit from the top.
    fn reference(bytes: &[u8], length: usize) -> String {
        let mut digits = vec![0u32; length];
        for byte in bytes {
            let mut carry = u32::from(*byte);
            for digit in digits.iter_mut().rev() {
                let value = *digit * 256 + carry;
                *digit = value % 62;
                carry = value / 62;
            }
            assert_eq!(carry, 0);
        }
        digits.iter().map(|digit| char::from(BASE62[*digit as usize])).collect()
    }

    #[test]
    fn a_token_parses_and_every_changed_character_is_noticed() {
        let entropy = SeededEntropy::new(1);
        let id = TokenId::new(&FixedClock::default(), &entropy);
        let token = PersonalToken::generate(id, &entropy);
        let text = token.text.reveal();
        assert!(text.starts_with(&format!("sea_{id}_")) && text.starts_with(&PersonalToken::prefix()));
        assert_eq!(text.len(), "sea_pat_".len() + 26 + 1 + 49);
        let presented = PersonalToken::parse(text).unwrap();
        assert_eq!(presented.id, id);
        assert!(presented.digest.matches(&token.digest));
        for place in 0..text.len() {
            for replacement in ['0', 'z', '_', '-', ' '] {
                let mut changed: Vec<char> = text.chars().collect();
                if changed[place] != replacement {
                    changed[place] = replacement;
                    let changed: String = changed.into_iter().collect();
                    assert_eq!(PersonalToken::parse(&changed).unwrap_err(), InvalidToken, "{place} {replacement}");
                }
            }
        }
        let second = PersonalToken::generate(id, &entropy);
        assert!(!second.digest.matches(&token.digest));
        for junk in ["", "sea_pat_", "sea_", &text[..text.len() - 1], &format!("{text}0"), "sea_pat_é", "ghp_x"] {
            assert!(PersonalToken::parse(junk).is_err(), "{junk}");
        }
    }
}
