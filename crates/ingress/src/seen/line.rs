//! What is remembered of one request while it runs, in case it is logged.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{REFERER, USER_AGENT},
};

use crate::{policy::address::truncated, routes::policy::AccessLog, wire::RequestLine};

/// Characters of one text field of a line.
pub const TEXT_CHARS_MAX: usize = 512;

/// Cheap to take of every request: texts are shared, not copied.
#[derive(Debug)]
pub struct Captured {
    pub at_ms: i64,
    method: Method,
    uri: Uri,
    host: HeaderValue,
    client: IpAddr,
    request_id: HeaderValue,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    log: Option<AccessLog>,
}

impl Captured {
    #[expect(clippy::too_many_arguments, reason = "the one place where a request is taken apart for the log")]
    pub fn new(
        at_ms: i64,
        method: &Method,
        uri: &Uri,
        host: &HeaderValue,
        headers: &HeaderMap,
        client: IpAddr,
        request_id: &HeaderValue,
        log: Option<&AccessLog>,
    ) -> Self {
        let wanted = |is_wanted: fn(&AccessLog) -> bool, name| log.filter(|log| is_wanted(log)).and_then(|_| headers.get(name).cloned());
        Self {
            at_ms,
            method: method.clone(),
            uri: uri.clone(),
            host: host.clone(),
            client,
            request_id: request_id.clone(),
            user_agent: wanted(|log| log.user_agent, USER_AGENT),
            referer: wanted(|log| log.referer, REFERER),
            log: log.cloned(),
        }
    }

    pub fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// Everything but how it ended.
    pub fn line(&self, status: u16, release: Option<u64>, latency_us: u64, error: Option<&str>) -> RequestLine {
        let log = self.log.clone().unwrap_or_default();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).chars().take(TEXT_CHARS_MAX).collect::<String>();
        let cut = |value: &str| value.chars().take(TEXT_CHARS_MAX).collect::<String>();
        RequestLine {
            at_ms: self.at_ms,
            request_id: text(&self.request_id),
            method: cut(self.method.as_str()),
            host: text(&self.host),
            path: cut(self.uri.path()),
            query: log.query.then(|| self.uri.query().map(cut)).flatten(),
            status,
            release,
            client: if log.full_address { self.client } else { truncated(self.client) }.to_string(),
            latency_us,
            user_agent: self.user_agent.as_ref().map(text),
            referer: self.referer.as_ref().map(text),
            error: error.map(str::to_owned),
            ..RequestLine::default()
        }
    }
}
