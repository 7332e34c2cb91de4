//! What is refused: sizes, times, numbers, and requests that two parsers could read differently.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    backend::Backend,
    rig::{KeepAlive, Rig, empty, full, raw, request, route, send, until},
};

#[tokio::test]
async fn smuggling_is_refused_and_the_connection_closed() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    for request in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nG",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1, 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: -1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: a.test\n\n",
        "GET / HTTP/1.1\r\nHost: a.test\nX-A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: b\rX-B: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: b\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX A: b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n: empty\r\n\r\n",
    ] {
        let answer = raw(rig.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"), "{request:?} gave {answer:?}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{request:?} gave {answer:?}");
    }
    assert_eq!(backend.seen(), 0);
    assert!(rig.client.metrics().await.unwrap().malformed > 0);
}

#[tokio::test]
async fn a_broken_chunk_reaches_no_second_request() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    for body in ["zz\r\nabc\r\n0\r\n\r\n", "5\r\nab", "2\r\nabcd\r\n0\r\n\r\n", "ffffffffffffffffff\r\nab\r\n"] {
        let request = format!("POST /hash HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let _reset = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.expect("hangs");
        assert!(!answer.contains("200 OK"), "{body:?} gave {answer}");
        assert_eq!(rig.metrics().await.ingress_5xx, 0, "a broken upload is the client's fault: {body:?}");
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let large = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Large: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X-Many: 1\r\n".repeat(150));
    for head in [large, many] {
        let answer = raw(rig.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let fits = request("a.test", "/").header("x-large", "x".repeat(30_000)).body(empty()).unwrap();
    assert_eq!(send(rig.address, fits).await.unwrap().status, StatusCode::OK);
    assert_eq!(backend.seen(), 1);
}

#[tokio::test]
async fn bodies_are_bounded_by_length_and_by_count() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    let mut limited = route("svc", 1, &["a.test"], &[backend.address]);
    limited.body_bytes_max = 1_000;
    rig.client.put(&limited).await.unwrap();
    let post = |body| request("a.test", "/hash").method(Method::POST).body(body).unwrap();

    assert!(send(rig.address, post(full(vec![0; 1_000]))).await.unwrap().body.starts_with("1000 "));
    let answer = send(rig.address, post(full(vec![0; 1_001]))).await.unwrap();
    assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    assert_eq!(backend.seen(), 1, "a declared length is refused before the app sees it");

    let chunk = Bytes::from(vec![0u8; 600]);
    let chunked = StreamBody::new(futures_util::stream::iter([Ok(Frame::data(chunk.clone())), Ok(Frame::data(chunk))])).boxed();
    assert_eq!(send(rig.address, post(chunked)).await.unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);

    // A client that waits for 100 is told before it sends anything.
    let head = "POST /hash HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n";
    assert!(raw(rig.address, head.as_bytes()).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn each_phase_has_its_deadline() {
    let rig = Rig::with(|config| {
        config.limits.head_read_timeout_ms = 300;
        config.limits.idle_timeout_ms = 600;
        config.limits.body_read_timeout_ms = 300;
    })
    .await;
    let backend = Backend::start("one").await;
    let mut quick = route("svc", 1, &["a.test"], &[backend.address]);
    quick.request_timeout_ms = 500;
    rig.client.put(&quick).await.unwrap();

    for silent in [&b""[..], b"P", b"PR", b"GET / HTTP/1.1\r\nHost: a.te"] {
        let begin = std::time::Instant::now();
        assert!(!raw(rig.address, silent).await.contains("200 OK"));
        assert!(begin.elapsed() < Duration::from_millis(1_500), "{silent:?} took {:?}", begin.elapsed());
    }
    // Dripping does not prolong it.
    let mut dripping = TcpStream::connect(rig.address).await.unwrap();
    let begin = std::time::Instant::now();
    dripping.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    while dripping.write_all(b"X").await.is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(3), "a dripping head is never given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A keep-alive connection lives longer than a head may take, and ends.
    let begin = std::time::Instant::now();
    let idle = raw(rig.address, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(idle.ends_with("one"), "{idle}");
    assert!(begin.elapsed() > Duration::from_millis(500) && begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());

    let stalled = raw(rig.address, b"POST /hash HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc").await;
    assert!(stalled.starts_with("HTTP/1.1 408"), "{stalled}");

    let slow = rig.get("/slow?5000").await;
    assert_eq!((slow.status, slow.headers["seaway-error"].to_str().unwrap()), (StatusCode::GATEWAY_TIMEOUT, "timed_out"));
    assert_eq!(rig.get("/slow?200").await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let rig = Rig::with(|config| config.limits.connections_per_address_max = 3).await;
    let backend = Backend::start("one").await;
    rig.serve(1, &[backend.address]).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = KeepAlive::open(rig.address).await.unwrap();
        connection.send(request("a.test", "/").body(empty()).unwrap()).await.unwrap();
        open.push(connection);
    }
    assert!(send(rig.address, request("a.test", "/").body(empty()).unwrap()).await.is_err());
    assert_eq!(rig.client.metrics().await.unwrap().connections_refused, 1);
    open.pop();
    until("the place is free again", async || send(rig.address, request("a.test", "/").body(empty()).unwrap()).await.is_ok()).await;
}

#[tokio::test]
async fn requests_in_flight_of_one_service_are_bounded() {
    let rig = Rig::with(|config| config.limits.in_flight_per_service_max = 2).await;
    let backend = Backend::start("one").await;
    rig.serve(1, &[backend.address]).await;
    let address = rig.address;
    let slow: Vec<_> = (0..2).map(|_| tokio::spawn(async move { crate::rig::get(address, "a.test", "/slow?500").await })).collect();
    until("both run", async || rig.metrics().await.in_flight == 2).await;
    let answer = rig.get("/").await;
    assert_eq!((answer.status, answer.headers["retry-after"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    for request in slow {
        assert_eq!(request.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(rig.get("/").await.status, StatusCode::OK);
}
