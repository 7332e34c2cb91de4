//! Identifiers: one newtype over a UUIDv7 per kind of resource, shown as `<prefix>_<26 characters base32>`.
//!
//! To add a kind, add a line to the registry at the end of this file.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Clock, Entropy};

/// Crockford's base32 in lower case: no `i`, `l`, `o`, `u`; sorts as the bytes do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// A 128-bit number in base32.
const ENCODED_LENGTH: usize = 26;

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_… with 26 base32 characters")]
pub struct InvalidId {
    pub prefix: &'static str,
}

/// What every identifier can do; lets generic code (locators, audit) work over all kinds.
pub trait Id: Copy + Eq + fmt::Display + FromStr<Err = InvalidId> {
    const PREFIX: &'static str;
    fn from_uuid(uuid: Uuid) -> Self;
    fn uuid(self) -> Uuid;
}

/// A UUIDv7 (RFC 9562) from the given clock and entropy.
pub fn uuid_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0u8; 10];
    entropy.fill(&mut random);
    let milliseconds = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}

fn encode(uuid: Uuid) -> String {
    let mut number = uuid.as_u128();
    let mut text = [b'0'; ENCODED_LENGTH];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(number & 31).unwrap_or(0);
        *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
        number >>= 5;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != ENCODED_LENGTH {
        return None;
    }
    let mut number: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|candidate| *candidate == byte)?;
        if place == 0 && digit > 7 {
            return None;
        }
        number = (number << 5) | u128::try_from(digit).ok()?;
    }
    Some(Uuid::from_u128(number))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            pub fn new(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(clock, entropy))
            }
        }

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }
            fn uuid(self) -> Uuid { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "_{}"), encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$")))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
        }
    )*};
}

ids! {
    AuditEntryId = "aud";
    CredentialId = "cred";
    DeploymentId = "dep";
    DomainId = "dom";
    EnvironmentId = "env";
    InvitationId = "inv";
    JobId = "job";
    MailId = "mail";
    OperationId = "op";
    OrganizationId = "org";
    ProjectId = "prj";
    ReleaseId = "rel";
    RequestId = "req";
    RunId = "run";
    ServerId = "srv";
    ServiceId = "svc";
    SessionId = "ses";
    TagId = "tag";
    TokenId = "pat";
    UploadId = "upl";
    UserId = "usr";
    VariableId = "var";
    VolumeId = "vol";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FixedClock, SeededEntropy};

    #[test]
    fn text_round_trips_and_sorts_by_time() {
        let clock = FixedClock::default();
        let entropy = SeededEntropy::new(1);
        let first = ServiceId::new(&clock, &entropy);
        clock.advance(chrono::TimeDelta::milliseconds(1));
        let second = ServiceId::new(&clock, &entropy);
        assert_eq!(first.to_string().parse::<ServiceId>().unwrap(), first);
        assert!(first < second);
        assert!(first.to_string() < second.to_string());
    }

    #[test]
    fn another_kind_and_other_texts_are_refused() {
        let id = ProjectId::new(&FixedClock::default(), &SeededEntropy::new(1)).to_string();
        assert!(id.parse::<ServiceId>().is_err());
        for text in ["", "prj_", "prj_zzzzzzzzzzzzzzzzzzzzzzzzzz", "prj_0000000000000000000000000i"] {
            assert!(text.parse::<ProjectId>().is_err(), "{text}");
        }
    }
}
