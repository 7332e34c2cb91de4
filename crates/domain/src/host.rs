//! Host names that people enter for their services.

pub const HOST_LENGTH_MAX: usize = 253;
const LABEL_LENGTH_MAX: usize = 63;

/// Why a host is refused, in words for the one who entered it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    #[error("enter a host such as `www.example.com`")]
    Empty,
    #[error("enter the host only, without `https://`, path, port or user")]
    NotAHost,
    #[error("wildcard domains are not supported yet; add each host by its full name")]
    Wildcard,
    #[error("an address of numbers cannot be a domain; enter a name")]
    Address,
    #[error(
        "`{0}` is not a host name: letters, digits and hyphens, parts joined with dots, no part empty or longer than 63, none beginning or ending with a hyphen"
    )]
    Name(String),
}

/// The form that is stored and routed: lower case, IDNA applied (`тест.рф` becomes `xn--e1aybc.xn--p1ai`), no dot at the end.
///
/// # Errors
/// [`InvalidHost`] for anything that cannot be a host name.
pub fn canonical(text: &str) -> Result<String, InvalidHost> {
    let text = text.trim();
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(InvalidHost::Empty);
    }
    if text.contains(['/', ':', '@', '?', '#', '\\']) {
        return Err(InvalidHost::NotAHost);
    }
    if text.contains('*') {
        return Err(InvalidHost::Wildcard);
    }
    let wrong = || InvalidHost::Name(text.chars().take(100).collect());
    let ascii = idna::domain_to_ascii_strict(text).map_err(|_| wrong())?;
    check_ascii(&ascii).map_err(|()| wrong())?;
    if ascii.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(InvalidHost::Address);
    }
    Ok(ascii)
}

/// Whether a text is a host name in its stored form; what is not ASCII is not.
pub fn is_canonical(text: &str) -> bool {
    text.is_ascii() && canonical(text).is_ok_and(|canonical| canonical == text)
}

fn check_ascii(host: &str) -> Result<(), ()> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_LENGTH_MAX
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() <= HOST_LENGTH_MAX && host.split('.').all(label) { Ok(()) } else { Err(()) }
}

/// Whether `host` is `parent` or below it.
pub fn is_within(host: &str, parent: &str) -> bool {
    host == parent || host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn international_names_are_converted() {
        for (text, host) in [
            ("тест.рф", "xn--e1aybc.xn--p1ai"),
            ("app.тест.рф", "app.xn--e1aybc.xn--p1ai"),
            ("WWW.Example.com.", "www.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(canonical(text).unwrap(), host);
        }
    }

    #[test]
    fn ordinary_names_are_accepted_as_they_are() {
        for host in ["example.com", "sub.example.com", "123.example.com", "localhost", "xn--80ak6aa92e.com"] {
            assert!(is_canonical(host), "{host}");
        }
        assert!(!is_canonical("пример.рф"), "the raw form is not stored");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "bbn_client.example.com",
            "-example.com",
            "exa mple.com",
            "",
            "a..b",
            "example.com/path",
            "https://example.com",
            "a:80",
            "u@h",
            "*.example.com",
            "127.0.0.1",
            "1.2.3.4.",
            "[::1]",
            "a`b.com",
            "a\")||x.com",
            "a\nb.com",
            &"a".repeat(64),
            &format!("{}.com", "a.".repeat(130)),
        ] {
            assert!(canonical(text).is_err(), "{text:?}");
        }
        assert_eq!(canonical("*.example.com"), Err(InvalidHost::Wildcard));
    }

    #[test]
    fn below_means_with_a_dot_between() {
        assert!(is_within("a.apps.test", "apps.test") && is_within("apps.test", "apps.test"));
        assert!(!is_within("myapps.test", "apps.test"));
    }
}
