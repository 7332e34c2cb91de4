//! The firewall rules as text for `iptables-restore`, and the jumps into them. Pure.
//!
//! Every bridge of an environment is named `sw…`, so one set of rules covers every network there is and every one to come:
//! there is no instant at which a new network is open.

use ipnet::IpNet;

/// Prefix of the bridges of environments.
pub const BRIDGE_PREFIX: &str = "sw";
/// The bridge on which builds run.
pub const BUILD_BRIDGE: &str = "docker0";
pub const CHAIN_INPUT: &str = "SEAWAY-INPUT";
pub const CHAIN_FORWARD: &str = "SEAWAY-FORWARD";
pub const CHAIN_BUILD: &str = "SEAWAY-BUILD";

/// Metadata services and link-local addresses of the clouds.
const METADATA: [&str; 4] = ["169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"];
const METADATA_V6: [&str; 2] = ["fd00:ec2::254/128", "fe80::/10"];
/// Resolvers that clouds put on such an address; names only.
const RESOLVERS: [&str; 2] = ["169.254.169.253/32", "168.63.129.16/32"];
/// More is not possible in one multiport match.
const PORTS_PER_RULE: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// One jump from a chain of the kernel or the engine into ours: `iptables -C|-I chain arguments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    pub chain: &'static str,
    pub arguments: Vec<&'static str>,
}

/// What the operator adds.
#[derive(Debug, Clone, Default)]
pub struct RuleSettings {
    /// Ports of Seaway itself, closed to builds. Workloads reach no port of the host at all.
    pub own_ports: Vec<u16>,
    /// Further networks that no workload may reach (the control plane's database, management networks).
    pub ranges_denied: Vec<IpNet>,
}

/// Input of `iptables-restore --noflush`: our chains, filled anew in one atomic change.
pub fn chains(family: Family, settings: &RuleSettings) -> String {
    let mut text = format!("*filter\n:{CHAIN_INPUT} - [0:0]\n:{CHAIN_FORWARD} - [0:0]\n:{CHAIN_BUILD} - [0:0]\n");
    let mut add = |rule: String| {
        text.push_str("-A ");
        text.push_str(&rule);
        text.push('\n');
    };
    let established = "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN";
    add(format!("{CHAIN_INPUT} {established}"));
    add(format!("{CHAIN_INPUT} -j DROP"));

    add(format!("{CHAIN_FORWARD} {established}"));
    if family == Family::V4 {
        for resolver in RESOLVERS {
            for protocol in ["udp", "tcp"] {
                add(format!("{CHAIN_FORWARD} -d {resolver} -p {protocol} --dport 53 -j RETURN"));
            }
        }
    }
    let metadata: &[&str] = match family {
        Family::V4 => &METADATA,
        Family::V6 => &METADATA_V6,
    };
    for network in metadata {
        add(format!("{CHAIN_FORWARD} -d {network} -j DROP"));
    }
    let denied =
        settings.ranges_denied.iter().filter(|range| matches!((family, range), (Family::V4, IpNet::V4(_)) | (Family::V6, IpNet::V6(_))));
    for range in denied {
        add(format!("{CHAIN_FORWARD} -d {range} -j DROP"));
    }
    add(format!("{CHAIN_FORWARD} -p tcp --dport 25 -j REJECT"));
    add(format!("{CHAIN_FORWARD} -j RETURN"));

    add(format!("{CHAIN_BUILD} {established}"));
    for ports in settings.own_ports.chunks(PORTS_PER_RULE) {
        let list: Vec<String> = ports.iter().map(u16::to_string).collect();
        add(format!("{CHAIN_BUILD} -p tcp -m multiport --dports {} -j DROP", list.join(",")));
    }
    add(format!("{CHAIN_BUILD} -j RETURN"));
    text.push_str("COMMIT\n");
    text
}

/// Where traffic enters our chains. `forward` is `DOCKER-USER` where the engine keeps that chain: it survives restarts of the
/// engine and reloads, and stands before the engine's own rules.
pub fn jumps(forward: &'static str) -> Vec<Jump> {
    vec![
        Jump { chain: "INPUT", arguments: vec!["-i", "sw+", "-j", CHAIN_INPUT] },
        Jump { chain: "INPUT", arguments: vec!["-i", BUILD_BRIDGE, "-j", CHAIN_BUILD] },
        Jump { chain: forward, arguments: vec!["-i", "sw+", "-j", CHAIN_FORWARD] },
        Jump { chain: forward, arguments: vec!["-i", BUILD_BRIDGE, "-j", CHAIN_FORWARD] },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_metadata_and_mail_are_closed() {
        let text = chains(Family::V4, &RuleSettings::default());
        let position = |needle: &str| text.find(needle);
        assert!(position("SEAWAY-INPUT -m conntrack") < position("SEAWAY-INPUT -j DROP"));
        for needle in ["-d 169.254.0.0/16 -j DROP", "-d 168.63.129.16/32 -j DROP", "-d 100.100.100.200/32 -j DROP", "--dport 25 -j REJECT"]
        {
            assert!(position(needle).is_some(), "{needle} is missing in {text}");
        }
        assert!(text.ends_with("COMMIT\n"));
    }

    #[test]
    fn families_are_not_mixed() {
        let settings = RuleSettings {
            ranges_denied: vec![IpNet::V4("10.9.0.0/16".parse().unwrap_or_default()), IpNet::V6("fd01::/64".parse().unwrap_or_default())],
            ..RuleSettings::default()
        };
        let (four, six) = (chains(Family::V4, &settings), chains(Family::V6, &settings));
        assert!(four.contains("10.9.0.0/16") && !four.contains("fd01"));
        assert!(six.contains("fd01::/64") && !six.contains("10.9.0.0") && six.contains("fd00:ec2::254") && !six.contains("169.254"));
    }

    #[test]
    fn ports_of_seaway_are_closed_to_builds() {
        let settings = RuleSettings { own_ports: (8000..8020).collect(), ..RuleSettings::default() };
        let text = chains(Family::V4, &settings);
        assert!(text.contains("--dports 8000,") && text.contains("--dports 8015,8016,8017,8018,8019 -j DROP"), "{text}");
    }
}
