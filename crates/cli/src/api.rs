//! Calls of the API.

use std::time::Duration;

use contract::Problem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Failure, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of one call; streams and uploads have none.
const CALL_TIMEOUT: Duration = Duration::from_secs(75);
/// Tries of a call that the instance or the network did not take.
const TRIES: u32 = 4;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(20);
const ITEMS_MAX: usize = 10_000;

/// An instance, and by what right it is asked.
#[derive(Clone)]
pub struct Api {
    url: String,
    client: reqwest::Client,
    right: Right,
}

#[derive(Clone)]
pub enum Right {
    Nobody,
    Token(String),
    /// For one verb; see [`crate::session`].
    Session {
        cookie: String,
        csrf: String,
    },
}

/// A part of a path that comes from a person.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%5F", "_").replace("%2D", "-").replace("%2E", ".")
}

impl Api {
    pub fn new(url: &str, right: Right) -> Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("seaway-cli/", env!("CARGO_PKG_VERSION")))
            // A token must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::other(format!("the HTTP client cannot start: {error}")))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client, right })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    #[must_use]
    pub fn with_right(&self, right: Right) -> Self {
        Self { right, ..self.clone() }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        decode(self.send(Method::GET, path, None::<&()>).await?, &self.url).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        decode(self.send(Method::POST, path, Some(body)).await?, &self.url).await
    }

    /// A POST or DELETE whose answer does not matter.
    pub async fn act(&self, method: Method, path: &str, body: Option<&Value>) -> Result<()> {
        self.send(method, path, body).await.map(|_| ())
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        decode(self.send(Method::PATCH, path, Some(body)).await?, &self.url).await
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        decode(self.send(Method::PUT, path, Some(body)).await?, &self.url).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        decode(self.send(Method::DELETE, path, None::<&()>).await?, &self.url).await
    }

    /// A POST that begins a session (`/log-in`, `/setup`): the cookie, and the answer.
    pub async fn begin_session(&self, path: &str, body: &Value) -> Result<(String, Value)> {
        let response = self.send(Method::POST, path, Some(body)).await?;
        let cookies =
            response.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned));
        let cookie = cookies.collect::<Vec<_>>().join("; ");
        Ok((cookie, decode(response, &self.url).await?))
    }

    /// Every item of a list.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        #[derive(serde::Deserialize)]
        struct Some<T> {
            data: Vec<T>,
            #[serde(default)]
            next_cursor: Option<String>,
        }
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = cursor.as_ref().map_or_else(|| path.to_owned(), |cursor| format!("{path}{joint}cursor={}", segment(cursor)));
            let page: Some<T> = self.get(&page).await?;
            items.extend(page.data);
            match page.next_cursor {
                Option::Some(next) if items.len() < ITEMS_MAX => cursor = Option::Some(next),
                _ => return Ok(items),
            }
        }
    }

    /// Sends bytes of unknown content type; not repeated by itself.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, kind: &'static str, size_bytes: u64, body: Body) -> Result<T> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, kind).header("content-length", size_bytes).body(body);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        decode(checked(response, &self.url).await?, &self.url).await
    }

    /// Opens an event stream, after an event if one is given.
    pub async fn stream(&self, path: &str, last_event: Option<&str>) -> Result<Response> {
        let mut request = self.request(Method::GET, path).header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        checked(response, &self.url).await
    }

    /// Sends, and tries again what may be tried again. One idempotency key serves all tries, so that nothing happens twice.
    async fn send(&self, method: Method, path: &str, body: Option<&(impl Serialize + ?Sized)>) -> Result<Response> {
        let key = uuid::Builder::from_random_bytes(random()?).into_uuid();
        let mut attempt = 1;
        loop {
            let mut request = self.request(method.clone(), path).timeout(CALL_TIMEOUT);
            if method == Method::POST {
                request = request.header("idempotency-key", format!("\"{key}\""));
            }
            if method == Method::PATCH || method == Method::PUT {
                request = request.header("if-match", "*");
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let failure = match request.send().await {
                Ok(response) => match wait_before_retry(&response) {
                    Some(wait) if attempt < TRIES => {
                        tokio::time::sleep(wait).await;
                        attempt += 1;
                        continue;
                    }
                    _ => return checked(response, &self.url).await,
                },
                Err(error) => self.unreachable(&error),
            };
            // A connection that was refused has carried nothing; a GET may always be repeated.
            if attempt >= 2 || method != Method::GET {
                return Err(failure);
            }
            attempt += 1;
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.url)).headers(accept_json());
        match &self.right {
            Right::Nobody => {}
            Right::Token(token) => request = request.bearer_auth(token),
            Right::Session { cookie, csrf } => {
                request = request.header(COOKIE, cookie).header("x-csrf-token", csrf);
            }
        }
        request
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            reason = inner.to_string();
            cause = inner.source();
        }
        Failure::Unreachable { url: self.url.clone(), reason }
    }
}

fn accept_json() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))])
}

fn random() -> Result<[u8; 16]> {
    use domain::Entropy;
    Ok(domain::SystemEntropy.bytes())
}

/// Refused for now: when to come back.
fn wait_before_retry(response: &Response) -> Option<Duration> {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(1);
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= RETRY_AFTER_MAX)
}

async fn checked(response: Response, url: &str) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = response.bytes().await.unwrap_or_default();
    if let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) {
        return Err(match problem.code.as_str() {
            "unauthenticated" => Failure::NotSignedIn { url: url.to_owned() },
            _ => Failure::Refused(Box::new(problem)),
        });
    }
    Err(Failure::Unreachable { url: url.to_owned(), reason: format!("it answered {status}, and not as Seaway does") })
}

async fn decode<T: DeserializeOwned>(response: Response, url: &str) -> Result<T> {
    let bytes = response.bytes().await.map_err(|error| Failure::Unreachable { url: url.to_owned(), reason: error.to_string() })?;
    let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::other(format!("the answer of {url} is not understood ({error}); is this client as new as the instance?")))
}
