//! Organizations, their members and invitations.
//!
//! Invariant: there is exactly one owner; the role `owner` moves by transfer only, with consent and fresh passwords on both
//! sides. Nobody grants a role above the own one, or changes somebody above.

mod create;
mod delete;
mod invitations;
mod list;
mod members;
mod read;
mod sight;
mod transfer;
mod update;

use contract::organizations::Organization;
use domain::permission::Role;
use store::organizations::OrganizationRow;

use crate::error::{ControlError, Result};

const SLUG_LENGTH_MIN: usize = 2;
/// Hosts are made of it: `<service>-<environment>-<project>`; labels have at most 63 letters.
const SLUG_LENGTH_MAX: usize = 40;

/// The row as the API shows it.
pub(crate) fn shown(row: OrganizationRow, role: Role) -> Organization {
    let default_role = default_role(&row.settings.0);
    Organization { id: row.id, slug: row.slug, name: row.name, role, default_role, created_at: row.created_at }
}

pub(crate) fn default_role(settings: &serde_json::Value) -> Role {
    settings.get("default_role").and_then(|role| serde_json::from_value(role.clone()).ok()).unwrap_or(Role::Member)
}

/// # Errors
/// `Invalid` at `/slug`.
fn valid_slug(slug: &str) -> Result<String> {
    let is_slug = slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let ends = slug.starts_with('-') || slug.ends_with('-') || slug.contains("--");
    if is_slug && !ends && (SLUG_LENGTH_MIN..=SLUG_LENGTH_MAX).contains(&slug.len()) && !slug.starts_with("org-") {
        return Ok(slug.to_owned());
    }
    let detail = format!("A slug has {SLUG_LENGTH_MIN} to {SLUG_LENGTH_MAX} lower-case letters, digits and single dashes between them.");
    Err(ControlError::invalid("/slug", "slug", detail))
}

/// A slug out of a name; `organization` when nothing of it is left.
fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= SLUG_LENGTH_MAX {
            break;
        }
    }
    let slug = slug.trim_matches('-').to_owned();
    if valid_slug(&slug).is_ok() { slug } else { "organization".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_come_from_names_and_are_checked() {
        assert_eq!(slug_of("Harbor & Sons, Ltd."), "harbor-sons-ltd");
        assert_eq!(slug_of("海"), "organization");
        assert_eq!(slug_of(&"x".repeat(100)).len(), SLUG_LENGTH_MAX);
        for bad in ["", "a", "-a", "a-", "a--b", "Ab", "a_b", "a;id", &"a".repeat(41)] {
            assert!(valid_slug(bad).is_err(), "{bad}");
        }
        assert!(valid_slug("harbor-2").is_ok());
    }
}
