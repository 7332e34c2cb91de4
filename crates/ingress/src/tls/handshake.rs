//! The handshake: reads the ClientHello, finds the certificate (from disk the first time), bounded in time and number.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{Acceptor, ClientHello, ResolvesServerCert, ServerSessionMemoryCache},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::{StartHandshake, server::TlsStream};

use super::TlsFacts;
use crate::{acme::Answers, certificate_book::CertificateBook, host};

/// A ClientHello that is longer is no browser's.
const HELLO_BYTES_MAX: usize = 32 * 1024;
const READ_BYTES: usize = 4 * 1024;
/// Sessions of TLS 1.2 clients that know no tickets.
const SESSIONS_MAX: usize = 4_096;
const ALPN_CHALLENGE: &[u8] = b"acme-tls/1";
const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
/// Alert, TLS 1.2 record, 2 bytes: fatal, `unrecognized_name` (RFC 6066).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Everything that a handshake needs; shared by all connections.
pub struct Handshakes {
    config: Arc<ServerConfig>,
    book: Arc<CertificateBook>,
    answers: Arc<Answers>,
    at_once: Semaphore,
    timeout: Duration,
}

/// How a handshake ended.
pub enum Greeting {
    Client {
        stream: Box<TlsStream<TcpStream>>,
        facts: Arc<TlsFacts>,
        is_http2: bool,
    },
    /// An authority looked at the answer to its challenge; nothing more comes.
    Challenge,
    /// The name has no certificate (or none was asked for).
    Unknown,
}

impl Handshakes {
    /// `at_once_max` handshakes run at the same time; others wait within their own `timeout`.
    ///
    /// # Errors
    /// The system gives no randomness for the keys of tickets.
    pub fn new(book: Arc<CertificateBook>, answers: Arc<Answers>, at_once_max: usize, timeout: Duration) -> Result<Self, rustls::Error> {
        let mut config = builder()?.with_cert_resolver(Arc::new(Resolver(Arc::clone(&book))));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok(Self { config: Arc::new(config), book, answers, at_once: Semaphore::new(at_once_max), timeout })
    }

    /// # Errors
    /// The client broke off, spoke no TLS, or was too slow.
    pub async fn greet(&self, stream: TcpStream) -> io::Result<Greeting> {
        tokio::time::timeout(self.timeout, self.greet_patiently(stream)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn greet_patiently(&self, mut stream: TcpStream) -> io::Result<Greeting> {
        let accepted = read_hello(&mut stream).await?;
        let _permit = self.at_once.acquire().await.map_err(io::Error::other)?;
        let start = StartHandshake::from_parts(accepted, stream);
        let hello = start.client_hello();
        let name = hello.server_name().and_then(|name| host::normalise(name).ok()).map(std::borrow::Cow::into_owned);
        let is_challenge = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_CHALLENGE));
        let Some(name) = name else { return refuse(start.io).await };
        if is_challenge {
            let Some(key) = self.answers.tls_alpn(&name) else { return refuse(start.io).await };
            let mut config = builder().map_err(io::Error::other)?.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
            config.alpn_protocols = vec![ALPN_CHALLENGE.to_vec()];
            let mut stream = start.into_stream(Arc::new(config)).await?;
            stream.shutdown().await?;
            return Ok(Greeting::Challenge);
        }
        let Some(entry) = self.book.ready(&name).await else { return refuse(start.io).await };
        let stream = start.into_stream(Arc::clone(&self.config)).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
        let facts = Arc::new(TlsFacts { server_name: name.into(), entry });
        Ok(Greeting::Client { stream: Box::new(stream), facts, is_http2 })
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?.with_no_client_auth())
}

async fn read_hello(stream: &mut TcpStream) -> io::Result<rustls::server::Accepted> {
    let mut acceptor = Acceptor::default();
    let mut buffer = [0u8; READ_BYTES];
    let mut total = 0;
    loop {
        let count = stream.read(&mut buffer).await?;
        total += count;
        if count == 0 || total > HELLO_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut unread = buffer.get(..count).unwrap_or_default();
        while !unread.is_empty() {
            acceptor.read_tls(&mut unread)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write_all(&mut bytes)?;
                stream.write_all(&bytes).await?;
                return Err(io::Error::other(error));
            }
        }
    }
}

async fn refuse(mut stream: TcpStream) -> io::Result<Greeting> {
    stream.write_all(&UNRECOGNIZED_NAME).await?;
    stream.shutdown().await?;
    Ok(Greeting::Unknown)
}

/// The key was made ready before the handshake went on.
#[derive(Debug)]
struct Resolver(Arc<CertificateBook>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = host::normalise(hello.server_name()?).ok()?;
        self.0.find(&name)?.key.load_full()
    }
}
