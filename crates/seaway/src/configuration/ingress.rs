//! The ingress, as its own process and as the control plane sees it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::{Invalid, Values};

#[derive(Debug, Clone)]
pub struct IngressConfiguration {
    pub managed: bool,
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub https_port: Option<u16>,
    pub proxy_protocol: bool,
    pub trusted_proxies: Vec<IpNet>,
    pub metrics_listen: Option<SocketAddr>,
    pub public_port: u16,
    pub https: bool,
    pub base_domain: String,
}

impl IngressConfiguration {
    pub fn of(values: &Values) -> Result<Self, Invalid> {
        let listen: Vec<SocketAddr> = values.list("ingress_listen", "an address with a port, e.g. 0.0.0.0:8000")?;
        let Some(first) = listen.first() else { return Err(values.invalid("ingress_listen", "no address is given")) };
        let public_port = match values.is_set("ingress_public_port") {
            true => values.parse("ingress_public_port", "a port")?,
            false => first.port(),
        };
        let https_port = match values.is_set("ingress_https_port") {
            true => Some(values.parse("ingress_https_port", "a port")?),
            false => None,
        };
        let base_domain = values.text("base_domain").trim().trim_end_matches('.').to_ascii_lowercase();
        let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
        if base_domain.is_empty()
            || base_domain.len() > 190
            || !base_domain.chars().all(letter)
            || base_domain.split('.').any(str::is_empty)
        {
            return Err(values.invalid("base_domain", format!("{base_domain:?} is not a domain such as apps.example.org")));
        }
        Ok(Self {
            managed: values.yes("ingress_managed")?,
            listen,
            listen_tls: values.list("ingress_listen_tls", "an address with a port, e.g. 0.0.0.0:443")?,
            https_port,
            proxy_protocol: values.yes("ingress_proxy_protocol")?,
            trusted_proxies: values.list("ingress_trusted_proxies", "a network, e.g. 10.0.0.0/8")?,
            metrics_listen: match values.is_set("ingress_metrics_listen") {
                true => Some(values.parse("ingress_metrics_listen", "an address with a port, e.g. 127.0.0.1:9100")?),
                false => None,
            },
            public_port,
            https: values.yes("ingress_https")?,
            base_domain,
        })
    }

    /// What the process itself is started with.
    pub fn of_process(&self, data_dir: &Path) -> ingress::IngressConfig {
        let mut config = ingress::IngressConfig::new(self.listen.clone(), admin_socket(data_dir), state_dir(data_dir));
        config.listen_tls.clone_from(&self.listen_tls);
        config.https_port = self.https_port;
        config.proxy_protocol = self.proxy_protocol;
        config.trusted_proxies.clone_from(&self.trusted_proxies);
        config.metrics_listen = self.metrics_listen;
        config
    }

    /// Where this machine reaches the ingress.
    pub fn local_address(&self) -> Option<SocketAddr> {
        let mut address = *self.listen.first()?;
        if address.ip().is_unspecified() {
            let loopback = if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        Some(address)
    }
}

pub fn state_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("ingress")
}

pub fn admin_socket(data_dir: &Path) -> PathBuf {
    state_dir(data_dir).join("admin.sock")
}
