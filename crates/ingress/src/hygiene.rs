//! Which headers cross the ingress. What a client sends about itself is dropped before our own word on it is set.

use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::tls::TlsFacts;

pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Longest X-Forwarded-For taken over from a trusted proxy.
const FORWARDED_FOR_BYTES_MAX: usize = 2_048;

/// Names that only a proxy may set; compared after `_` and `.` became `-`, as CGI-like servers do.
const PROXY_ONLY: [&str; 22] = [
    "forwarded",
    "x-real-ip",
    "x-real-port",
    "x-request-id",
    "x-request-start",
    "x-queue-start",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "proxy",
    "remote-user",
    "remote-addr",
    "x-host",
];
const PROXY_ONLY_PREFIXES: [&str; 8] =
    ["x-forwarded", "x-original-", "x-remote-user", "x-auth-request-", "x-webauth-", "x-ssl-", "ssl-client-", "x-seaway-"];

/// What is known of a connection before its first request; made once, cloned cheaply.
#[derive(Debug, Clone)]
pub struct Hop {
    pub is_trusted: bool,
    /// `None`: a plain connection.
    pub tls: Option<Arc<TlsFacts>>,
    pub peer: IpAddr,
    peer_text: HeaderValue,
    port_text: HeaderValue,
    scheme: HeaderValue,
}

impl Hop {
    pub fn new(peer: IpAddr, local_port: u16, is_trusted: bool) -> Self {
        let peer = peer.to_canonical();
        let text = |value: &str| HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            is_trusted,
            tls: None,
            peer,
            peer_text: text(&peer.to_string()),
            port_text: HeaderValue::from(local_port),
            scheme: HeaderValue::from_static("http"),
        }
    }
}

impl Hop {
    /// The same connection, inside TLS.
    pub fn over_tls(mut self, tls: Arc<TlsFacts>) -> Self {
        self.scheme = HeaderValue::from_static("https");
        self.tls = Some(tls);
        self
    }

    /// Whether the client used https: with us, or with a trusted proxy in front.
    pub fn is_https(&self, headers: &HeaderMap) -> bool {
        self.tls.is_some() || (self.is_trusted && headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes() == b"https"))
    }
}

/// Facts of one request that its headers to the replica tell.
#[derive(Debug)]
pub struct Facts {
    pub host: HeaderValue,
    pub request_id: HeaderValue,
    pub start_ms: i64,
    pub is_websocket: bool,
    pub version: Version,
}

/// The id that a trusted proxy gave the request, if it is harmless.
pub fn trusted_request_id(headers: &HeaderMap, hop: &Hop) -> Option<HeaderValue> {
    headers.get(REQUEST_ID).filter(|id| hop.is_trusted && crate::request_id::is_acceptable(id)).cloned()
}

