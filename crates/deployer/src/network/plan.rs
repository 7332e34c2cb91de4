//! Which addresses an environment's network gets. Pure.

use ipnet::{IpNet, Ipv4Net};

/// The first free network of `prefix_length` in `range` that overlaps none of `used`. `None`: the range is exhausted.
pub fn next_subnet(range: Ipv4Net, prefix_length: u8, used: &[IpNet]) -> Option<Ipv4Net> {
    range.subnets(prefix_length).ok()?.find(|candidate| !used.iter().any(|taken| overlaps(*candidate, *taken)))
}

fn overlaps(candidate: Ipv4Net, taken: IpNet) -> bool {
    match taken {
        // A default route covers everything and takes nothing.
        IpNet::V4(taken) if taken.prefix_len() == 0 => false,
        IpNet::V4(taken) => candidate.contains(&taken) || taken.contains(&candidate),
        IpNet::V6(_) => false,
    }
}

/// Networks of the kernel's IPv4 routing table (`/proc/net/route`), so that an environment never shadows one of the host's.
pub fn parse_routes(table: &str) -> Vec<IpNet> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            let (_interface, destination) = (columns.next()?, columns.next()?);
            let mask = columns.nth(5)?;
            let address = u32::from_str_radix(destination, 16).ok()?.swap_bytes();
            let mask = u32::from_str_radix(mask, 16).ok()?.swap_bytes();
            let length = u8::try_from(mask.leading_ones()).ok()?;
            Some(IpNet::V4(Ipv4Net::new(address.into(), length).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_free_one() {
        let range: Ipv4Net = "10.213.0.0/16".parse().unwrap();
        let used: Vec<IpNet> = vec!["10.213.0.0/25".parse().unwrap(), "10.213.0.128/26".parse().unwrap(), "0.0.0.0/0".parse().unwrap()];
        assert_eq!(next_subnet(range, 25, &used), Some("10.213.1.0/25".parse().unwrap()));
        assert_eq!(next_subnet(range, 25, &[]), Some("10.213.0.0/25".parse().unwrap()));
    }

    #[test]
    fn says_when_the_range_is_exhausted() {
        let range: Ipv4Net = "10.213.0.0/24".parse().unwrap();
        let used: Vec<IpNet> = range.subnets(26).unwrap().map(IpNet::V4).collect();
        assert_eq!(next_subnet(range, 26, &used), None);
        assert_eq!(next_subnet(range, 26, &["10.0.0.0/8".parse().unwrap()]), None);
    }

    #[test]
    fn holds_more_environments_than_the_engines_own_pool() {
        let range: Ipv4Net = "10.213.0.0/16".parse().unwrap();
        let mut used = Vec::new();
        for _ in 0..500 {
            used.push(IpNet::V4(next_subnet(range, 25, &used).unwrap()));
        }
    }

    #[test]
    fn reads_the_kernels_routes() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(parse_routes(table), vec!["0.0.0.0/0".parse::<IpNet>().unwrap(), "192.168.2.0/24".parse().unwrap()]);
    }
}
