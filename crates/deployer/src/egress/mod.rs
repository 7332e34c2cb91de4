//! Connections to addresses that a user chose (rule 5): resolve once, check every answer, pin the checked address.
//!
//! It must never connect to an address that was not checked, follow a redirect by itself, or use a proxy variable.
//!
//! To allow a private network on an instance of one's own, add it to [`EgressPolicy::allow`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;

pub use domain::address::{refusal, unmapped};

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const HOST_BYTES_MAX: usize = 253;
const ADDRESSES_MAX: usize = 64;

/// What may be reached.
#[derive(Clone, Default)]
pub struct EgressPolicy {
    /// Ranges that are reachable although they are not public, on every port: the operator's own networks, tests.
    pub allow: Vec<IpNet>,
    /// Ranges that are never reachable, not even when `allow` holds them.
    pub deny: Vec<IpNet>,
    /// Hosts with the port that is never reachable: the control plane's database. Looked up with each connection.
    pub hosts_denied: Vec<(String, u16)>,
    /// Ports beside the purpose's own.
    pub ports: Vec<u16>,
    /// Also `http://`, without encryption.
    pub plain_http: bool,
    /// Certificates in PEM that are trusted beside the system's; replaces the system's for git.
    pub ca_bundle: Option<PathBuf>,
    /// How names are resolved; the system's resolver when `None`.
    pub resolver: Option<Arc<dyn Resolve>>,
}

impl std::fmt::Debug for EgressPolicy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EgressPolicy").field("allow", &self.allow).field("deny", &self.deny).finish_non_exhaustive()
    }
}

/// Answers the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// # Errors
    /// The name has no address or the resolver does not answer.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Http,
    Ssh,
}

impl Purpose {
    fn ports(self) -> &'static [u16] {
        match self {
            Self::Http => &[443, 80],
            Self::Ssh => &[22],
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("“{host}” is not a host name")]
    InvalidHost { host: String },
    #[error("the name {host} cannot be resolved")]
    Unresolved {
        host: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{host} is {reason} ({address}), which this instance does not connect to")]
    Refused { host: String, address: IpAddr, reason: &'static str },
    #[error("port {port} of {host} is not one that this instance connects to")]
    Port { host: String, port: u16 },
    #[error("“{url}” is not an address for http or https")]
    InvalidUrl { url: String },
    #[error("the client for outside connections cannot be made: {reason}")]
    Client { reason: String },
}

/// A host whose addresses are checked. Connect to these addresses only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub host: String,
    pub port: u16,
    pub addresses: Vec<SocketAddr>,
}

impl EgressPolicy {
    /// Resolves the host once and checks every answer and the port.
    ///
    /// # Errors
    /// [`EgressError`]: one refused answer refuses the whole name.
    pub async fn pin(&self, host: &str, port: u16, purpose: Purpose) -> Result<Pinned, EgressError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let literal = bare.parse::<IpAddr>().ok();
        if literal.is_none() && !is_host_name(bare) {
            return Err(EgressError::InvalidHost { host: host.to_owned() });
        }
        let addresses = match literal {
            Some(address) => vec![address],
            None => self.resolve(bare).await?,
        };
        for address in &addresses {
            self.check(bare, *address)?;
        }
        let trusted = addresses.iter().all(|address| self.is_allowed(*address));
        if !trusted && !purpose.ports().contains(&port) && !self.ports.contains(&port) {
            return Err(EgressError::Port { host: bare.to_owned(), port });
        }
        for (denied, _) in self.hosts_denied.iter().filter(|(_, denied)| *denied == port) {
            // One that has no address now cannot be reached either.
            let closed = match denied.parse() {
                Ok(address) => vec![address],
                Err(_) => self.resolve(denied).await.unwrap_or_default(),
            };
            if let Some(address) = addresses.iter().find(|address| closed.iter().any(|closed| unmapped(*closed) == unmapped(**address))) {
                return Err(EgressError::Refused { host: bare.to_owned(), address: *address, reason: "this instance's own database" });
            }
        }
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        Ok(Pinned { host: bare.to_ascii_lowercase(), port, addresses })
    }

    /// Checks one address. `host` is only named in the error.
    ///
    /// # Errors
    /// [`EgressError::Refused`].
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), EgressError> {
        let refused = |reason| EgressError::Refused { host: host.to_owned(), address, reason };
        let inner = unmapped(address);
        if self.deny.iter().any(|range| range.contains(&inner) || range.contains(&address)) {
            return Err(refused("in a network that the operator has closed"));
        }
        if self.is_allowed(address) {
            return Ok(());
        }
        refusal(address).map_or(Ok(()), |reason| Err(refused(reason)))
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let inner = unmapped(address);
        self.allow.iter().any(|range| range.contains(&inner))
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let unresolved = |source| EgressError::Unresolved { host: host.to_owned(), source };
        let work = async {
            match &self.resolver {
                Some(resolver) => resolver.resolve(host).await,
                None => Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()),
            }
        };
        let mut addresses: Vec<IpAddr> = tokio::time::timeout(RESOLVE_TIMEOUT, work)
            .await
            .map_err(|_elapsed| unresolved(std::io::ErrorKind::TimedOut.into()))?
            .map_err(unresolved)?;
        let mut seen = Vec::new();
        addresses.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(unresolved(std::io::ErrorKind::NotFound.into()));
        }
        Ok(addresses)
    }

    /// Checks the address of a URL and answers a client that can reach only it: pinned, without redirects or proxies.
    ///
    /// # Errors
    /// [`EgressError`].
    pub async fn client(&self, url: &reqwest::Url, timeout: Duration) -> Result<reqwest::Client, EgressError> {
        let invalid = || EgressError::InvalidUrl { url: without_credentials(url) };
        let allowed = url.scheme() == "https" || (self.plain_http && url.scheme() == "http");
        if !allowed {
            return Err(invalid());
        }
        let host = url.host_str().ok_or_else(invalid)?;
        let port = url.port_or_known_default().ok_or_else(invalid)?;
        let pinned = self.pin(host, port, Purpose::Http).await?;
        // Another part of the process may have installed the same provider already.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .user_agent("seaway")
            .resolve_to_addrs(host, &pinned.addresses);
        if let Some(path) = &self.ca_bundle {
            let failed = |reason: String| EgressError::Client { reason };
            let bundle = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&bundle).map_err(|error| failed(error.to_string()))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(|error| EgressError::Client { reason: error.to_string() })
    }
}

