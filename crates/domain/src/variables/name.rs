//! Rules for names and values.

use crate::name::InvalidName;

pub const NAME_LENGTH_MAX: usize = 128;
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Variables of one environment with all its services.
pub const ENVIRONMENT_VARIABLES_MAX: usize = 10_000;
/// Names that Seaway itself sets.
pub const BUILT_IN_PREFIX: &str = "SEAWAY_";

/// A letter or `_`, then letters, digits and `_`; not `SEAWAY_…`.
///
/// # Errors
/// What is wrong and what is expected.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !first || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(InvalidName("a name begins with a letter or `_` and goes on with letters, digits and `_`".into()));
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(InvalidName(format!("a name has at most {NAME_LENGTH_MAX} characters")));
    }
    if name.len() >= BUILT_IN_PREFIX.len()
        && name.get(..BUILT_IN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(BUILT_IN_PREFIX))
    {
        return Err(InvalidName("names that begin with `SEAWAY_` are set by Seaway; choose another name".into()));
    }
    Ok(())
}

/// # Errors
/// What is wrong and what is expected; never the value.
pub fn check_value(value: &str) -> Result<(), InvalidName> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(InvalidName(format!("the value has {} bytes; at most {VALUE_BYTES_MAX} are possible", value.len())));
    }
    if value.contains('\0') {
        return Err(InvalidName("the value holds a zero byte, which no environment variable can carry".into()));
    }
    Ok(())
}

/// The name of a managed text file: a plain file name.
///
/// # Errors
/// What is wrong and what is expected.
pub fn check_file_name(name: &str) -> Result<(), InvalidName> {
    let fits = !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !name.starts_with(['.', '-']);
    if fits {
        Ok(())
    } else {
        Err(InvalidName(format!(
            "a file name has 1 to {NAME_LENGTH_MAX} letters, digits, `.`, `_` and `-`, and begins with a letter, digit or `_`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_shell_accepts_too() {
        for good in ["A", "_", "a1", "LD_PRELOAD", "PATH", "SEAWAY"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "1A", "A-B", "A B", "A=B", "Ä", "SEAWAY_COMMIT", "seaway_x", &"A".repeat(129), "A\n"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_value("a\0b").is_err());
        assert!(check_value(&"x".repeat(VALUE_BYTES_MAX + 1)).is_err());
        for bad in ["", "../x", "a/b", ".env", "-x"] {
            assert!(check_file_name(bad).is_err(), "{bad}");
        }
    }
}
