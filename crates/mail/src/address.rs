//! Addresses of mails.

use serde::{Deserialize, Serialize};

use crate::text;

/// The longest address (RFC 5321).
const EMAIL_LENGTH_MAX: usize = 254;

/// A text that mail cannot be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address that mail can be sent to")]
pub struct InvalidAddress;

/// A mailbox with the name that is shown for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Address {
    name: Option<String>,
    email: String,
}

impl Address {
    /// # Errors
    /// [`InvalidAddress`] for anything but `local@domain` of sane length, on one line.
    pub fn new(email: &str, name: Option<&str>) -> Result<Self, InvalidAddress> {
        if email.len() > EMAIL_LENGTH_MAX || email.chars().any(|character| character.is_control() || character == ' ') {
            return Err(InvalidAddress);
        }
        email.parse::<lettre::Address>().map_err(|_| InvalidAddress)?;
        let name = name.map(|name| text::one_line(name, text::NAME_LENGTH_MAX)).filter(|name| !name.is_empty());
        Ok(Self { name, email: email.to_owned() })
    }

    pub fn email(&self) -> &str {
        &self.email
    }

    pub(crate) fn mailbox(&self) -> Result<lettre::message::Mailbox, InvalidAddress> {
        let address = self.email.parse().map_err(|_| InvalidAddress)?;
        Ok(lettre::message::Mailbox::new(self.name.clone(), address))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    name: Option<String>,
    email: String,
}

impl TryFrom<Parts> for Address {
    type Error = InvalidAddress;

    fn try_from(parts: Parts) -> Result<Self, InvalidAddress> {
        Self::new(&parts.email, parts.name.as_deref())
    }
}

impl From<Address> for Parts {
    fn from(address: Address) -> Self {
        Self { name: address.name, email: address.email }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_address_is_taken() {
        assert!(Address::new("ada@lighthouse.example", Some("Ada")).is_ok());
        for email in
            ["", "ada", "@x", "ada@", "a@b\r\nBcc: c@d", "a@b, c@d", "a b@c.example", "Ada <ada@lighthouse.example>", "a@b\u{0}.example"]
        {
            assert_eq!(Address::new(email, None), Err(InvalidAddress), "{email:?}");
        }
        assert!(Address::new(&format!("{}@x.example", "a".repeat(300)), None).is_err());
    }
}
