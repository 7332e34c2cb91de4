//! The firewall rules as text for `iptables-restore`, and the jumps into them. Pure.
//!
//! Every bridge of an instance's environments has a name with one beginning, so one set of rules covers every network there is and
//! every one to come: there is no instant at which a new network is open.

use std::net::IpAddr;

use ipnet::IpNet;

/// Prefix of the bridges of environments, of every instance; what follows tells the instances of one machine apart.
const BRIDGE_PREFIX: &str = "sw";
/// Characters of the instance's id in a bridge's name, of which the kernel takes 15 in all.
const BRIDGE_KEY_CHARACTERS: usize = 5;
/// Characters of the instance's id in a chain's name, of which the kernel takes 28 in all.
const CHAIN_KEY_CHARACTERS: usize = 16;
/// The bridge on which builds run.
pub const BUILD_BRIDGE: &str = "docker0";

/// Names of one instance's chains and bridges: two instances on one machine never write into each other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    key: String,
}

impl Names {
    /// `instance` is the random id of the instance; only its letters and digits count.
    pub fn of(instance: &str) -> Self {
        Self { key: instance.chars().filter(char::is_ascii_alphanumeric).take(CHAIN_KEY_CHARACTERS).collect() }
    }

    /// From apps to the machine itself.
    pub fn input(&self) -> String {
        format!("SEAWAY-IN-{}", self.key)
    }

    /// From apps and builds to other machines and to each other.
    pub fn forward(&self) -> String {
        format!("SEAWAY-FW-{}", self.key)
    }

    /// From builds to the machine itself.
    pub fn build(&self) -> String {
        format!("SEAWAY-BD-{}", self.key)
    }

    pub fn chains(&self) -> [String; 3] {
        [self.input(), self.forward(), self.build()]
    }

    /// What the names of this instance's bridges begin with.
    pub fn bridge_prefix(&self) -> String {
        format!("{BRIDGE_PREFIX}{}", self.key.chars().take(BRIDGE_KEY_CHARACTERS).collect::<String>())
    }
}

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
    pub arguments: Vec<String>,
}

impl Jump {
    /// The line that `iptables -S` shows for it.
    pub fn line(&self) -> String {
        format!("-A {} {}", self.chain, self.arguments.join(" "))
    }
}

/// What the operator adds.
#[derive(Debug, Clone, Default)]
pub struct RuleSettings {
    /// Ports of Seaway itself, closed to builds. Workloads reach no port of the host at all.
    pub own_ports: Vec<u16>,
    /// Further networks that no workload may reach (management networks).
    pub ranges_denied: Vec<IpNet>,
    /// Names or addresses of machines that no workload may reach (the control plane's database). Looked up again at every check,
    /// because a database moves.
    pub hosts_denied: Vec<String>,
}

/// Input of `iptables-restore --noflush`: our chains, filled anew in one atomic change. `hosts_denied`: single addresses that no
/// workload may reach (the control plane's database).
pub fn chains(family: Family, names: &Names, settings: &RuleSettings, hosts_denied: &[IpAddr]) -> String {
    let (input, forward, build) = (names.input(), names.forward(), names.build());
    let mut text = format!("*filter\n:{input} - [0:0]\n:{forward} - [0:0]\n:{build} - [0:0]\n");
    let mut add = |rule: String| {
        text.push_str("-A ");
        text.push_str(&rule);
        text.push('\n');
    };
    let established = "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN";
    add(format!("{input} {established}"));
    add(format!("{input} -j DROP"));

    add(format!("{forward} {established}"));
    // Steps of different builds, of different tenants, are on one bridge.
    add(format!("{forward} -i {BUILD_BRIDGE} -o {BUILD_BRIDGE} -j DROP"));
    if family == Family::V4 {
        for resolver in RESOLVERS {
            for protocol in ["udp", "tcp"] {
                add(format!("{forward} -d {resolver} -p {protocol} --dport 53 -j RETURN"));
            }
        }
    }
    let metadata: &[&str] = match family {
        Family::V4 => &METADATA,
        Family::V6 => &METADATA_V6,
    };
    for network in metadata {
        add(format!("{forward} -d {network} -j DROP"));
    }
    let hosts = hosts_denied.iter().map(|address| IpNet::from(*address));
    let denied = settings
        .ranges_denied
        .iter()
        .copied()
        .chain(hosts)
        .filter(|range| matches!((family, range), (Family::V4, IpNet::V4(_)) | (Family::V6, IpNet::V6(_))));
    for range in denied {
        add(format!("{forward} -d {range} -j DROP"));
    }
    add(format!("{forward} -p tcp --dport 25 -j REJECT"));
    add(format!("{forward} -j RETURN"));

    add(format!("{build} {established}"));
    for ports in settings.own_ports.chunks(PORTS_PER_RULE) {
        let list: Vec<String> = ports.iter().map(u16::to_string).collect();
        add(format!("{build} -p tcp -m multiport --dports {} -j DROP", list.join(",")));
    }
    add(format!("{build} -j RETURN"));
    text.push_str("COMMIT\n");
    text
}

