//! Bodies and tunnels that take their time.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    backend::{Backend, hex, websocket_echo},
    rig::{Body, KeepAlive, Rig, empty, request, send},
};

const MIB: usize = 1024 * 1024;

fn chunks(count: usize) -> Body {
    let chunk = Bytes::from(vec![7u8; MIB]);
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter((0..count).map(move |_| Ok(Frame::data(chunk.clone()))))))
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let mut hash = Sha256::new();
    for _ in 0..100 {
        hash.update(vec![7u8; MIB]);
    }
    let upload = request("a.test", "/hash").method(Method::POST).body(chunks(100)).unwrap();
    let answer = send(rig.address, upload).await.unwrap();
    assert_eq!(answer.body, format!("{} {}", 100 * MIB, hex(&hash.finalize())));
}

#[tokio::test]
async fn a_large_download_arrives_whole_and_slow_readers_hold_the_app_back() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let get = request("a.test", &format!("/big?{}", 100 * MIB)).body(empty()).unwrap();
    let mut body = KeepAlive::open(rig.address).await.unwrap().start(get).await.unwrap().into_body();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap();
        let data = frame.data_ref().unwrap();
        assert!(data.iter().all(|byte| *byte == b'x'));
        size += data.len();
    }
    assert_eq!(size, 100 * MIB);
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let get = request("a.test", "/events").body(empty()).unwrap();
    let mut connection = KeepAlive::open(rig.address).await.unwrap();
    let mut body = connection.start(get).await.unwrap().into_body();
    for count in 0..5 {
        let frame = tokio::time::timeout(Duration::from_secs(2), body.frame()).await.expect("buffered").unwrap().unwrap();
        assert_eq!(frame.data_ref().unwrap(), &Bytes::from(format!("data: {count}\n\n")));
    }
    assert_eq!(rig.metrics().await.in_flight, 1);
    drop((body, connection));
    crate::rig::until("the request ends with its client", async || rig.metrics().await.in_flight == 0).await;
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let upload = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|text| (Ok(Frame::data(Bytes::from(text))), receiver))
    });
    let post = request("a.test", "/echo").method(Method::POST).body(BodyExt::boxed(StreamBody::new(upload))).unwrap();
    sender.send("first").await.unwrap();
    let mut body = KeepAlive::open(rig.address).await.unwrap().start(post).await.unwrap().into_body();
    for text in ["first", "second", "third"] {
        if text != "first" {
            sender.send(text).await.unwrap();
        }
        let frame = tokio::time::timeout(Duration::from_secs(2), body.frame()).await.expect("buffered").unwrap().unwrap();
        assert_eq!(frame.data_ref().unwrap(), text);
    }
    drop(sender);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let head = b"POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut first = [0u8; 25];
    tokio::time::timeout(Duration::from_secs(2), stream.read_exact(&mut first)).await.expect("no 100").unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK") && rest.contains("hello"), "{rest}");
}

#[tokio::test]
async fn a_websocket_echoes_in_both_directions() {
    let rig = Rig::start().await;
    rig.serve(1, &[websocket_echo().await]).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://a.test/socket", stream).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert!(response.headers().contains_key("x-request-id"));
    for size in [1, 125, 126, 70_000, 1_000_000] {
        let text = "x".repeat(size);
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    assert_eq!(rig.metrics().await.in_flight, 1);
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    crate::rig::until("the tunnel ends", async || rig.metrics().await.in_flight == 0).await;
    assert_eq!(rig.metrics().await.status_1xx, 1);
}

#[tokio::test]
async fn an_app_that_refuses_a_websocket_is_heard() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let error = tokio_tungstenite::client_async("ws://a.test/refuse", stream).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    crate::rig::until("nothing is left", async || rig.metrics().await.in_flight == 0).await;
}
