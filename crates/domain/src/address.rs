//! Which addresses are never reached on behalf of a user (security.md, Egress). A pure decision.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges with their reason; the first that holds the address answers.
const REFUSED_V4: &[([u8; 4], u8, &str)] = &[
    ([169, 254, 169, 254], 32, "a cloud metadata address"),
    ([168, 63, 129, 16], 32, "a cloud metadata address"),
    ([100, 100, 100, 200], 32, "a cloud metadata address"),
    ([192, 0, 0, 192], 32, "a cloud metadata address"),
    ([0, 0, 0, 0], 8, "an unspecified address"),
    ([127, 0, 0, 0], 8, "a loopback address"),
    ([10, 0, 0, 0], 8, "a private address"),
    ([172, 16, 0, 0], 12, "a private address"),
    ([192, 168, 0, 0], 16, "a private address"),
    ([169, 254, 0, 0], 16, "a link-local address"),
    ([100, 64, 0, 0], 10, "a carrier-grade NAT address"),
    ([192, 0, 0, 0], 24, "a protocol assignment"),
    ([192, 0, 2, 0], 24, "a documentation address"),
    ([198, 51, 100, 0], 24, "a documentation address"),
    ([203, 0, 113, 0], 24, "a documentation address"),
    ([192, 88, 99, 0], 24, "a relay address"),
    ([198, 18, 0, 0], 15, "a benchmark address"),
    ([224, 0, 0, 0], 4, "a multicast address"),
    ([240, 0, 0, 0], 4, "a reserved address"),
];

const REFUSED_V6: &[([u16; 8], u8, &str)] = &[
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, "a cloud metadata address"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "an unspecified address"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "a loopback address"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private address"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "a link-local address"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "a site-local address"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "a multicast address"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "a discard address"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "a documentation address"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "a documentation address"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "a protocol assignment"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "a segment-routing address"),
];

/// Global unicast; all that is outside it is refused.
const GLOBAL_V6: ([u16; 8], u8) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Why an address is refused; `None` when it is a public one.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match unmapped(address) {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => REFUSED_V6
            .iter()
            .find(|(network, prefix, _)| holds_v6(*network, *prefix, address))
            .map(|(_, _, reason)| *reason)
            .or_else(|| (!holds_v6(GLOBAL_V6.0, GLOBAL_V6.1, address)).then_some("not a public address")),
    }
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, NAT64 (well-known and local), 6to4, translated.
pub fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let last = || v4(g, h);
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => last(),
        [0x64, 0xff9b, 1, _, _, _] => last(),
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => last(),
        [0x2002, high, low, _, _, _] => v4(high, low),
        _ => address,
    }
}

fn v4(high: u16, low: u16) -> IpAddr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    REFUSED_V4
        .iter()
        .find(|(network, prefix, _)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
            bits & mask == u32::from_be_bytes(*network) & mask
        })
        .map(|(_, _, reason)| *reason)
}

fn holds_v6(network: [u16; 8], prefix: u8, address: Ipv6Addr) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    address.to_bits() & mask == Ipv6Addr::from(network).to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_range_is_refused_at_both_ends() {
        for &(network, prefix, reason) in REFUSED_V4 {
            let first = u32::from_be_bytes(network);
            let last = first | u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            for bits in [first, last] {
                let address = Ipv4Addr::from_bits(bits);
                assert!(refusal(address.into()).is_some(), "{address} is {reason}");
                assert!(refusal(address.to_ipv6_mapped().into()).is_some(), "mapped {address}");
                let [a, b, c, d] = address.octets();
                for text in [
                    format!("64:ff9b::{a:02x}{b:02x}:{c:02x}{d:02x}"),
                    format!("64:ff9b:1::{a:02x}{b:02x}:{c:02x}{d:02x}"),
                    format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
                    format!("::ffff:0:{a:02x}{b:02x}:{c:02x}{d:02x}"),
                ] {
                    assert!(refusal(text.parse().unwrap()).is_some(), "{text} carries {address}");
                }
            }
        }
        for &(network, prefix, reason) in REFUSED_V6 {
            let first = Ipv6Addr::from(network).to_bits();
            let last = first | u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            for bits in [first, last] {
                assert!(refusal(Ipv6Addr::from_bits(bits).into()).is_some(), "{} is {reason}", Ipv6Addr::from_bits(bits));
            }
        }
    }

    #[test]
    fn named_traps_are_refused_and_public_addresses_are_not() {
        for text in [
            "64:ff9b::a9fe:a9fe",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "172.31.255.255",
            "100.127.255.255",
        ] {
            assert!(refusal(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in [
            "1.1.1.1",
            "140.82.121.4",
            "172.32.0.1",
            "100.128.0.1",
            "11.0.0.1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "2002:0808:0808::1",
        ] {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text}");
        }
    }
}
