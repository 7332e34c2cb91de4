//! Answers 503 on the API's port while the database is not ready: a load balancer or a person sees why, instead of nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;
const CONNECTIONS_MAX: usize = 64;
const PROBLEM: &str = r#"{"type":"/problems/unavailable","title":"Not available","status":503,"code":"unavailable","detail":"Seaway starts: it waits for its database or brings it up to date. Try again in a few seconds.","retryable":true}"#;

pub struct StartingPage {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl StartingPage {
    /// # Errors
    /// When a port is taken: better now than after the migrations.
    pub async fn open(addresses: &[SocketAddr]) -> Result<Self> {
        let page = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for address in addresses {
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address}: the port is taken or not allowed; choose another with SEAWAY_LISTEN")
            })?;
            page.tasks.spawn(accept(listener, page.stop.clone()));
        }
        Ok(page)
    }

    /// Frees the ports.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(listener: TcpListener, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if connections.len() < CONNECTIONS_MAX {
            connections.spawn(tokio::time::timeout(REQUEST_TIMEOUT, answer(stream)));
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0u8; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 3\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{PROBLEM}",
        PROBLEM.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_503_and_frees_the_port() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let page = StartingPage::open(&[address]).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 3") && answer.ends_with('}'), "{answer}");
        page.close().await;
        TcpListener::bind(address).await.unwrap();
    }
}
