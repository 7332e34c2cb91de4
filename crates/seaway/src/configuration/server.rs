//! The server side on this machine.

use std::path::PathBuf;

use deployer::builder::BuilderChoice;
use deployer::disk::DiskSettings;
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
    pub egress_ports: Vec<u16>,
    pub git_over_http: bool,
    pub builder: BuilderChoice,
    pub frontends: Vec<String>,
    pub add_from_network: bool,
    pub disk: DiskSettings,
    pub replica_disk_bytes_max: Option<u64>,
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
        let frontends: Vec<String> = values.list("frontends", "an image")?;
        if let Some(image) = frontends.iter().find(|image| !is_pinned(image)) {
            return Err(values.invalid("frontends", format!("{image} is not pinned; write name@sha256:… with 64 characters")));
        }
        let builders = [("auto", BuilderChoice::Auto), ("buildkit", BuilderChoice::BuildKit), ("classic", BuilderChoice::Classic)];
        let bytes = |key| values.parse::<u64>(key, "a number of bytes").map(|bytes| Some(bytes).filter(|bytes| *bytes > 0));
        Ok(Self {
            egress_ports: values.list("egress_ports", "a port")?,
            git_over_http: values.yes("git_over_http")?,
            builder: values.one_of("builder", &builders)?,
            frontends,
            add_from_network: values.yes("dockerfile_add_from_network")?,
            disk: DiskSettings {
                used_percent_max: percent(values, "disk_used_percent_max")?,
                clean_percent: percent(values, "disk_clean_percent")?,
                build_cache_bytes_max: bytes("build_cache_bytes_max")?,
                build_cache_bytes_min: bytes("build_cache_bytes_min")?.unwrap_or(0),
            },
            replica_disk_bytes_max: bytes("replica_disk_bytes_max")?,
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

fn percent(values: &Values, key: &'static str) -> Result<u8, Invalid> {
    let percent: u8 = values.parse(key, "a whole number from 1 to 100")?;
    if (1..=100).contains(&percent) { Ok(percent) } else { Err(values.invalid(key, "choose 1 to 100")) }
}

fn is_pinned(image: &str) -> bool {
    image
        .split_once("@sha256:")
        .is_some_and(|(name, hex)| !name.is_empty() && hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