/// The URL as it may be shown.
pub fn without_credentials(url: &reqwest::Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that cannot carry credentials.
    let _cannot = shown.set_password(None);
    let _cannot = shown.set_username("");
    shown.set_query(None);
    shown.to_string()
}

/// Letters, digits, `-`, `_` and dots; never a leading `-`, never empty.
fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= HOST_BYTES_MAX
        && !host.starts_with(['-', '.'])
        && !host.contains("..")
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Answers(Vec<Vec<&'static str>>, AtomicUsize);

    #[async_trait]
    impl Resolve for Answers {
        async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
            let turn = self.1.fetch_add(1, Ordering::SeqCst);
            Ok(self.0[turn.min(self.0.len() - 1)].iter().map(|text| text.parse().unwrap()).collect())
        }
    }

    fn policy(answers: Vec<Vec<&'static str>>) -> EgressPolicy {
        EgressPolicy { resolver: Some(Arc::new(Answers(answers, AtomicUsize::new(0)))), ..EgressPolicy::default() }
    }

    #[tokio::test]
    async fn one_refused_answer_refuses_the_name() {
        let error = policy(vec![vec!["8.8.8.8", "10.0.0.1"]]).pin("two.example", 443, Purpose::Http).await.unwrap_err();
        assert!(matches!(error, EgressError::Refused { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_checked_answer_is_pinned() {
        // The second answer would be the attack: nobody asks for it.
        let pinned = policy(vec![vec!["8.8.8.8"], vec!["127.0.0.1"]]).pin("Rebind.example", 443, Purpose::Http).await.unwrap();
        assert_eq!(pinned.addresses, vec!["8.8.8.8:443".parse().unwrap()]);
        assert_eq!(pinned.host, "rebind.example");
    }

    #[tokio::test]
    async fn ports_and_host_names_are_checked() {
        let policy = policy(vec![vec!["8.8.8.8"]]);
        assert!(matches!(policy.pin("a.example", 6379, Purpose::Http).await.unwrap_err(), EgressError::Port { .. }));
        assert!(matches!(policy.pin("a.example", 443, Purpose::Ssh).await.unwrap_err(), EgressError::Port { .. }));
        policy.pin("a.example", 22, Purpose::Ssh).await.unwrap();
        for host in ["", "-oProxyCommand=x", "a b", "a;b", "a/b", "a..b", "ä.example", "$(id)"] {
            assert!(matches!(policy.pin(host, 443, Purpose::Http).await.unwrap_err(), EgressError::InvalidHost { .. }), "{host}");
        }
    }

    #[tokio::test]
    async fn literals_are_checked_and_allow_and_deny_hold() {
        let mut policy = EgressPolicy::default();
        for host in ["127.0.0.1", "[::1]", "::ffff:10.0.0.1", "169.254.169.254", "0.0.0.0", "localhost"] {
            assert!(matches!(policy.pin(host, 443, Purpose::Http).await.unwrap_err(), EgressError::Refused { .. }), "{host}");
        }
        policy.allow = vec!["127.0.0.0/8".parse().unwrap()];
        policy.pin("127.0.0.1", 12345, Purpose::Ssh).await.unwrap();
        policy.deny = vec!["127.0.0.1/32".parse().unwrap()];
        policy.pin("127.0.0.1", 80, Purpose::Http).await.unwrap_err();
        policy.deny.clear();
        policy.hosts_denied = vec![("localhost".into(), 5432)];
        for host in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert!(matches!(policy.pin(host, 5432, Purpose::Http).await.unwrap_err(), EgressError::Refused { .. }), "{host}");
        }
        policy.pin("127.0.0.1", 5433, Purpose::Http).await.unwrap();
    }

    #[tokio::test]
    async fn the_client_refuses_before_it_connects() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: reqwest::Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let mut policy = EgressPolicy { plain_http: true, ..EgressPolicy::default() };
        assert!(matches!(policy.client(&url, CONNECT_TIMEOUT).await.unwrap_err(), EgressError::Refused { .. }));
        // Number forms of an address are the same address.
        for text in ["http://0x7f000001/", "http://2130706433/", "http://017700000001/", "http://127.1/"] {
            assert!(
                matches!(policy.client(&text.parse().unwrap(), CONNECT_TIMEOUT).await.unwrap_err(), EgressError::Refused { .. }),
                "{text}"
            );
        }
        policy.plain_http = false;
        assert!(matches!(policy.client(&url, CONNECT_TIMEOUT).await.unwrap_err(), EgressError::InvalidUrl { .. }));
        assert!(policy.client(&"ftp://a.example/".parse().unwrap(), CONNECT_TIMEOUT).await.is_err());
    }
}
