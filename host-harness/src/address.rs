//! What kind of place an IP address is, by the registries of special-purpose addresses (IANA; RFC 6890). Not here: who may
//! go where (`dial.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host of the internet.
    Public,
    /// This very machine.
    Loopback,
    /// A network of somebody's own; the text says which kind.
    Private(&'static str),
    /// No host of a service: the text says what instead.
    Never(&'static str),
}

const NO_HOST: Place = Place::Never("an address that no host has");
/// Clouds answer there with the credentials of the machine that asks.
const METADATA: Place =
    Place::Never("a link-local address, where machines find their own metadata");

impl Place {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        // The platform address of Azure, public by its number alone.
        [168, 63, 129, 16] => METADATA,
        [127, ..] => Place::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Place::Private("a private address"),
        [100, 64..=127, ..] => Place::Private("an address shared behind a carrier's NAT"),
        [198, 18..=19, ..] => Place::Private("an address for benchmarks"),
        [169, 254, ..] => METADATA,
        // This network; protocol assignments; documentation; relays of 6to4; multicast; reserved and broadcast.
        [0, ..]
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _]
        | [224..=255, ..] => NO_HOST,
        _ => Place::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Place {
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => NO_HOST,
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Loopback,
        // Mapped, and NAT64 (RFC 6052), which networks without IPv4 use for every host that has nothing else.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            of_v4(last(high, low))
        }
        [0xfc00..=0xfdff, ..] => Place::Private("a private address"),
        [0xfe80..=0xfebf, ..] => METADATA,
        // Protocol assignments with Teredo, benchmarks and ORCHID; documentation; 6to4; documentation again.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => NO_HOST,
        [0x2000..=0x3fff, ..] => Place::Public,
        // What is not given out, with v4-compatible addresses, NAT64 of one's own, site-local and multicast addresses.
        _ => NO_HOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> &'static str {
        match Place::of(text.parse().expect(text)) {
            Place::Public => "public",
            Place::Loopback => "loopback",
            Place::Private(_) => "private",
            Place::Never(_) => "never",
        }
    }

    #[test]
    fn places_are_told_by_their_ranges() {
        for (expected, addresses) in [
            (
                "public",
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
                 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
                 223.255.255.255 2001:200:: 2001:4860:4860::8888 2600:: 2a00:1450::1 3ffe::1 ::ffff:1.1.1.1 \
                 64:ff9b::1.1.1.1",
            ),
            ("loopback", "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1"),
            (
                "private",
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.1 100.64.0.0 100.127.255.255 \
                 100.100.100.200 198.18.0.0 198.19.255.255 fc00:: fd00:ec2::254 fdff:ffff::1 ::ffff:10.0.0.1 \
                 64:ff9b::192.168.0.1",
            ),
            (
                "never",
                "0.0.0.0 0.1.2.3 169.254.0.0 169.254.169.254 168.63.129.16 192.0.0.8 192.0.2.1 198.51.100.1 203.0.113.9 \
                 192.88.99.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::2 ::127.0.0.1 ::10.0.0.1 \
                 ::ffff:169.254.169.254 ::ffff:0:10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 100::1 2001::1 \
                 2001:0:a9fe:a9fe::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1 2001:db8::1 2002:a9fe:a9fe:: \
                 2002:808:808::1 3fff::1 4000::1 5f00::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(place(address), expected, "{address}");
            }
        }
    }
}
