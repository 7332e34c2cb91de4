//! Whose address counts: the peer's, or what proxies in front say, as far as they are trusted.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::hygiene::FORWARDED_FOR;

/// The client, seen from behind trusted proxies: the last address of X-Forwarded-For that is none of `trusted`.
pub fn client(peer: IpAddr, is_peer_trusted: bool, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_peer_trusted {
        return peer;
    }
    let mut client = peer;
    let fields: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|field| field.to_str().ok()).collect();
    for text in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        // What cannot be read ends the chain: nobody vouches for what is left of it.
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_in(trusted, client) {
            break;
        }
    }
    client
}

pub fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// One customer has a whole IPv6 /64.
pub fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// /24 or /48: enough to see where from, too little to see who.
pub fn truncated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !(u128::MAX >> 48)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_trusted_proxy_says_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (is_trusted, lists, wanted) in [
            (false, vec!["6.6.6.6"], "10.0.0.1"),
            (true, vec![], "10.0.0.1"),
            (true, vec!["6.6.6.6"], "6.6.6.6"),
            (true, vec!["6.6.6.6, 7.7.7.7"], "7.7.7.7"),
            (true, vec!["6.6.6.6, 7.7.7.7, 10.1.1.1"], "7.7.7.7"),
            (true, vec!["6.6.6.6", "7.7.7.7, 10.2.2.2"], "7.7.7.7"),
            (true, vec!["6.6.6.6, rubbish, 10.1.1.1"], "10.1.1.1"),
            (true, vec!["rubbish"], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for list in &lists {
                headers.append(FORWARDED_FOR, list.parse().unwrap());
            }
            let found = client("10.0.0.1".parse().unwrap(), is_trusted, &headers, &trusted);
            assert_eq!(found, wanted.parse::<IpAddr>().unwrap(), "{lists:?}");
        }
        assert_eq!(truncated("192.0.2.77".parse().unwrap()).to_string(), "192.0.2.0");
        assert_eq!(truncated("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1::");
        assert_eq!(counted("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::");
    }
}
