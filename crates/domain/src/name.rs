//! Names that people give: slugs for addresses, display names, names of variables, app names.

use crate::Entropy;

pub const SLUG_LENGTH_MAX: usize = 40;
pub const NAME_LENGTH_MAX: usize = 80;
pub const DESCRIPTION_LENGTH_MAX: usize = 2_000;
pub const ICON_LENGTH_MAX: usize = 64;
/// One label of a host name.
pub const LABEL_LENGTH_MAX: usize = 63;
/// Characters that tell two equal app names apart.
const SUFFIX_LENGTH: usize = 5;
const SUFFIX_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Slugs that mean something else in references (`${{project.X}}`) or addresses.
const RESERVED_SERVICES: &[&str] = &["project", "environment", "service", "vault"];

/// Why a name is refused, in words for the one who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

/// Lower-case letters, digits and single hyphens between them.
///
/// # Errors
/// What is wrong and what is expected.
pub fn check_slug(slug: &str) -> Result<(), InvalidName> {
    let fits = !slug.is_empty()
        && slug.len() <= SLUG_LENGTH_MAX
        && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-')
        && !slug.contains("--");
    if fits {
        return Ok(());
    }
    Err(InvalidName(format!(
        "a slug is 1 to {SLUG_LENGTH_MAX} lower-case letters, digits and single hyphens, and begins and ends with a letter or digit"
    )))
}

/// A slug for a service: some words mean something else in references.
///
/// # Errors
/// What is wrong and what is expected.
pub fn check_service_slug(slug: &str) -> Result<(), InvalidName> {
    check_slug(slug)?;
    if RESERVED_SERVICES.contains(&slug) {
        return Err(InvalidName(format!("`{slug}` has a meaning of its own in references of variables; choose another name")));
    }
    Ok(())
}

/// A display name: any text of one line.
///
/// # Errors
/// What is wrong and what is expected.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.trim().is_empty() || name.chars().count() > NAME_LENGTH_MAX {
        return Err(InvalidName(format!("a name has 1 to {NAME_LENGTH_MAX} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(InvalidName("a name is one line without control characters".into()));
    }
    Ok(())
}

/// # Errors
/// What is wrong and what is expected.
pub fn check_description(text: &str) -> Result<(), InvalidName> {
    if text.chars().count() > DESCRIPTION_LENGTH_MAX {
        return Err(InvalidName(format!("a description has at most {DESCRIPTION_LENGTH_MAX} characters")));
    }
    if text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
        return Err(InvalidName("a description has no control characters".into()));
    }
    Ok(())
}

/// The name of an icon (`rocket`, `brand:postgres`) or one emoji; never an address.
///
/// # Errors
/// What is wrong and what is expected.
pub fn check_icon(icon: &str) -> Result<(), InvalidName> {
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ':') || !letter.is_ascii() && !letter.is_control();
    if icon.is_empty() || icon.len() > ICON_LENGTH_MAX || !icon.chars().all(plain) {
        return Err(InvalidName(format!("an icon is a name like `rocket` or one emoji, at most {ICON_LENGTH_MAX} bytes")));
    }
    Ok(())
}

/// A slug made of a display name: `My Shop!` gives `my-shop`. `None` when nothing usable is left.
pub fn slug_of(name: &str) -> Option<String> {
    let mut slug = String::new();
    for letter in name.chars() {
        if slug.len() >= SLUG_LENGTH_MAX {
            break;
        }
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => slug.push(letter),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-').to_owned();
    (!slug.is_empty()).then_some(slug)
}

/// The first choice for a service's app name: `<service>-<environment>-<project>`, cut to one label of a host name.
pub fn app_name(service: &str, environment: &str, project: &str) -> String {
    cut(&format!("{service}-{environment}-{project}"), LABEL_LENGTH_MAX)
}

/// Another app name, for when the first choice is taken.
pub fn app_name_with_suffix(app_name: &str, entropy: &dyn Entropy) -> String {
    let mut random = [0u8; SUFFIX_LENGTH];
    entropy.fill(&mut random);
    let letter = |byte: &u8| SUFFIX_ALPHABET.get(usize::from(byte & 31)).copied().map_or('0', char::from);
    let suffix: String = random.iter().map(letter).collect();
    format!("{}-{suffix}", cut(app_name, LABEL_LENGTH_MAX - SUFFIX_LENGTH - 1))
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect::<String>().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;

    #[test]
    fn slugs_are_labels_without_surprises() {
        for good in ["a", "web", "web-2", "0", "a-b-c"] {
            assert!(check_slug(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "ä", "a_b", "a.b", "a b", "a/b", &"a".repeat(41)] {
            assert!(check_slug(bad).is_err(), "{bad}");
        }
        assert!(check_service_slug("project").is_err());
    }

    #[test]
    fn names_become_slugs() {
        for (name, slug) in
            [("My Shop!", Some("my-shop")), ("  Über  app ", Some("ber-app")), ("---", None), ("日本", None), ("a__b", Some("a-b"))]
        {
            assert_eq!(slug_of(name).as_deref(), slug, "{name}");
            assert!(slug.is_none_or(|slug| check_slug(slug).is_ok()));
        }
    }

    #[test]
    fn app_names_fit_into_a_label_and_differ_with_a_suffix() {
        assert_eq!(app_name("web", "production", "shop"), "web-production-shop");
        let long = app_name(&"a".repeat(40), &"b".repeat(40), "c");
        assert_eq!(long.len(), LABEL_LENGTH_MAX);
        let entropy = SeededEntropy::new(1);
        let (one, two) = (app_name_with_suffix(&long, &entropy), app_name_with_suffix(&long, &entropy));
        assert!(one.len() <= LABEL_LENGTH_MAX && one != two);
    }
}
