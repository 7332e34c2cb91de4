//! Custom headers in both directions.

use http::{HeaderMap, HeaderName, HeaderValue, header::SET_COOKIE};

use crate::routes::policy::HeaderEdit;

/// One edit, ready.
#[derive(Debug)]
pub struct Edit {
    name: HeaderName,
    value: Option<HeaderValue>,
}

impl Edit {
    pub fn new(edit: &HeaderEdit) -> Option<Self> {
        let name = HeaderName::from_bytes(edit.name.as_bytes()).ok()?;
        let value = match &edit.value {
            Some(value) => Some(HeaderValue::from_str(value).ok()?),
            None => None,
        };
        Some(Self { name, value })
    }

    /// Sets or removes; what was there under the name goes in both cases.
    pub fn apply(&self, headers: &mut HeaderMap) {
        match &self.value {
            Some(value) => drop(headers.insert(self.name.clone(), value.clone())),
            None => drop(headers.remove(&self.name)),
        }
    }
}

/// Names that an owner may not edit: they frame the message, belong to the connection, or are the ingress' own word.
pub fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [&str; 13] = [
        "connection",
        "content-length",
        "content-encoding",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    RESERVED.contains(&name.as_str()) || crate::hygiene::is_proxy_only(name.as_str())
}

/// The app believes that it lives at `/`: its cookies are moved below the prefix that was stripped.
pub fn move_below(headers: &mut HeaderMap, prefix: &str) {
    if headers.contains_key(SET_COOKIE) {
        let moved: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().map(|cookie| cookie_below(cookie, prefix)).collect();
        headers.remove(SET_COOKIE);
        for cookie in moved {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

/// Without a path the browser takes the folder of the request, which is below the prefix already.
fn cookie_below(cookie: &HeaderValue, prefix: &str) -> HeaderValue {
    let Ok(text) = cookie.to_str() else { return cookie.clone() };
    let parts = text.split(';').enumerate().map(|(index, part)| {
        let path = part.trim().split_once('=').filter(|(key, _)| index > 0 && key.trim().eq_ignore_ascii_case("path"));
        let Some((key, path)) = path else { return part.to_owned() };
        let path = path.trim().trim_end_matches('/');
        format!(" {}={prefix}{}", key.trim(), if path.starts_with('/') { path } else { "" })
    });
    HeaderValue::from_str(&parts.collect::<Vec<_>>().join(";")).unwrap_or_else(|_| cookie.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_move_below_the_prefix() {
        for (given, wanted) in [
            ("a=1; Path=/", "a=1; Path=/api"),
            ("a=1; path=/x; Secure", "a=1; path=/api/x; Secure"),
            ("a=1; Path=/x/", "a=1; Path=/api/x"),
            ("a=1", "a=1"),
            ("path=/; HttpOnly", "path=/; HttpOnly"),
            ("a=1; Path=x", "a=1; Path=/api"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(SET_COOKIE, HeaderValue::from_str(given).unwrap());
            move_below(&mut headers, "/api");
            assert_eq!(headers[SET_COOKIE], wanted, "{given}");
        }
    }
}
