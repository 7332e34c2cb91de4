//! HTTP/2 in its corners, PROXY headers, and the way to a successor.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    ext::Protocol,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::{AppProtocol, Ingress, Received};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{
    backend::{Backend, websocket_echo},
    rig::{KeepAlive, Rig, empty, full, http2, request, route},
};

#[tokio::test]
async fn a_websocket_over_http2() {
    let rig = Rig::start().await;
    rig.serve(1, &[websocket_echo().await]).await;
    let mut sender = http2(rig.address).await;
    // The server's settings come with its first frames.
    let plain = Request::builder().uri("http://a.test/none").body(empty()).unwrap();
    let _settled = sender.send_request(plain).await;
    let mut ask = Request::builder().method(Method::CONNECT).uri("http://a.test/socket").body(empty()).unwrap();
    ask.extensions_mut().insert(Protocol::from_static("websocket"));
    ask.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    let mut response = sender.send_request(ask).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.headers());
    assert!(!response.headers().contains_key("sec-websocket-accept") && !response.headers().contains_key("upgrade"));
    let stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    // An app that is no WebSocket, and another protocol.
    let other = Backend::start("plain").await;
    rig.serve(2, &[other.address]).await;
    let mut ask = Request::builder().method(Method::CONNECT).uri("http://a.test/").body(empty()).unwrap();
    ask.extensions_mut().insert(Protocol::from_static("websocket"));
    assert_eq!(sender.send_request(ask).await.unwrap().status(), StatusCode::BAD_GATEWAY);
    let mut ask = Request::builder().method(Method::CONNECT).uri("http://a.test/").body(empty()).unwrap();
    ask.extensions_mut().insert(Protocol::from_static("connect-udp"));
    assert_eq!(sender.send_request(ask).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Echoes the body, then trailers, as a gRPC server does; tells what it saw in headers.
async fn grpc_app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let (parts, body) = request.into_parts();
                let authority = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
                let te = parts.headers.get("te").cloned();
                let collected = body.collect().await.unwrap();
                let sent = collected.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("x-sum", sent.unwrap_or(HeaderValue::from_static("none")));
                let frames = [Ok::<_, Infallible>(Frame::data(collected.to_bytes())), Ok(Frame::trailers(trailers))];
                let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
                response.headers_mut().insert("x-authority", authority.parse().unwrap());
                response.headers_mut().insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(async move {
                let _ended =
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn grpc_reaches_an_app_with_its_trailers() {
    let rig = Rig::start().await;
    let mut routed = route("svc", 1, &["a.test"], &[grpc_app().await]);
    routed.app_protocol = AppProtocol::H2c;
    rig.client.put(&routed).await.unwrap();
    let mut sender = http2(rig.address).await;
    for round in 0..3 {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from(round));
        let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from("message"))), Ok(Frame::trailers(trailers))];
        let body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)));
        let ask = Request::builder().method("POST").uri("http://a.test/pkg.Service/Call").header("te", "trailers").body(body).unwrap();
        let response = sender.send_request(ask).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            (&response.headers()["x-authority"], &response.headers()["x-te"]),
            (&"a.test".parse().unwrap(), &"trailers".parse().unwrap())
        );
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap().clone();
        assert_eq!((&trailers["grpc-status"], &trailers["x-sum"]), (&HeaderValue::from(0), &HeaderValue::from(round)));
        assert_eq!(collected.to_bytes(), "message");
    }
    // HTTP/1.1 clients reach it too.
    let mut client = KeepAlive::open(rig.address).await.unwrap();
    let answer = client.send(request("a.test", "/").method("POST").body(full("plain")).unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "plain"));
}

fn proxy_header(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([127, 0, 0, 1, 0x1f, 0x90, 0, 80]);
    header
}

#[tokio::test]
async fn a_load_balancer_tells_the_client_by_proxy_protocol() {
    let rig = Rig::with(|config| {
        config.proxy_protocol = true;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let backend = Backend::start("one").await;
    rig.serve(1, &[backend.address]).await;
    let ask = b"GET /headers HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&[&proxy_header([192, 0, 2, 7])[..], ask].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("x-forwarded-for: 192.0.2.7") && !answer.contains("6.6.6.6"), "{answer}");
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(ask).await.unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "without the header nothing is served: {}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_takes_the_sockets_over_and_no_request_fails() {
    let mut rig = Rig::start().await;
    let backend = Backend::start("one").await;
    rig.serve(1, &[backend.address]).await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (address, stop, asked) = (rig.address, Arc::clone(&stop), Arc::clone(&asked));
        clients.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // A new connection each time: a refused one would fail here.
                let answer = crate::rig::send(address, request("a.test", "/").body(empty()).unwrap()).await;
                assert_eq!(answer.unwrap().body, "one");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut keep_alive = KeepAlive::open(rig.address).await.unwrap();
    keep_alive.send(request("a.test", "/").body(empty()).unwrap()).await.unwrap();
    for generation in 2..5 {
        let before = asked.load(Ordering::Relaxed);
        let received = Received::ask(&rig.config.admin_socket).await.unwrap();
        let begin = std::time::Instant::now();
        let (clock, entropy) = (Arc::new(domain::SystemClock), domain::SystemEntropy);
        let next = Ingress::take_over(rig.config.clone(), received, Vec::new(), clock, &entropy).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        assert_eq!(next.addresses(), [rig.address], "the same port, though the configuration says 0");
        let old = rig.ingress.replace(next).unwrap();
        tokio::time::timeout(Duration::from_secs(10), old.until_succeeded()).await.unwrap();
        old.stop().await;
        rig.serve(generation, &[backend.address]).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while asked.load(Ordering::Relaxed) < before + 20 {
            assert!(tokio::time::Instant::now() < deadline, "requests do not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    // A successor that dies before it is ready changes nothing.
    let received = Received::ask(&rig.config.admin_socket).await.unwrap();
    drop(received);
    crate::rig::until("changes are taken again", || async {
        rig.client.put(&route("svc", 9, &["a.test"], &[backend.address])).await.is_ok()
    })
    .await;
    assert_eq!(rig.get("/").await.body, "one");
}
