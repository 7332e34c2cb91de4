//! The requests to the engine that bollard does not make: a build whose session is ours and whose connection we can cut,
//! and an import. Everything else goes through bollard.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

pub type Body = BoxBody<Bytes, io::Error>;

/// An answer that is not a success is read up to here.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Of the answer to a question; that about the build cache names every record.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the engine at {} cannot be reached", path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the engine broke off the connection")]
    Broken(#[source] hyper::Error),
    #[error("the request to the engine cannot be made")]
    Request(#[source] http::Error),
    #[error("{message}")]
    Answer { status: StatusCode, message: String },
}

/// A connection of its own; cut when dropped, which makes the engine stop what it does for it.
#[derive(Debug)]
pub struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The engine's socket.
#[derive(Debug, Clone)]
pub struct EngineSocket(PathBuf);

impl EngineSocket {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, Connection), EngineError> {
        let stream = UnixStream::connect(&self.0).await.map_err(|source| EngineError::Connect { path: self.0.clone(), source })?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(EngineError::Broken)?;
        let task = tokio::spawn(async move {
            // Its end shows in the answer's body.
            let _ended = connection.with_upgrades().await;
        });
        Ok((sender, Connection(task)))
    }

    /// Sends a request; the connection lives as long as the second value.
    ///
    /// # Errors
    /// [`EngineError`]; an answer that is not a success carries the engine's own text.
    pub async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<(Response<Incoming>, Connection), EngineError> {
        let (mut sender, connection) = self.connect().await?;
        let mut request = Request::builder().method(method).uri(target).header("host", "docker");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(EngineError::Request)?;
        let answer = sender.send_request(request).await.map_err(EngineError::Broken)?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((answer, connection));
        }
        let bytes = http_body_util::Limited::new(answer.into_body(), ERROR_BYTES_MAX)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let message = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| value.get("message").and_then(|message| message.as_str()).map(str::to_owned))
            .unwrap_or(text);
        Err(EngineError::Answer { status, message })
    }
}

impl EngineSocket {
    /// A small question whose answer is one JSON document.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn ask(&self, method: Method, target: &str) -> Result<serde_json::Value, EngineError> {
        let (answer, _connection) = self.send(method, target, &[], empty()).await?;
        let status = answer.status();
        let bytes = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let odd = |reason: String| EngineError::Answer { status, message: format!("its answer cannot be read: {reason}") };
        let bytes = bytes.map_err(|error| odd(error.to_string()))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| odd(error.to_string()))
    }
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn streamed(chunks: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static) -> Body {
    use futures_util::TryStreamExt;
    BodyExt::boxed(StreamBody::new(chunks.map_ok(Frame::data)))
}

/// `name=value&…` with everything but letters and digits encoded.
pub fn query(parts: &[(&str, String)]) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    parts.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect::<Vec<_>>().join("&")
}
