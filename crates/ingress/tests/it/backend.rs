//! A small app to put behind the ingress.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};

type Body = BoxBody<Bytes, hyper::Error>;

/// Answers with its name; see `answer` for its paths.
pub struct Backend {
    pub address: SocketAddr,
    pub seen: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    pub async fn start(name: &str) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), name).await
    }

    pub async fn start_at(address: SocketAddr, name: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let (name, counter) = (Arc::<str>::from(name), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (name, counter) = (Arc::clone(&name), Arc::clone(&counter));
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        counter.fetch_add(1, Ordering::SeqCst);
                        answer(Arc::clone(&name), request)
                    });
                    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, task }
    }

    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// A WebSocket echo; a text "big:N" is answered by a binary message of N bytes.
pub async fn websocket_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A backend that says exactly `bytes` to each connection's first request and closes; for broken answers.
pub async fn scripted(bytes: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0u8; 4096];
                let _request = stream.read(&mut buffer).await;
                let _sent = stream.write_all(bytes).await;
            });
        }
    });
    (address, connections)
}

/// An address where nothing listens.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn answer(name: Arc<str>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let number: u64 = request.uri().query().and_then(|query| query.parse().ok()).unwrap_or(0);
    Ok(match path.as_str() {
        "/headers" => {
            let lines: Vec<String> =
                request.headers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
            full(format!("{} {}\n{}", request.method(), request.uri(), lines.join("\n")))
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            full(name.to_string())
        }
        "/echo" => Response::new(request.into_body().boxed()),
        "/hash" => {
            let mut hash = Sha256::new();
            let mut body = request.into_body();
            let mut size = 0;
            while let Some(Ok(frame)) = body.frame().await {
                if let Some(data) = frame.data_ref() {
                    size += data.len();
                    hash.update(data);
                }
            }
            full(format!("{size} {}", hex(&hash.finalize())))
        }
        "/big" => {
            let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
            let chunks = number / chunk.len() as u64;
            stream(futures_util::stream::iter((0..chunks).map(move |_| chunk.clone())))
        }
        "/events" => {
            let ticks = futures_util::stream::unfold(0u64, |count| async move {
                if count > 0 {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                Some((Bytes::from(format!("data: {count}\n\n")), count + 1))
            });
            let mut response = stream(ticks);
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
            response
        }
        "/endless" => stream(futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Bytes::from_static(b"more"), ()))
        })),
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("42"));
            let frames = [Ok(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames))));
            response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
            response
        }
        "/hop" => {
            let mut response = full("hop".to_owned());
            for (name, value) in [("connection", "x-internal"), ("x-internal", "1"), ("keep-alive", "timeout=5"), ("x-app", "2")] {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }
        "/text" => {
            let mut response = full("some words, again and again. ".repeat(number as usize / 29 + 1));
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
            response.headers_mut().insert("etag", HeaderValue::from_static("\"v1\""));
            response
        }
        "/drops" => {
            let drops = futures_util::stream::unfold(0u64, |count| async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Some((Bytes::from(format!("drop {count}\n")), count + 1))
            });
            let mut response = stream(drops);
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
            response
        }
        "/refuse" => {
            let mut response = full("no".to_owned());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            response
        }
        _ => full(name.to_string()),
    })
}

fn full(text: String) -> Response<Body> {
    Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed())
}

fn stream(chunks: impl futures_util::Stream<Item = Bytes> + Send + Sync + 'static) -> Response<Body> {
    Response::new(BodyExt::boxed(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk))))))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
