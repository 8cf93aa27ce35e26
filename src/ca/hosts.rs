//! The hosts that a CA may speak for.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints, SanType};
use rustls::pki_types::ServerName;

/// The hosts that a CA may speak for. A DNS name stands for its subdomains too (RFC 5280 section 4.2.1.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Option<BTreeSet<Host>>);

/// A DNS name, lowercased and without a dot at its end, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Host {
    Dns(String),
    Ip(IpAddr),
}

impl Hosts {
    /// Every host there is: whoever gets hold of such a CA's key can pose as anybody, for programs that trust it.
    pub fn any() -> Self {
        Self(None)
    }

    /// These hosts and no others; IPv6 literals with or without brackets.
    ///
    /// # Errors
    /// The first that is neither a DNS name nor an IP address.
    pub fn only<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let hosts: Result<BTreeSet<_>, _> =
            hosts.into_iter().map(|host| Host::parse(host).ok_or(host)).collect();
        Ok(Self(Some(hosts?)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// As the CA's certificate says it. Of a kind of name that nothing is permitted of, everything is excluded: a permitted DNS name
    /// alone would leave all addresses open, and the other way round.
    pub(super) fn constraints(&self) -> Option<NameConstraints> {
        let hosts = self.0.as_ref()?;
        let mut permitted = Vec::new();
        let mut excluded = Vec::new();
        if !hosts.iter().any(|host| matches!(host, Host::Dns(_))) {
            // No host has this name (RFC 6761 section 6.4). To exclude the empty one would say the same, less plainly to some readers.
            permitted.push(GeneralSubtree::DnsName("invalid".to_owned()));
        }
        // Addresses of both versions are of one kind of name: where one is permitted, the others are not.
        if !hosts.iter().any(|host| matches!(host, Host::Ip(_))) {
            excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
            excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
        }
        permitted.extend(hosts.iter().map(|host| match host {
            Host::Dns(name) => GeneralSubtree::DnsName(name.clone()),
            Host::Ip(IpAddr::V4(address)) => {
                GeneralSubtree::IpAddress(CidrSubnet::V4(address.octets(), [0xff; 4]))
            }
            Host::Ip(IpAddr::V6(address)) => {
                GeneralSubtree::IpAddress(CidrSubnet::V6(address.octets(), [0xff; 16]))
            }
        }));
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded })
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(hosts) = &self.0 else { return f.write_str("every host") };
        for (index, host) in hosts.iter().enumerate() {
            write!(f, "{}{host}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Host {
    pub(super) fn parse(host: &str) -> Option<Self> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        match ServerName::try_from(bare).ok()? {
            ServerName::DnsName(name) => Some(Self::Dns(name.as_ref().to_ascii_lowercase())),
            ServerName::IpAddress(address) => Some(Self::Ip(address.into())),
            _ => None,
        }
    }

    /// As a leaf says it; `None` for a name that a certificate cannot say.
    pub(super) fn alternative_name(&self) -> Option<SanType> {
        Some(match self {
            Self::Dns(name) => SanType::DnsName(name.as_str().try_into().ok()?),
            Self::Ip(address) => SanType::IpAddress(*address),
        })
    }

    pub(super) fn server_name(&self) -> Option<ServerName<'_>> {
        match self {
            Self::Dns(name) => ServerName::try_from(name.as_str()).ok(),
            Self::Ip(address) => Some(ServerName::from(*address)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}
