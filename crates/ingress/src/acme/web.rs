//! Requests to authorities and to the APIs of DNS providers: https only, bounded in time and size, and never to a private
//! address unless the operator said so (security.md, Egress).

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tower_service::Service;

const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A longer Retry-After is taken for this one.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(48 * 3600);

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("{host} has the address {address}, which is {reason}; it is not asked")]
    Private { host: String, address: IpAddr, reason: &'static str },
    #[error("{0} does not begin with https://")]
    Plain(String),
    #[error("the certificate of the authority is not usable: {0}")]
    Authority(String),
    #[error("{host} did not answer: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Slow { host: String },
}

/// Which addresses may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    pub may_be_private: bool,
    /// Tests against doubles only.
    pub may_be_plain: bool,
}

pub struct Web {
    client: Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>,
    reach: Reach,
    /// Of the last refusal that named one.
    retry_after: Mutex<Option<Duration>>,
}

impl Web {
    /// Trusts the public authorities, or only `authority_pem`.
    ///
    /// # Errors
    /// `authority_pem` holds no certificate.
    pub fn new(authority_pem: Option<&str>, reach: Reach) -> Result<Self, WebError> {
        let mut roots = RootCertStore::empty();
        match authority_pem {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|error| WebError::Authority(error.to_string()))?;
                    roots.add(certificate).map_err(|error| WebError::Authority(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(WebError::Authority("it holds no certificate in PEM form".to_owned()));
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| WebError::Authority(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new_with_resolver(Guarded(reach));
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(20)).build(https);
        Ok(Self { client, reach, retry_after: Mutex::default() })
    }

    /// # Errors
    /// No answer. An answer of any status is `Ok`.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WebError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        if request.uri().scheme_str() != Some("https") && !self.reach.may_be_plain {
            return Err(WebError::Plain(request.uri().to_string()));
        }
        // An address in the URL itself is not looked up, so the resolver does not see it.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            self.reach.check(&host, address)?;
        }
        let exchange = async {
            let unreachable = |reason: String| WebError::Unreachable { host: host.clone(), reason };
            let response = self.client.request(request.map(Full::new)).await.map_err(|error| unreachable(in_full(&error)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| unreachable(error.to_string()))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        let response =
            tokio::time::timeout(REQUEST_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(WebError::Slow { host: host.clone() }))?;
        if matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            && let Some(seconds) =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok())
        {
            let told = Duration::from_secs(seconds).min(RETRY_AFTER_MAX);
            *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        }
        Ok(response)
    }

    /// What the last refusal said; taken.
    pub fn take_retry_after(&self) -> Option<Duration> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the ACME library sends through.
pub struct AcmeHttp(pub Arc<Web>);

impl instant_acme::HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<instant_acme::BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<instant_acme::BytesResponse, instant_acme::Error>> + Send>> {
        let web = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let response = web.send(Request::from_parts(parts, body)).await.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            Ok(instant_acme::BytesResponse::from(response.map(Full::new)))
        })
    }
}

impl Reach {
    pub fn check(self, host: &str, address: IpAddr) -> Result<(), WebError> {
        match domain::address::refusal(address).filter(|_| !self.may_be_private) {
            Some(reason) => Err(WebError::Private { host: host.to_owned(), address, reason }),
            None => Ok(()),
        }
    }
}

/// Looks names up; one refused address refuses the name.
#[derive(Debug, Clone)]
struct Guarded(Reach);

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move { Ok(reach.look_up(name.as_str(), 0).await?.into_iter()) })
    }
}

impl Reach {
    /// # Errors
    /// The name has no address, or one that is refused.
    pub async fn look_up(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        for address in &addresses {
            self.check(host, address.ip()).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
        }
        Ok(addresses)
    }
}

/// hyper's errors say what happened in their sources.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}
