//! The table of `conformance.json`: raw requests, the status of the first answer, and what the app saw (method, target, bytes
//! of body). `python3 -m bench conformance` sends the same through HAProxy and prints where the two differ.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::rig::Rig;

#[derive(Deserialize)]
struct Row {
    name: String,
    request: String,
    status: u16,
    app: Vec<String>,
}

/// Answers 200 to everything and remembers it.
async fn recorder() -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&all);
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let seen = Arc::clone(&seen);
                    async move {
                        let (parts, body) = request.into_parts();
                        // A request whose body breaks off is one that the app drops.
                        let body = body.collect().await?;
                        seen.lock().unwrap().push(format!("{} {} {}", parts.method, parts.uri, body.to_bytes().len()));
                        Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                    }
                });
                let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn every_row_of_the_table_holds() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("conformance.json")).unwrap();
    let rig = Rig::with(|config| config.limits.idle_timeout_ms = 500).await;
    let (address, seen) = recorder().await;
    rig.serve(1, &[address]).await;
    let mut wrong = Vec::new();
    for row in &rows {
        seen.lock().unwrap().clear();
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(&row.request.chars().map(|letter| letter as u8).collect::<Vec<_>>()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        let status: u16 = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let app = seen.lock().unwrap().clone();
        if status != row.status || app != row.app || closed.is_err() {
            wrong.push(format!("{}: {status} and {app:?}, wanted {} and {:?}, closed {}", row.name, row.status, row.app, closed.is_ok()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
