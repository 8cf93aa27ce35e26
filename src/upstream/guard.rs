//! Which addresses a destination that nobody configured may have.
//!
//! Knows networks that belong to this machine, its neighbours or its cloud, in every form in which they can be written
//! (RFC 6890, RFC 4291, RFC 3056, RFC 6052). Does not know names: it judges the addresses that are connected to, so that no name that
//! is resolved twice, and no odd spelling of an address, leads around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What destinations that nobody configured may be connected to: the public internet, and the networks that were named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    allowed: Vec<IpNet>,
}

/// Networks that are nobody else's business: this host, neighbours, the cloud's own services, groups and reserves.
const PRIVATE_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared: carriers, and the metadata service 100.100.100.200
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's host agent, though the address is a public one
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, and the metadata service 169.254.169.254
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments, and the metadata service 192.0.0.192
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, broadcast
];

/// The same of IPv6. The metadata service fd00:ec2::254 is among the unique local ones.
const PRIVATE_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48), // NAT64 within a network (RFC 8215)
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),     // discard
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),    // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),    // documentation (RFC 9637)
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),    // segment routing
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),     // unique local
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),    // link-local
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),    // site-local
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),     // multicast
];

impl Guard {
    /// One that also lets through to `allowed`.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        let forms = forms(address);
        let is_allowed = |address: &IpAddr| self.allowed.iter().any(|network| network.contains(address));
        // An address that stands for another one is judged by both.
        forms.iter().all(|form| is_allowed(form) || !is_private(form))
    }
}

/// An address, and the IPv4 address that it stands for or leads to.
fn forms(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(six) = address else { return vec![address] };
    let octets = six.octets();
    let segments = six.segments();
    let at = |start: usize| {
        IpAddr::V4(Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, _, _] if !six.is_loopback() && !six.is_unspecified() => vec![at(12)], // compatible
        [0, 0, 0, 0, 0, 0xffff, _, _] => vec![at(12)], // mapped: it is that IPv4 address
        [0, 0, 0, 0, 0xffff, 0, _, _] => vec![at(12)], // translated (RFC 2765)
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![at(12)], // NAT64
        [0x2002, ..] => vec![at(2)],                   // 6to4
        // ISATAP: whatever the network, the interface is an IPv4 address.
        [.., 0 | 0x200, 0x5efe, _, _] => vec![address, at(12)],
        _ => vec![address],
    }
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => PRIVATE_V4
            .iter()
            .any(|(network, bits)| Ipv4Net::new(*network, *bits).is_ok_and(|net| net.contains(address))),
        IpAddr::V6(address) => PRIVATE_V6
            .iter()
            .any(|(network, bits)| Ipv6Net::new(*network, *bits).is_ok_and(|net| net.contains(address))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(guard: &Guard, address: &str) -> bool {
        guard.permits(address.parse().unwrap_or_else(|_| panic!("{address} is no address")))
    }

    #[test]
    fn r012_addresses_of_this_machine_its_neighbours_and_its_cloud_are_refused_however_they_are_written() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "192.0.0.192",
            "192.88.99.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "fe80::1",
            "3fff::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:127.0.0.1",
        ] {
            assert!(!permits(&Guard::default(), address), "{address}");
        }
        for address in [
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.0.1",
            "2606:4700:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(permits(&Guard::default(), address), "{address}");
        }
    }

    #[test]
    fn r012_what_was_named_is_allowed_and_nothing_beside_it() {
        let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap(), "fd12::/32".parse().unwrap()]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "fd12::5", "8.8.8.8", "64:ff9b::10.1.2.3"] {
            assert!(permits(&guard, address), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.1", "fd13::1", "169.254.169.254", "::ffff:10.2.0.1"] {
            assert!(!permits(&guard, address), "{address}");
        }
        // Its network was not named, though the address in it was.
        assert!(!permits(&guard, "fe80::5efe:10.1.2.3"));
    }
}
