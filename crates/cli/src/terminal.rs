//! A terminal in a replica: this terminal in raw mode, a WebSocket between.

use std::io::IsTerminal;
use std::sync::Arc;

use contract::runs::Terminal;
use futures_util::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::output::Output;

const READ_BYTES: usize = 4096;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Puts this terminal back as it was, however the conversation ends.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _terminal_is_gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Talks until the command or the person ends; answers the command's exit code.
pub async fn converse(api: &Api, ticket: &Terminal, output: Output) -> Result<u8> {
    let mut socket = connect(api, &ticket.path).await?;
    let (columns, rows) = size();
    let hello = serde_json::json!({"ticket": ticket.ticket, "columns": columns, "rows": rows}).to_string();
    socket.send(Message::text(hello)).await.map_err(|error| broken(&error))?;
    let _raw = if std::io::stdin().is_terminal() { Raw::enter() } else { None };
    let mut resized = signal(SignalKind::window_change()).map_err(|error| broken(&error))?;
    let mut input = tokio::io::stdin();
    let mut input_open = true;
    let mut buffer = vec![0u8; READ_BYTES];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => output.bytes(&bytes),
                Some(Ok(Message::Text(text))) => output.bytes(text.as_bytes()),
                Some(Ok(Message::Close(frame))) => return end(frame.map(|frame| frame.reason.to_string()).unwrap_or_default()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(&error)),
                None => return Err(Failure::other("the connection ended")),
            },
            count = input.read(&mut buffer), if input_open => match count {
                // End of the input: what the program behind reads as Ctrl-D.
                Ok(0) => {
                    input_open = false;
                    socket.send(Message::binary(vec![4u8])).await.map_err(|error| broken(&error))?;
                }
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                    socket.send(Message::binary(bytes)).await.map_err(|error| broken(&error))?;
                }
                Err(_) => input_open = false,
            },
            _ = resized.recv() => {
                let (columns, rows) = size();
                let text = serde_json::json!({"resize": {"columns": columns, "rows": rows}}).to_string();
                socket.send(Message::text(text)).await.map_err(|error| broken(&error))?;
            }
        }
    }
}

fn end(reason: String) -> Result<u8> {
    match reason.strip_prefix("exit ").and_then(|code| code.parse::<i64>().ok()) {
        Some(code) => Ok(u8::try_from(code).unwrap_or(1)),
        None => Err(Failure::other(if reason.is_empty() { "the terminal ended".to_owned() } else { reason })),
    }
}

fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout()).map_or((80, 24), |size| (size.ws_col.max(1), size.ws_row.max(1)))
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::other(format!("the connection to the terminal broke: {error}"))
}

async fn connect(api: &Api, path: &str) -> Result<WebSocketStream<Box<dyn Stream>>> {
    let url: reqwest::Url = api.url().parse().map_err(|_| Failure::other("the instance's address is not understood"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let fail = |error: std::io::Error| Failure::Unreachable { url: api.url().to_owned(), reason: error.to_string() };
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(fail)?;
    let secure = url.scheme() == "https";
    let stream: Box<dyn Stream> = if secure { Box::new(tls(&host, tcp).await.map_err(fail)?) } else { Box::new(tcp) };
    let address = format!("{}{path}", api.url().replacen("http", "ws", 1));
    let request = address.into_client_request().map_err(|error| broken(&error))?;
    client_async(request, stream).await.map(|(socket, _)| socket).map_err(|error| broken(&error))
}

async fn tls(host: &str, tcp: TcpStream) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}
