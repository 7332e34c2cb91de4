//! One reading of a request's path, shared by the router, the policies and the app: what is matched is what is sent.

use std::borrow::Cow;

/// The path cannot be read in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path leaves its root, or holds a backslash or an encoded NUL")]
pub struct PathError;

/// Resolves dot segments, also encoded ones (`%2e`). Everything else stays byte for byte: an app may tell `%2F` from `/` and
/// `//` from `/`. Borrowed when nothing had to change.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    if path.bytes().any(|byte| byte == b'\\') || contains_encoded(path, b"00") || contains_encoded(path, b"5c") {
        return Err(PathError);
    }
    if !path.split('/').any(is_dots) {
        return Ok(Cow::Borrowed(path));
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        let dots = dots(segment);
        ends_in_folder = dots > 0;
        match dots {
            0 => kept.push(segment),
            1 => {}
            _ => drop(kept.pop().ok_or(PathError)?),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if ends_in_folder || resolved.is_empty() {
        resolved.push('/');
    }
    Ok(Cow::Owned(resolved))
}

/// What follows `prefix`, if it fits on a border of segments: `/api` fits `/api` and `/api/x`, not `/apix`.
pub fn after_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix == "/" {
        return Some(path);
    }
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_dots(segment: &str) -> bool {
    dots(segment) > 0
}

/// 1 for `.`, 2 for `..`, however they are encoded; 0 for everything else.
fn dots(segment: &str) -> usize {
    let mut rest = segment;
    let mut count = 0;
    while !rest.is_empty() && count < 3 {
        let next = rest.strip_prefix('.').or_else(|| rest.strip_prefix("%2e")).or_else(|| rest.strip_prefix("%2E"));
        match next {
            Some(next) => rest = next,
            None => return 0,
        }
        count += 1;
    }
    if count > 2 { 0 } else { count }
}

fn contains_encoded(path: &str, digits: &[u8; 2]) -> bool {
    path.as_bytes().windows(3).any(|part| part.starts_with(b"%") && part.get(1..).is_some_and(|two| two.eq_ignore_ascii_case(digits)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (given, wanted) in [
            ("/", Some("/")),
            ("*", Some("*")),
            ("/a/b", Some("/a/b")),
            ("/a//b", Some("/a//b")),
            ("/a/%2Fb", Some("/a/%2Fb")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a/.%2e/b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a/b/.", Some("/a/b/")),
            ("/a/...", Some("/a/...")),
            ("/a/..b", Some("/a/..b")),
            ("/a//../b", Some("/a/b")),
            ("/.", Some("/")),
            ("/..", None),
            ("/a/../..", None),
            ("/%2e%2e/a", None),
            ("/a\\..\\b", None),
            ("/a%5c..%5Cb", None),
            ("/a%00", None),
        ] {
            assert_eq!(normalise(given).ok().as_deref(), wanted, "{given}");
        }
        for (path, prefix, wanted) in [
            ("/api", "/api", Some("")),
            ("/api/", "/api", Some("/")),
            ("/api/x", "/api", Some("/x")),
            ("/apix", "/api", None),
            ("/x", "/", Some("/x")),
            ("/a", "/api", None),
        ] {
            assert_eq!(after_prefix(path, prefix), wanted, "{path} {prefix}");
        }
    }

    proptest! {
        #[test]
        fn normalising_is_final_and_leaves_no_dots(path in "(/(a|b|\\.|\\.\\.|%2e|%2E%2e|\\.\\.\\.|))+") {
            if let Ok(normal) = normalise(&path) {
                prop_assert!(normal.starts_with('/'));
                prop_assert!(!normal.split('/').any(is_dots));
                let again = normalise(&normal).unwrap().into_owned();
                prop_assert_eq!(again.as_str(), &*normal);
            }
        }
    }
}
