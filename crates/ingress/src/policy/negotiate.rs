//! Whether and how an answer is compressed: decided by its head and the request's Accept-Encoding alone.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY},
};

/// Smaller answers stay as they are: they would not get smaller.
pub const SIZE_BYTES_MIN: u64 = 1_024;

/// In the order in which they are taken where the client likes several equally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The coding for an answer; `None` leaves the body alone. Where the client decided, `Vary` says so in both cases.
pub fn choose(accept: Option<&HeaderValue>, method: &Method, status: StatusCode, headers: &mut HeaderMap) -> Option<Coding> {
    if !is_eligible(method, status, headers) {
        return None;
    }
    if !headers.get_all(VARY).iter().any(|vary| contains_token(vary, "accept-encoding") || vary == "*") {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    preferred(accept?.to_str().ok()?)
}

/// The head of an answer whose body is compressed.
pub fn mark(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    // The bytes differ from those that the app named.
    let weak = headers.get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\"")).map(|etag| [b"W/", etag.as_bytes()].concat());
    if let Some(weak) = weak.and_then(|weak| HeaderValue::from_bytes(&weak).ok()) {
        headers.insert(ETAG, weak);
    }
}

fn is_eligible(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    let is_body = *method != Method::HEAD
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    is_body
        && length.is_none_or(|length| length >= SIZE_BYTES_MIN)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !headers.get_all(CACHE_CONTROL).iter().any(|value| contains_token(value, "no-transform"))
        && headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(is_compressible)
}

/// Texts, and formats that are not compressed by themselves. Event streams must not wait in a compressor.
fn is_compressible(content_type: &str) -> bool {
    const KINDS: [&str; 12] = [
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/xml",
        "application/wasm",
        "application/manifest+json",
        "application/graphql",
        "application/x-ndjson",
        "application/vnd.ms-fontobject",
        "font/ttf",
        "font/otf",
        "image/svg+xml",
    ];
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "text/event-stream" {
        return false;
    }
    kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml") || KINDS.contains(&kind.as_str())
}

/// The best of what the client accepts (RFC 9110, 12.5.3).
fn preferred(accept: &str) -> Option<Coding> {
    let quality = |wanted: &str| {
        accept.split(',').find_map(|item| {
            let mut parts = item.split(';');
            let name = parts.next()?.trim();
            let is_it = name.eq_ignore_ascii_case(wanted) || (wanted == "gzip" && name.eq_ignore_ascii_case("x-gzip"));
            let quality = parts.find_map(|part| part.trim().strip_prefix("q=").map(|text| text.parse::<f32>().unwrap_or(0.0)));
            is_it.then_some(quality.unwrap_or(1.0))
        })
    };
    let any = quality("*").unwrap_or(0.0);
    let mut best: Option<(Coding, f32)> = None;
    for coding in Coding::ALL {
        let liked = quality(coding.name()).unwrap_or(any);
        if liked > 0.0 && best.is_none_or(|(_, most)| liked > most) {
            best = Some((coding, liked));
        }
    }
    let identity = quality("identity").unwrap_or(0.0);
    best.filter(|(_, liked)| *liked >= identity).map(|(coding, _)| coding)
}

fn contains_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_choice() {
        for (accept, wanted) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("GZIP;q=1.0, br;q=0.5", Some(Coding::Gzip)),
            ("br;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0", None),
            ("zstd;q=0, *", Some(Coding::Brotli)),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("deflate", None),
            ("gzip;q=x", None),
            ("", None),
        ] {
            assert_eq!(preferred(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn what_must_stay_as_it_is() {
        let accept = HeaderValue::from_static("gzip");
        let chosen = |status: u16, method: Method, given: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let coding = choose(Some(&accept), &method, StatusCode::from_u16(status).unwrap(), &mut headers);
            if let Some(coding) = coding {
                mark(&mut headers, coding);
            }
            (coding, headers)
        };
        let html = ("content-type", "text/html; charset=utf-8");
        let (coding, headers) =
            chosen(200, Method::GET, &[html, ("content-length", "5000"), ("etag", "\"1\""), ("accept-ranges", "bytes")]);
        assert_eq!(coding, Some(Coding::Gzip));
        assert_eq!(
            (&headers["etag"], &headers["vary"], &headers["content-encoding"]),
            (&"W/\"1\"".parse().unwrap(), &"Accept-Encoding".parse().unwrap(), &"gzip".parse().unwrap())
        );
        assert!(!headers.contains_key("content-length") && !headers.contains_key("accept-ranges"));
        for (what, status, method, given) in [
            ("small", 200, Method::GET, vec![html, ("content-length", "1023")]),
            ("head", 200, Method::HEAD, vec![html, ("content-length", "5000")]),
            ("encoded", 200, Method::GET, vec![html, ("content-encoding", "br")]),
            ("range", 206, Method::GET, vec![html, ("content-range", "bytes 0-1/2")]),
            ("not modified", 304, Method::GET, vec![html]),
            ("events", 200, Method::GET, vec![("content-type", "text/event-stream")]),
            ("picture", 200, Method::GET, vec![("content-type", "image/png")]),
            ("grpc", 200, Method::POST, vec![("content-type", "application/grpc")]),
            ("unknown kind", 200, Method::GET, vec![]),
            ("no-transform", 200, Method::GET, vec![html, ("cache-control", "public, no-transform")]),
        ] {
            let (coding, headers) = chosen(status, method, &given);
            assert_eq!((coding, headers.contains_key("vary")), (None, false), "{what}");
        }
    }
}
