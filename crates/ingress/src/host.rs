//! Host names as the routing table knows them: lower case, no trailing dot, no port, IDNA already applied.

use std::borrow::Cow;

/// Longest host name that DNS can carry.
pub const HOST_BYTES_MAX: usize = 253;
/// Longest label of a host name.
pub const LABEL_BYTES_MAX: usize = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than {HOST_BYTES_MAX} bytes")]
    TooLong,
    #[error("the host holds a character that no host name has (apply IDNA first)")]
    Character,
    #[error("a label of the host is empty, longer than {LABEL_BYTES_MAX} bytes, or begins or ends with a hyphen")]
    Label,
    #[error("the port is not a number up to 65535")]
    Port,
}

/// Turns a `Host` header or `:authority` into the form that the table holds: case, one trailing dot and the port go.
///
/// A bracketed IPv6 address stays with its brackets. Borrowed when nothing had to change, which is the common case.
pub fn normalise(authority: &str) -> Result<Cow<'_, str>, HostError> {
    let host = without_port(authority)?;
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').ok_or(HostError::Character)?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| HostError::Character)?;
        return Ok(lower(host));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    check(host)?;
    Ok(lower(host))
}

/// `true` when `host` is already in the form of the table.
pub fn is_normal(host: &str) -> bool {
    without_port(host) == Ok(host) && normalise(host).is_ok_and(|normal| matches!(normal, Cow::Borrowed(text) if text == host))
}

fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

fn without_port(authority: &str) -> Result<&str, HostError> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority.get(after_bracket..).and_then(|rest| rest.find(':')).map(|at| at + after_bracket) else {
        return Ok(authority);
    };
    let (host, port) = authority.split_at(colon);
    let digits = port.strip_prefix(':').unwrap_or(port);
    // RFC 3986 allows an empty port ("host:").
    let is_number = digits.is_empty() || (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok());
    if is_number { Ok(host) } else { Err(HostError::Port) }
}

fn check(host: &str) -> Result<(), HostError> {
    if host.is_empty() {
        return Err(HostError::Empty);
    }
    if host.len() > HOST_BYTES_MAX {
        return Err(HostError::TooLong);
    }
    for label in host.split('.') {
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(HostError::Character);
        }
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.starts_with('-') || label.ends_with('-') {
            return Err(HostError::Label);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (given, wanted) in [
            ("a.test", Ok("a.test")),
            ("A.Test", Ok("a.test")),
            ("a.test.", Ok("a.test")),
            ("A.TEST.:8080", Ok("a.test")),
            ("a.test:", Ok("a.test")),
            ("[::1]:80", Ok("[::1]")),
            ("127.0.0.1:80", Ok("127.0.0.1")),
            ("xn--bcher-kva.test", Ok("xn--bcher-kva.test")),
            ("my_app.test", Ok("my_app.test")),
            ("", Err(HostError::Empty)),
            (".", Err(HostError::Empty)),
            (":80", Err(HostError::Empty)),
            ("a..test", Err(HostError::Label)),
            ("a.test..", Err(HostError::Label)),
            ("-a.test", Err(HostError::Label)),
            ("bücher.test", Err(HostError::Character)),
            ("user@a.test", Err(HostError::Character)),
            ("a.test/x", Err(HostError::Character)),
            ("a test", Err(HostError::Character)),
            ("a.test:80:80", Err(HostError::Port)),
            ("a.test:65536", Err(HostError::Port)),
            ("a.test:+80", Err(HostError::Port)),
            ("[::1", Err(HostError::Port)),
            ("[zz]", Err(HostError::Character)),
        ] {
            assert_eq!(normalise(given).as_deref().map_err(|error| *error), wanted, "{given:?}");
        }
    }
}
