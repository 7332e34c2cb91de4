//! Custom headers in both directions.

use http::HeaderName;

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
