//! The server side on this machine.

use std::path::PathBuf;

use deployer::network::firewall::FirewallMode;
use ipnet::{IpNet, Ipv4Net};

use super::{Invalid, Values};

#[derive(Debug, Clone)]
pub struct ServerConfiguration {
    pub docker_socket: PathBuf,
    pub firewall: FirewallMode,
    pub address_range: Ipv4Net,
    pub ranges_denied: Vec<IpNet>,
    pub builds_at_once: u32,
    pub deployments_at_once: usize,
    pub bind_allowed: Vec<PathBuf>,
    pub egress_allow: Vec<IpNet>,
    /// PEM.
    pub egress_ca: Option<String>,
}

impl ServerConfiguration {
    pub fn of(values: &Values) -> Result<Self, Invalid> {
        let docker_host = values.text("docker_host").to_owned();
        let socket = docker_host.strip_prefix("unix://").unwrap_or(&docker_host);
        if !socket.starts_with('/') {
            return Err(values.invalid("docker_host", format!("{docker_host:?} is not unix:///PATH: the engine must be on this machine")));
        }
        let docker_socket = PathBuf::from(socket);
        let builds_at_once: u32 = values.parse("builds_at_once", "a whole number")?;
        if !(1..=64).contains(&builds_at_once) {
            return Err(values.invalid("builds_at_once", "choose 1 to 64"));
        }
        let deployments_at_once: usize = values.parse("deployments_at_once", "a whole number")?;
        if !(1..=64).contains(&deployments_at_once) {
            return Err(values.invalid("deployments_at_once", "choose 1 to 64"));
        }
        let bind_allowed: Vec<PathBuf> =
            values.text("bind_allowed").split([':', ',']).map(str::trim).filter(|part| !part.is_empty()).map(PathBuf::from).collect();
        if let Some(path) = bind_allowed.iter().find(|path| !path.is_absolute() || path.as_os_str() == "/") {
            return Err(values.invalid("bind_allowed", format!("{} must be an absolute folder, and not /", path.display())));
        }
        let egress_ca = match values.text("egress_ca_file") {
            "" => None,
            path => Some(std::fs::read_to_string(path).map_err(|error| values.invalid("egress_ca_file", format!("{path}: {error}")))?),
        };
        Ok(Self {
            docker_socket,
            firewall: values.one_of("firewall", &[("required", FirewallMode::Required), ("off", FirewallMode::Off)])?,
            address_range: values.parse("address_range", "an IPv4 network, e.g. 10.213.0.0/16")?,
            ranges_denied: values.list("ranges_denied", "a network, e.g. 10.0.0.0/8")?,
            builds_at_once,
            deployments_at_once,
            bind_allowed,
            egress_allow: values.list("egress_allow", "a network, e.g. 10.1.0.0/16")?,
            egress_ca,
        })
    }
}
