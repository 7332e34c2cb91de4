//! Where a sealed value belongs. The place is authenticated with the value, so moved ciphertext does not open (rule 7).

use uuid::Uuid;

/// The one place at which a sealed value may be opened. Not stored in the envelope: the caller names it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The organization; [`Place::INSTANCE`] for the secrets of the instance itself.
    pub tenant: Uuid,
    pub table: &'a str,
    pub column: &'a str,
    pub row: Uuid,
    /// The name within the row (a variable's name), or the empty text.
    pub name: &'a str,
}

impl Place<'_> {
    /// Stands for the instance where a value belongs to no organization.
    pub const INSTANCE: Uuid = Uuid::nil();

    /// The canonical encoding: every field with its length in front, because a separator could be part of a name.
    pub(crate) fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let fields: [&[u8]; 7] = [
            b"seaway sealed value",
            header,
            self.tenant.as_bytes(),
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row.as_bytes(),
            self.name.as_bytes(),
        ];
        length_prefixed(&fields)
    }
}

pub(crate) fn length_prefixed(fields: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(fields.iter().map(|field| field.len() + 8).sum());
    for field in fields {
        encoded.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        encoded.extend_from_slice(field);
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifting_a_byte_between_fields_changes_the_encoding() {
        let place = Place { tenant: Uuid::nil(), table: "ab", column: "c", row: Uuid::nil(), name: "" };
        let shifted = Place { table: "a", column: "bc", ..place };
        assert_ne!(place.associated_data(b"h"), shifted.associated_data(b"h"));
    }
}