/// Where traffic enters our chains. `forward` is `DOCKER-USER` where the engine keeps that chain: it survives restarts of the
/// engine and reloads, and stands before the engine's own rules.
pub fn jumps(forward: &'static str, names: &Names) -> Vec<Jump> {
    let jump = |chain, from: &str, to: String| Jump { chain, arguments: ["-i", from, "-j", &to].map(str::to_owned).to_vec() };
    let bridges = format!("{}+", names.bridge_prefix());
    vec![
        jump("INPUT", &bridges, names.input()),
        jump("INPUT", BUILD_BRIDGE, names.build()),
        jump(forward, &bridges, names.forward()),
        jump(forward, BUILD_BRIDGE, names.forward()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(family: Family, settings: &RuleSettings) -> String {
        chains(family, &Names::of("0123456789abcdef"), settings, &["10.8.0.5".parse().unwrap(), "fd02::5".parse().unwrap()])
    }

    #[test]
    fn host_metadata_mail_and_builds_of_others_are_closed() {
        let text = text(Family::V4, &RuleSettings::default());
        let position = |needle: &str| text.find(needle);
        assert!(position("SEAWAY-IN-0123456789abcdef -m conntrack") < position("SEAWAY-IN-0123456789abcdef -j DROP"));
        for needle in [
            "-i docker0 -o docker0 -j DROP",
            "-d 169.254.0.0/16 -j DROP",
            "-d 168.63.129.16/32 -j DROP",
            "-d 100.100.100.200/32 -j DROP",
            "-d 10.8.0.5/32 -j DROP",
            "--dport 25 -j REJECT",
        ] {
            assert!(position(needle).is_some(), "{needle} is missing in {text}");
        }
        assert!(text.ends_with("COMMIT\n"));
    }

    #[test]
    fn families_are_not_mixed() {
        let settings =
            RuleSettings { ranges_denied: vec!["10.9.0.0/16".parse().unwrap(), "fd01::/64".parse().unwrap()], ..RuleSettings::default() };
        let (four, six) = (text(Family::V4, &settings), text(Family::V6, &settings));
        assert!(four.contains("10.9.0.0/16") && !four.contains("fd01") && !four.contains("fd02"));
        assert!(six.contains("fd01::/64") && six.contains("fd02::5/128") && !six.contains("10.9.0.0") && !six.contains("10.8.0.5"));
        assert!(six.contains("fd00:ec2::254") && !six.contains("169.254"));
    }

    #[test]
    fn ports_of_seaway_are_closed_to_builds() {
        let settings = RuleSettings { own_ports: (8000..8020).collect(), ..RuleSettings::default() };
        let text = text(Family::V4, &settings);
        assert!(text.contains("--dports 8000,") && text.contains("--dports 8015,8016,8017,8018,8019 -j DROP"), "{text}");
    }

    #[test]
    fn two_instances_share_no_name_and_the_kernel_takes_them() {
        let (one, other) = (Names::of("0123456789abcdef"), Names::of("fedcba9876543210"));
        for (left, right) in one.chains().iter().zip(other.chains()) {
            assert!(*left != right && left.len() <= 28, "{left} {right}");
        }
        assert_ne!(one.bridge_prefix(), other.bridge_prefix());
        assert!(jumps("FORWARD", &one).iter().all(|jump| !jumps("FORWARD", &other).contains(jump)));
        assert_eq!(jumps("DOCKER-USER", &one)[2].line(), "-A DOCKER-USER -i sw01234+ -j SEAWAY-FW-0123456789abcdef");
    }
}
