//! Branches, tags and commit ids as a user writes them. Unusual but legal names (`main;id`, `a+b`, `feature/#1`) work:
//! only the argument vector protects from them.

use std::fmt;

const REFERENCE_BYTES_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("The branch or tag “{0}” begins with “-”, which git would take for an option.")]
    LeadingDash(String),
    #[error("“{0}” cannot be the name of a branch or tag.")]
    Name(String),
    #[error("“{0}” is not a full commit id (40 or 64 hexadecimal digits).")]
    Commit(String),
}

/// What is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    Default,
    /// Branch or tag; a branch wins over a tag of the same name.
    Named(String),
    /// The full id, and the branch or tag that it is expected on.
    Commit {
        id: String,
        named: Option<String>,
    },
}

impl fmt::Display for Want {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default branch"),
            Self::Named(name) => write!(formatter, "{name}"),
            Self::Commit { id, .. } => write!(formatter, "commit {id}"),
        }
    }
}

impl Want {
    /// # Errors
    /// [`ReferenceError`].
    pub fn new(reference: Option<&str>, commit: Option<&str>) -> Result<Self, ReferenceError> {
        let reference = reference.filter(|text| !text.is_empty());
        if let Some(name) = reference {
            check_reference(name)?;
        }
        if let Some(id) = commit {
            let id = id.to_ascii_lowercase();
            return if is_commit(&id) {
                Ok(Self::Commit { id, named: reference.map(str::to_owned) })
            } else {
                Err(ReferenceError::Commit(id))
            };
        }
        Ok(match reference {
            None | Some("HEAD") => Self::Default,
            Some(id) if is_commit(&id.to_ascii_lowercase()) => Self::Commit { id: id.to_ascii_lowercase(), named: None },
            Some(name) => Self::Named(name.to_owned()),
        })
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The rules of `git check-ref-format` that git itself would enforce.
///
/// # Errors
/// [`ReferenceError`].
pub fn check_reference(name: &str) -> Result<(), ReferenceError> {
    if name.starts_with('-') {
        return Err(ReferenceError::LeadingDash(name.to_owned()));
    }
    let illegal = name.is_empty()
        || name.len() > REFERENCE_BYTES_MAX
        || name.starts_with('/')
        || name.ends_with(['/', '.'])
        || name.ends_with(".lock")
        || name == "@"
        || ["..", "//", "@{", "/."].iter().any(|part| name.contains(part))
        || name.starts_with('.')
        || name.chars().any(|character| character.is_control() || matches!(character, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\'));
    if illegal { Err(ReferenceError::Name(name.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_names_pass_and_illegal_ones_do_not() {
        for name in ["main", "main;id", "feature/#123", "a+b", "$(id)", "`id`", "a&b|c", "ünïcode", "v1.0'\"", "a<b>"] {
            assert_eq!(check_reference(name), Ok(()), "{name}");
        }
        for name in ["--upload-pack=x", "-b", "a b", "a..b", "a:b", "a^", "x.lock", "/a", "a/", "", "a\nb", "@{1}", "a*"] {
            assert!(check_reference(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_commit_of_the_event_wins() {
        let id = "A".repeat(40);
        assert_eq!(Want::new(Some("main"), Some(&id)), Ok(Want::Commit { id: "a".repeat(40), named: Some("main".into()) }));
        assert!(Want::new(None, Some("abc")).is_err());
        assert_eq!(Want::new(None, None), Ok(Want::Default));
    }
}
