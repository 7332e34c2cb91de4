//! Hashes of basic auth: argon2id and bcrypt.

use argon2::{Argon2, PasswordVerifier};

/// Costs above these would stall the ingress.
const ARGON2_MEMORY_KIB_MAX: u32 = 65_536;
const ARGON2_PASSES_MAX: u32 = 10;
const ARGON2_LANES_MAX: u32 = 4;
const BCRYPT_COST_MAX: u32 = 14;
const BCRYPT_BYTES: usize = 60;
const HASH_BYTES_MAX: usize = 256;

/// Whether a stored hash can be compared with; the text says what to write instead.
pub fn check_hash(hash: &str) -> Result<(), String> {
    if hash.len() > HASH_BYTES_MAX {
        return Err(format!("the hash is longer than {HASH_BYTES_MAX} bytes"));
    }
    if is_bcrypt(hash) {
        return check_bcrypt(hash);
    }
    let Some(rest) = hash.strip_prefix("$argon2id$v=19$") else {
        return Err("the password must be hashed with argon2id ($argon2id$v=19$…) or bcrypt ($2y$…)".to_owned());
    };
    let costs: Vec<u32> = rest
        .split('$')
        .next()
        .into_iter()
        .flat_map(|text| text.split(','))
        .zip(["m=", "t=", "p="])
        .filter_map(|(text, name)| text.strip_prefix(name)?.parse().ok())
        .collect();
    match costs.as_slice() {
        [memory, passes, lanes] if *memory <= ARGON2_MEMORY_KIB_MAX && *passes <= ARGON2_PASSES_MAX && *lanes <= ARGON2_LANES_MAX => {
            match Argon2::default().verify_password(b"", hash) {
                Ok(()) | Err(argon2::password_hash::Error::PasswordInvalid) => Ok(()),
                Err(error) => Err(format!("the hash is damaged: {error}")),
            }
        }
        [..] => Err(format!(
            "the costs must be written as m=,t=,p= and stay below m={ARGON2_MEMORY_KIB_MAX},t={ARGON2_PASSES_MAX},p={ARGON2_LANES_MAX}"
        )),
    }
}

/// Takes tens of milliseconds of CPU: call it on a blocking thread.
pub fn is_right(password: &[u8], hash: &str) -> bool {
    if is_bcrypt(hash) {
        bcrypt::verify(password, hash).unwrap_or(false)
    } else {
        Argon2::default().verify_password(password, hash).is_ok()
    }
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|kind| hash.starts_with(kind))
}

fn check_bcrypt(hash: &str) -> Result<(), String> {
    let cost: Option<u32> = hash.get(4..6).and_then(|digits| digits.parse().ok());
    let is_body = hash.get(7..).is_some_and(|body| body.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/'));
    match cost {
        Some(4..=BCRYPT_COST_MAX) if hash.len() == BCRYPT_BYTES && hash.as_bytes().get(6) == Some(&b'$') && is_body => Ok(()),
        Some(cost) if cost > BCRYPT_COST_MAX => Err(format!("a bcrypt cost of {cost} is more than {BCRYPT_COST_MAX}")),
        _ => Err("the bcrypt hash is damaged".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_checked_before_they_are_stored() {
        // "seaway" with salt "somesaltsomesalt", small costs; and htpasswd -B.
        let bcrypt = bcrypt::hash("seaway", 4).unwrap();
        assert_eq!(check_hash(&bcrypt), Ok(()));
        assert!(is_right(b"seaway", &bcrypt) && !is_right(b"Seaway", &bcrypt));
        let argon2 = {
            use argon2::PasswordHasher;
            let params = argon2::Params::new(64, 1, 1, None).unwrap();
            Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                .hash_password_with_salt(b"seaway", b"somesaltsomesalt")
                .unwrap()
                .to_string()
        };
        assert_eq!(check_hash(&argon2), Ok(()));
        assert!(is_right(b"seaway", &argon2) && !is_right(b"", &argon2));
        for bad in [
            "",
            "seaway",
            "$2y$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "$2y$",
            "$apr1$x$y",
            &argon2.replace("m=64", "m=9999999"),
            "$argon2id$v=19$m=64,t=1,p=1$x",
        ] {
            assert!(check_hash(bad).is_err(), "{bad}");
        }
    }
}
