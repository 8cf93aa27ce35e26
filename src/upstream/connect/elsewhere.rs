//! How destinations that nobody configured are reached: directly, or through an outer proxy, and to no address that the guard does not
//! permit.
//!
//! Knows that an outer proxy resolves names by itself: of what it is asked for, as much is judged as can be known here. Does not know
//! what goes through.

use std::time::Duration;

use http::HeaderValue;

use super::{
    ConnectError, Guard, Origin, Outer,
    dial::{reach, resolve},
    outer::OuterProxy,
};
use crate::wire::Stream;

/// How long a name is looked up for the guard alone: networks with an outer proxy often have no DNS for the world outside.
const LOOK: Duration = Duration::from_secs(1);

/// How destinations that nobody configured are reached.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    guard: Guard,
    outer: Outer,
}

/// The way to one of them.
pub(super) enum Way {
    Direct,
    Outer(OuterProxy),
}

impl Elsewhere {
    /// Through `outer` where it says so, and to what `guard` permits.
    pub fn new(guard: Guard, outer: Outer) -> Self {
        Self { guard, outer }
    }

    /// A connection to host and port of `origin`, whatever its scheme, for octets that are none of our business, within `timeout`.
    /// `via`: whom an outer proxy is told that this came through (RFC 9110 section 7.6.3); that is how a circle of proxies is noticed.
    ///
    /// # Errors
    /// The name does not resolve, no address is permitted, or none could be reached in time; or the outer proxy opens no tunnel.
    pub async fn dial(
        &self,
        origin: &Origin,
        via: &HeaderValue,
        timeout: Duration,
    ) -> Result<Stream, ConnectError> {
        let reached = async {
            match self.way(origin)? {
                Way::Direct => self.reach(origin).await,
                Way::Outer(proxy) => {
                    self.judge(origin).await?;
                    proxy.pass(origin, via).await
                }
            }
        };
        tokio::time::timeout(timeout, reached).await.map_err(|_| ConnectError::TimedOut)?
    }

    async fn reach(&self, origin: &Origin) -> Result<Stream, ConnectError> {
        reach(origin, Some(&self.guard)).await.map(Stream::Tcp)
    }

    fn way(&self, origin: &Origin) -> Result<Way, ConnectError> {
        let outer = self.outer.towards(origin).map_err(ConnectError::NoSuchProxy)?;
        Ok(outer.map_or(Way::Direct, Way::Outer))
    }

    /// Whether an outer proxy may be asked for `origin`. It resolves the name once more, and perhaps otherwise; so every address that is
    /// known here has to be permitted, and where none is known the proxy alone decides.
    async fn judge(&self, origin: &Origin) -> Result<(), ConnectError> {
        match tokio::time::timeout(LOOK, resolve(origin)).await {
            Ok(Ok(addresses)) => {
                let prohibited =
                    addresses.iter().map(std::net::SocketAddr::ip).find(|ip| !self.guard.permits(*ip));
                prohibited.map_or(Ok(()), |ip| Err(ConnectError::Prohibited(ip)))
            }
            // Who reads it as an address reads one that was not judged.
            _ if ends_in_a_number(origin.host()) => Err(ConnectError::OddAddress),
            _ => Ok(()),
        }
    }
}

/// Whether some read this host as an IPv4 address: `127.1`, `0x7f.1`, `127.0.0.1.` (WHATWG URL, "ends in a number"). No name of DNS
/// looks so.
fn ends_in_a_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host).to_ascii_lowercase();
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|octet| octet.is_ascii_hexdigit()));
    host.starts_with('[')
        || hexadecimal
        || !last.is_empty() && last.bytes().all(|octet| octet.is_ascii_digit())
}
