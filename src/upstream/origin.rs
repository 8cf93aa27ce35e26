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
        Self::at(https, url.authority().ok_or("a host is needed")?)
    }

    /// The origin of that scheme at `authority`; the default port is filled in.
    ///
    /// # Errors
    /// User information in it, no host, or a port that is none.
    pub fn at(https: bool, authority: &http::uri::Authority) -> Result<Self, &'static str> {
        if authority.as_str().contains('@') {
            return Err("user information does not belong in the URL");
        }
        if authority.host().is_empty() {
            return Err("a host is needed");
        }
        // Read here, because `Authority::port` says that there is none where it does not fit.
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None | Some("") if https => 443,
            None | Some("") => 80,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("the port must be 1 to 65535")?,
        };
        Ok(Self { https, host: authority.host().to_ascii_lowercase(), port })
    }

    /// The same host and port under the other scheme.
    #[must_use]
    pub fn with_scheme(self, https: bool) -> Self {
        Self { https, ..self }
    }

    /// The same without the dot of the root at the end of its host; none where there is none.
    pub fn without_last_dot(&self) -> Option<Self> {
        let host = self.host.strip_suffix('.')?.to_owned();
        Some(Self { host, ..self.clone() })
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

impl From<std::net::SocketAddr> for Origin {
    /// What is spoken at an address, over plain HTTP.
    fn from(address: std::net::SocketAddr) -> Self {
        let host = match address.ip() {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        };
        Self { https: false, host, port: address.port() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Origin, &'static str> {
        Origin::of(&url.parse().unwrap())
    }

    #[test]
    fn r001_two_urls_are_of_one_origin_if_scheme_host_and_port_are_the_same() {
        assert_eq!(of("https://API.example/a"), of("https://api.example:443/b"));
        assert_eq!(of("http://[::1]:80/"), of("http://[::1]"));
        let different = [
            "https://api.example",
            "http://api.example",
            "https://api.example:8443",
            "https://api.example.org",
        ];
        for (index, one) in different.iter().enumerate() {
            for other in &different[index + 1..] {
                assert_ne!(of(one), of(other));
            }
        }
    }

    #[test]
    fn it_is_written_as_a_host_field_wants_it() {
        for (url, authority, whole) in [
            ("https://Api.Example:443/x", "api.example", "https://api.example"),
            ("https://api.example:80", "api.example:80", "https://api.example:80"),
            ("http://[::1]:8080/", "[::1]:8080", "http://[::1]:8080"),
        ] {
            let origin = of(url).unwrap();
            assert_eq!((origin.authority().as_str(), origin.to_string().as_str()), (authority, whole));
        }
    }

    #[test]
    fn r006_what_is_no_origin_is_refused_with_the_reason() {
        for (url, reason) in [
            ("ftp://api.example/", "https or http"),
            ("/path", "a whole URL"),
            ("https://user:password@api.example/", "user information"),
            ("https://api.example:0/", "1 to 65535"),
            ("https://api.example:65536/", "1 to 65535"),
        ] {
            let problem = of(url).unwrap_err();
            assert!(problem.contains(reason), "{url}: {problem}");
        }
    }

    #[test]
    fn r011_only_what_cannot_leave_this_machine_is_loopback() {
        for (url, loopback) in [
            ("http://localhost/", true),
            ("http://LOCALHOST:1/", true),
            ("http://a.localhost/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://localhost.example/", false),
            ("http://notlocalhost/", false),
            ("http://127.0.0.1.example/", false),
            ("http://0.0.0.0/", false),
            ("http://10.0.0.1/", false),
            ("http://[::ffff:10.0.0.1]/", false),
        ] {
            assert_eq!(of(url).unwrap().is_loopback(), loopback, "{url}");
        }
    }
}