/// Rewrites a client's headers into those for the replica.
pub fn to_replica(headers: &mut HeaderMap, hop: &Hop, facts: Facts) {
    let before = hop.is_trusted.then(|| Believed::read(headers));
    let wants_trailers = headers.get(TE).and_then(|te| te.to_str().ok()).is_some_and(|te| te.to_ascii_lowercase().contains("trailers"));
    remove_named_by_connection(headers);
    remove_hop_by_hop(headers);
    remove_proxy_only(headers);
    headers.remove(EXPECT); // the server side answers "100 Continue" when the replica's connection takes the body
    if facts.version == Version::HTTP_2 {
        join_cookies(headers);
    }

    // From here on nothing of the client can remove or shadow what is set.
    headers.insert(FORWARDED_HOST, facts.host.clone());
    headers.insert(HOST, facts.host);
    headers.insert(FORWARDED_FOR, hop.peer_text.clone());
    headers.insert(FORWARDED_PROTO, hop.scheme.clone());
    headers.insert(FORWARDED_PORT, hop.port_text.clone());
    headers.insert(REQUEST_ID, facts.request_id);
    headers.insert(REQUEST_START, HeaderValue::from(facts.start_ms));
    if let Some(believed) = before {
        believed.apply(headers, hop);
    }
    if facts.is_websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if wants_trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Rewrites a replica's headers into those for the client.
pub fn to_client(headers: &mut HeaderMap, request_id: HeaderValue) {
    remove_named_by_connection(headers);
    remove_hop_by_hop(headers);
    headers.entry(REQUEST_ID).or_insert(request_id);
}

/// `true` for a WebSocket handshake; other upgrades (h2c above all) are not passed on.
pub fn is_websocket(version: Version, method: &http::Method, headers: &HeaderMap) -> bool {
    version == Version::HTTP_11
        && method == http::Method::GET
        && headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// What a trusted proxy in front said.
#[derive(Debug)]
struct Believed {
    forwarded_for: Option<Vec<u8>>,
    rest: [(HeaderName, Option<HeaderValue>); 3],
}

impl Believed {
    fn read(headers: &HeaderMap) -> Self {
        let list: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        let list = list.join(&b", "[..]);
        Self {
            forwarded_for: (!list.is_empty() && list.len() <= FORWARDED_FOR_BYTES_MAX).then_some(list),
            rest: [FORWARDED_HOST, FORWARDED_PROTO, FORWARDED_PORT].map(|name| {
                let value = headers.get(&name).cloned();
                (name, value)
            }),
        }
    }

    fn apply(self, headers: &mut HeaderMap, hop: &Hop) {
        if let Some(mut list) = self.forwarded_for {
            list.extend_from_slice(b", ");
            list.extend_from_slice(hop.peer_text.as_bytes());
            if let Ok(value) = HeaderValue::from_bytes(&list) {
                headers.insert(FORWARDED_FOR, value);
            }
        }
        for (name, value) in self.rest {
            let Some(value) = value else { continue };
            let is_valid = match value.to_str() {
                Ok(text) if name == FORWARDED_HOST => crate::host::normalise(text).is_ok(),
                Ok(text) if name == FORWARDED_PROTO => matches!(text, "http" | "https"),
                Ok(text) => text.parse::<u16>().is_ok(),
                Err(_) => false,
            };
            if is_valid {
                headers.insert(name, value);
            }
        }
    }
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> = connection_tokens(headers)
        .filter(|token| !token.eq_ignore_ascii_case("close") && !token.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        // The length frames the body; without it the message would change its meaning.
        .filter(|name| name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

fn remove_proxy_only(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_proxy_only(name.as_str())) {
        return;
    }
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_proxy_only(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

pub fn is_proxy_only(name: &str) -> bool {
    let listed = |name: &str| {
        // Every listed name begins with one of these; most headers of a browser do not.
        matches!(name.as_bytes().first(), Some(b'x' | b'f' | b't' | b'c' | b'p' | b'r' | b's'))
            && (PROXY_ONLY_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || PROXY_ONLY.contains(&name))
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(is_plain) {
        return listed(name);
    }
    let plain: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    listed(&plain)
}

/// HTTP/2 may split cookies over several fields; HTTP/1.1 knows one (RFC 9113, 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if parts.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(given: &[(&str, &str)], is_trusted: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let hop = Hop::new("192.0.2.7".parse().unwrap(), 8080, is_trusted);
        let facts = Facts {
            host: HeaderValue::from_static("a.test"),
            request_id: HeaderValue::from_static("id-1"),
            start_ms: 42,
            is_websocket: false,
            version: Version::HTTP_11,
        };
        to_replica(&mut headers, &hop, facts);
        headers
    }

    #[test]
    fn a_client_cannot_speak_for_the_proxy() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_for",
            "X.Forwarded.For",
            "X-Forwarded_For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-User",
            "X-Forwarded-Client-Cert",
            "Forwarded",
            "X-Real-IP",
            "x_real_ip",
            "X-Request-Id",
            "x_request_id",
            "X-Request-Start",
            "True-Client-IP",
            "CF-Connecting-IP",
            "X-Client-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Proxy",
            "Remote-User",
            "X-Remote-User",
            "X-Seaway-Anything",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Keep-Alive",
            "Upgrade",
        ] {
            let headers = rewritten(&[(name, "evil"), (name, "evil again"), ("Connection", name)], false);
            assert!(headers.values().all(|value| !value.as_bytes().starts_with(b"evil")), "{name} went through: {headers:?}");
            assert_eq!(headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["192.0.2.7"], "{name}");
            assert_eq!(headers["x-forwarded-host"], "a.test");
            assert_eq!(headers["x-forwarded-proto"], "http");
            assert_eq!(headers["x-forwarded-port"], "8080");
            assert_eq!(headers["x-request-id"], "id-1");
            assert_eq!(headers["x-request-start"], "42");
            assert_eq!(headers["host"], "a.test");
        }
    }

    #[test]
    fn connection_names_what_goes_but_never_what_we_set() {
        let connection = "close, X-Secret, X-Forwarded-For, host, content-length, x-request-id, te";
        let headers = rewritten(
            &[("Connection", connection), ("X-Secret", "1"), ("Content-Length", "3"), ("TE", "gzip, trailers"), ("X-App", "kept")],
            false,
        );
        assert!(!headers.contains_key("x-secret"));
        for kept in ["x-forwarded-for", "host", "content-length", "x-request-id", "x-app"] {
            assert!(headers.contains_key(kept), "{kept}");
        }
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["connection"], "te");
    }

    #[test]
    fn a_trusted_proxy_is_believed_where_it_makes_sense() {
        let given = [
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-For", "198.51.100.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "bad host"),
            ("X-Forwarded-Port", "443"),
            ("X-Real-IP", "evil"),
        ];
        let headers = rewritten(&given, true);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 198.51.100.1, 192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-port"], "443");
        assert_eq!(headers["x-forwarded-host"], "a.test");
        assert!(!headers.contains_key("x-real-ip"));
    }

    #[test]
    fn cookies_of_http2_are_joined() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
