//! What the ingress answers itself: a small page for people, problem+json for programs.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{body::ResponseBody, hygiene::REQUEST_ID};

/// Names the reason on every answer that the ingress made itself.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("seaway-error");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Malformed,
    MethodRefused,
    UnknownHost,
    Misdirected,
    Deploying,
    Crashed,
    Stopped,
    Unreachable,
    BadAnswer,
    TimedOut,
    Cut,
    HeldTooLong,
    Busy,
    BodyTooLarge,
    BodyStalled,
    AddressRefused,
    TooManyRequests,
    Maintenance,
    Unauthorised,
    PausedTooLong,
    WokenTooLate,
}

/// A page, and what the request's own case adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub page: Page,
    pub retry_after_seconds: Option<u32>,
}

impl From<Page> for Failure {
    fn from(page: Page) -> Self {
        Self { page, retry_after_seconds: None }
    }
}

impl Page {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Deploying | Self::Stopped | Self::HeldTooLong | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Crashed | Self::Unreachable | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::TimedOut | Self::Cut => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::AddressRefused => StatusCode::FORBIDDEN,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Maintenance | Self::WokenTooLate => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::PausedTooLong => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_request",
            Self::MethodRefused => "method_refused",
            Self::UnknownHost => "unknown_host",
            Self::Misdirected => "misdirected",
            Self::Deploying => "deploying",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
            Self::Unreachable => "unreachable",
            Self::BadAnswer => "bad_answer",
            Self::TimedOut => "timed_out",
            Self::Cut => "drain_ended",
            Self::HeldTooLong => "held_too_long",
            Self::Busy => "too_many_requests_in_flight",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyStalled => "body_stalled",
            Self::AddressRefused => "address_refused",
            Self::TooManyRequests => "too_many_requests",
            Self::Maintenance => "maintenance",
            Self::Unauthorised => "unauthorised",
            Self::PausedTooLong => "paused",
            Self::WokenTooLate => "woken_too_late",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Malformed => "This request is malformed",
            Self::MethodRefused => "This method is not served",
            Self::UnknownHost => "Nothing is deployed here",
            Self::Misdirected => "This connection is for another address",
            Self::Deploying => "This app is being deployed",
            Self::Crashed => "This app has crashed",
            Self::Stopped => "This app is stopped",
            Self::Unreachable => "This app does not answer",
            Self::BadAnswer => "This app broke off its answer",
            Self::TimedOut => "This app took too long to answer",
            Self::Cut => "This request was ended by a deployment",
            Self::HeldTooLong => "This app is taking longer than usual to come back",
            Self::Busy => "This app is busy",
            Self::BodyTooLarge => "The upload is too large",
            Self::BodyStalled => "The upload stopped",
            Self::AddressRefused => "This app is not open to you",
            Self::TooManyRequests => "Too many requests",
            Self::Maintenance => "Down for maintenance",
            Self::Unauthorised => "Name and password, please",
            Self::PausedTooLong => "This app is paused",
            Self::WokenTooLate => "This app is still waking up",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "The server could not read the request without doubt and refused it.",
            Self::MethodRefused => "CONNECT and TRACE are not served.",
            Self::Misdirected => "The connection was opened for another name. Programs: open a connection of its own for each name.",
            Self::UnknownHost => "No service has this address. If it is yours, check the domain's spelling and the service's domains.",
            Self::Deploying => "The first release is on its way. This page reloads by itself in a few seconds.",
            Self::Crashed => "Its last release stopped running. If it is yours, the service's logs tell why.",
            Self::Stopped => "Its owner stopped it. If it is yours, start it again with `seaway start`.",
            Self::Unreachable => {
                "No connection to it could be opened. If it is yours, check that it listens on the port it was given, on 0.0.0.0."
            }
            Self::BadAnswer => "The connection ended before a complete answer came. If it is yours, look into its logs at this time.",
            Self::TimedOut => "No answer came within the service's time limit.",
            Self::Cut => "It was still running when the grace period of the previous release ended. Please try again.",
            Self::HeldTooLong => "A new release is taking over. Please try again in a moment.",
            Self::Busy => "Too many requests are running at this moment. Please try again shortly.",
            Self::BodyTooLarge => "The service does not take a body of this size.",
            Self::BodyStalled => "No more data came for too long.",
            Self::AddressRefused => "Its owner allows certain network addresses only, and yours is not one of them.",
            Self::TooManyRequests => "The app takes a limited number of requests in a time. Please try again in a moment.",
            Self::Maintenance => "It will be back soon.",
            Self::Unauthorised => "The owner of this app asks for a name and a password.",
            Self::PausedTooLong => "Its owner has paused it for a moment. Please try again shortly.",
            Self::WokenTooLate => "It was asleep, and starting it takes longer than usual. Please try again in a moment.",
        }
    }

    /// Seconds after which trying again makes sense.
    fn retry_after_s(self) -> Option<u16> {
        match self {
            Self::Deploying | Self::HeldTooLong | Self::PausedTooLong | Self::WokenTooLate => Some(5),
            Self::Busy | Self::Cut => Some(1),
            _ => None,
        }
    }

    fn closes_connection(self) -> bool {
        matches!(self, Self::Malformed | Self::BodyTooLarge | Self::BodyStalled)
    }

    /// The page of a maintenance with its owner's words.
    pub fn message_html(message: &str) -> String {
        let mut safe = String::with_capacity(message.len());
        for letter in message.chars() {
            match letter {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                '\n' => safe.push_str("<br>"),
                other => safe.push(other),
            }
        }
        frame(Self::Maintenance.title(), &safe, "", "")
    }

    /// See [`Self::answer`].
    pub fn answer_failure(failure: Failure, headers: &HeaderMap, request_id: &HeaderValue, is_http1: bool) -> Response<ResponseBody> {
        let mut response = failure.page.answer(headers, request_id, is_http1);
        if let Some(seconds) = failure.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The whole answer. `headers` are the client's; `is_http1` allows `Connection`.
    pub fn answer(self, headers: &HeaderMap, request_id: &HeaderValue, is_http1: bool) -> Response<ResponseBody> {
        let id = request_id.to_str().unwrap_or_default();
        let is_for_people = headers.get_all(ACCEPT).iter().any(|accept| accept.as_bytes().windows(9).any(|part| part == b"text/html"));
        let (body, content_type) =
            if is_for_people { (self.html(id), "text/html; charset=utf-8") } else { (self.problem(id), "application/problem+json") };
        let mut response = Response::new(ResponseBody::page(Bytes::from(body)));
        *response.status_mut() = self.status();
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        out.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
        out.insert(ERROR_HEADER, HeaderValue::from_static(self.code()));
        out.insert(REQUEST_ID, request_id.clone());
        if let Some(seconds) = self.retry_after_s() {
            out.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::Unauthorised {
            out.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"app\", charset=\"UTF-8\""));
        }
        if is_http1 && self.closes_connection() {
            out.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn problem(self, id: &str) -> String {
        let status = self.status().as_u16();
        let (code, title, detail) = (self.code(), self.title(), self.detail());
        serde_json::json!({ "type": "about:blank", "title": title, "status": status, "code": code, "detail": detail, "request_id": id })
            .to_string()
    }

    /// Holds nothing that a user wrote: the id passed `request_id::is_acceptable`.
    fn html(self, id: &str) -> String {
        let status = self.status().as_u16();
        let (title, detail) = (self.title(), self.detail());
        let reload = if self == Self::Deploying { "<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
        frame(title, detail, &format!("<p><small>Error {status} · request {id}</small></p>"), reload)
    }
}

/// `detail` and `foot` are HTML.
fn frame(title: &str, detail: &str, foot: &str, head: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">{head}\
<title>{title}</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;margin:0;min-height:100vh;\
display:grid;place-items:center}}main{{max-width:34rem;padding:2rem}}h1{{font-size:1.5rem;margin:0 0 .5rem}}\
p{{margin:.5rem 0}}small{{opacity:.7}}</style></head><body><main><h1>{title}</h1><p>{detail}</p>{foot}</main></body></html>"
    )
}
