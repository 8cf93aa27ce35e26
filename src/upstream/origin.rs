//! An origin (RFC 6454): scheme, host, port. A token goes to one of these and nowhere else.

use std::fmt;

/// Scheme, host and port of a server, in their canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads the origin of an absolute `http` or `https` URL; the host is lowercased, the default port filled in.
    ///
    /// # Errors
    /// Not an absolute URL of these schemes, userinfo in it, or no host.
    pub fn of(url: &http::Uri) -> Result<Self, &'static str> {
        let https = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err("the scheme must be https or http"),
            None => return Err("a whole URL is needed, with https:// in front"),
        };
        let authority = url.authority().ok_or("a host is needed")?;
        if authority.as_str().contains('@') {
            return Err("user information does not belong in the URL");
        }
        if authority.host().is_empty() {
            return Err("a host is needed");
        }
        let port = match authority.port() {
            Some(port) => {
                port.as_str().parse().ok().filter(|port| *port != 0).ok_or("the port must be 1 to 65535")?
            }
            None if https => 443,
            None => 80,
        };
        Ok(Self { https, host: authority.host().to_ascii_lowercase(), port })
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, lowercased; an IPv6 literal keeps its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is a loopback literal or `localhost`.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// `host` or `host:port` as a Host field wants it: the default port left out.
    pub fn authority(&self) -> String {
        if self.port == if self.https { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }
}
