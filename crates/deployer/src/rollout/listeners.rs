//! What a container really listens on, read from the kernel's tables of its network namespace: nothing is executed inside it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// State `LISTEN` in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// The engine's resolver listens on this address inside every container.
const ENGINE_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    pub address: IpAddr,
    pub port: u16,
}

/// What the expected port looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It listens where it should.
    Open,
    /// The right port, but only reachable from inside the container.
    LoopbackOnly,
    /// Other ports, and these.
    OtherPorts(Vec<u16>),
    /// Nothing at all (yet).
    Nothing,
}

/// Listeners of the process's network namespace. Empty when it is gone or may not be read.
pub async fn of_process(pid: i64) -> Vec<Listener> {
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = tokio::fs::read_to_string(format!("/proc/{pid}/net/{table}")).await.unwrap_or_default();
        found.extend(parse(&text));
    }
    found.into_iter().collect()
}

pub fn parse(table: &str) -> Vec<Listener> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            let (local, state) = (columns.nth(1)?, columns.nth(1)?);
            if state != LISTEN {
                return None;
            }
            let (address, port) = local.split_once(':')?;
            Some(Listener { address: parse_address(address)?, port: u16::from_str_radix(port, 16).ok()? })
        })
        .filter(|listener| listener.address != ENGINE_RESOLVER)
        .collect()
}

/// Words of 32 bits, each in the machine's (little endian) order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |index: usize| u32::from_str_radix(text.get(index * 8..index * 8 + 8)?, 16).ok().map(u32::swap_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let high = (u128::from(word(0)?) << 96) | (u128::from(word(1)?) << 64);
            Some(IpAddr::V6(Ipv6Addr::from(high | (u128::from(word(2)?) << 32) | u128::from(word(3)?))))
        }
        _ => None,
    }
}

pub fn judge(expected: u16, listeners: &[Listener]) -> Verdict {
    let at_port: Vec<&Listener> = listeners.iter().filter(|listener| listener.port == expected).collect();
    if at_port.iter().any(|listener| !listener.address.is_loopback()) {
        return Verdict::Open;
    }
    if !at_port.is_empty() {
        return Verdict::LoopbackOnly;
    }
    let ports: BTreeSet<u16> = listeners.iter().map(|listener| listener.port).collect();
    if ports.is_empty() { Verdict::Nothing } else { Verdict::OtherPorts(ports.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
       0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
       1: 0B00007F:9C4F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
       2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
       3: 0200D50A:1F90 0100D50A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n";
    const TCP6: &str = "  sl  local_address remote_address st\n\
       0: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 0 0 0\n\
       1: 00000000000000000000000001000000:1389 00000000000000000000000000000000:0000 0A 0 0 0\n";

    #[test]
    fn reads_the_kernels_tables() {
        let four = parse(TCP);
        assert_eq!(
            four,
            vec![
                Listener { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 3000 },
                Listener { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 8080 },
            ]
        );
        let six = parse(TCP6);
        assert_eq!(
            six,
            vec![
                Listener { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), port: 5000 },
                Listener { address: IpAddr::V6(Ipv6Addr::LOCALHOST), port: 5001 },
            ]
        );
    }

    #[test]
    fn judges() {
        let all = [parse(TCP), parse(TCP6)].concat();
        assert_eq!(judge(8080, &all), Verdict::Open);
        assert_eq!(judge(5000, &all), Verdict::Open);
        assert_eq!(judge(3000, &all), Verdict::LoopbackOnly);
        assert_eq!(judge(5001, &all), Verdict::LoopbackOnly);
        assert_eq!(judge(80, &parse(TCP6)), Verdict::OtherPorts(vec![5000, 5001]));
        assert_eq!(judge(80, &[]), Verdict::Nothing);
    }
}
