//! One bridge network per environment, and the rules of the firewall around all of them.
//!
//! It must never let a container start before the rules exist (fail closed), and never touch a rule outside its own chains.

pub mod firewall;
pub mod plan;
pub mod rules;

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use domain::deployment::{Cause, Failure, Step};
use domain::id::EnvironmentId;
use ipnet::{IpNet, Ipv4Net};
use tokio::sync::Mutex;

use crate::engine::failure::{failure, is_conflict};
use crate::engine::{Engine, labels};

/// Default range; a host that uses it otherwise configures another.
pub const RANGE_DEFAULT: &str = "10.213.0.0/16";
/// 126 addresses an environment, 512 environments in the default range.
pub const PREFIX_LENGTH: u8 = 25;
const BRIDGE_OPTION: &str = "com.docker.network.bridge.name";
/// Kernel limit of an interface's name.
const BRIDGE_CHARACTERS: usize = 15;
/// Another program may take a network between our look and our creation.
const ATTEMPTS_MAX: usize = 8;

/// Networks of environments.
pub struct Networks {
    engine: Arc<Engine>,
    range: Ipv4Net,
    /// Names known to exist; spares a call in every deployment.
    known: Mutex<std::collections::HashSet<EnvironmentId>>,
}

/// The engine's name of an environment's network.
pub fn network_name(environment: EnvironmentId) -> String {
    format!("sw-{environment}")
}

fn bridge_name(instance: &str, environment: EnvironmentId) -> String {
    let (prefix, id) = (rules::Names::of(instance).bridge_prefix(), environment.to_string());
    let random = id.get(id.len().saturating_sub(BRIDGE_CHARACTERS.saturating_sub(prefix.len()))..).unwrap_or_default();
    format!("{prefix}{random}")
}

impl Networks {
    pub fn new(engine: Arc<Engine>, range: Ipv4Net) -> Self {
        Self { engine, range, known: Mutex::default() }
    }

    /// Makes the environment's network if it is not there. Answers its name.
    pub async fn ensure(&self, environment: EnvironmentId) -> Result<String, Failure> {
        let name = network_name(environment);
        let mut known = self.known.lock().await;
        if known.contains(&environment) {
            return Ok(name);
        }
        let mut refused: Vec<IpNet> = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let listed = self.engine.list_networks(false).await?;
            if let Some(found) = listed.iter().find(|network| network.name.as_deref() == Some(&name)) {
                let owner = found.labels.as_ref().and_then(|labels| labels.get(labels::INSTANCE));
                if owner.map(String::as_str) != Some(self.engine.instance()) {
                    return Err(Failure::new(
                        Cause::Engine,
                        Step::Create,
                        format!("A network named {name} exists and does not belong to this instance."),
                        "Remove or rename that network on the server.",
                    ));
                }
                // The rules know an instance's bridges by the beginning of their names.
                let bridge = found.options.as_ref().and_then(|options| options.get(BRIDGE_OPTION));
                if bridge != Some(&bridge_name(self.engine.instance(), environment)) {
                    return Err(Failure::new(
                        Cause::Engine,
                        Step::Create,
                        format!("The bridge of the network {name} has another name than this version gives it, so no rule covers it."),
                        "Stop the environment's services, remove this network on the server, then deploy them again.",
                    ));
                }
                known.insert(environment);
                return Ok(name);
            }
            let configs = listed.into_iter().filter_map(|network| network.ipam.and_then(|ipam| ipam.config)).flatten();
            let mut used: Vec<IpNet> = configs.filter_map(|config| config.subnet.and_then(|text| text.parse().ok())).collect();
            used.extend(plan::parse_routes(&tokio::fs::read_to_string("/proc/net/route").await.unwrap_or_default()));
            used.extend_from_slice(&refused);
            let Some(subnet) = plan::next_subnet(self.range, PREFIX_LENGTH, &used) else {
                return Err(exhausted(self.range));
            };
            match self.engine.create_network(self.request(environment, subnet)).await {
                Ok(()) => {
                    known.insert(environment);
                    return Ok(name);
                }
                Err(error) if is_conflict(&error) => {}
                Err(error) if error.to_string().to_lowercase().contains("overlap") => refused.push(IpNet::V4(subnet)),
                Err(error) => return Err(failure(Step::Create, "make the environment's network", &error)),
            }
        }
        Err(exhausted(self.range))
    }

    /// The engine was away: what was known may not be so any more.
    pub async fn forget(&self) {
        self.known.lock().await.clear();
    }

    /// `Ok(false)`: it was not there.
    pub async fn remove(&self, environment: EnvironmentId) -> Result<bool, String> {
        let mut known = self.known.lock().await;
        known.remove(&environment);
        self.engine.remove_network(&network_name(environment)).await.map_err(|error| error.to_string())
    }

    fn request(&self, environment: EnvironmentId, subnet: Ipv4Net) -> NetworkCreateRequest {
        let options = [
            (BRIDGE_OPTION, bridge_name(self.engine.instance(), environment)),
            ("com.docker.network.bridge.enable_icc", "true".to_owned()),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1".to_owned()),
        ];
        NetworkCreateRequest {
            name: network_name(environment),
            driver: Some("bridge".to_owned()),
            enable_ipv6: Some(false),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.to_string()),
                    gateway: subnet.hosts().next().map(|first| first.to_string()),
                    ..Default::default()
                }]),
                options: None,
            }),
            options: Some(options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<HashMap<_, _>>()),
            labels: Some(labels::network(self.engine.instance(), environment)),
            ..Default::default()
        }
    }
}

fn exhausted(range: Ipv4Net) -> Failure {
    Failure::new(
        Cause::Engine,
        Step::Create,
        format!("No network is free in {range} for one more environment."),
        "Remove environments that are not used, or give the server a larger address range.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FixedClock, SeededEntropy};

    #[test]
    fn a_bridge_is_named_so_that_the_rules_cover_it_and_the_kernel_takes_it() {
        let bridge = bridge_name("0123456789abcdef", EnvironmentId::new(&FixedClock::default(), &SeededEntropy::new(1)));
        assert!(bridge.starts_with("sw01234") && bridge.len() == 15, "{bridge}");
        assert!(bridge.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{bridge}");
    }
}
