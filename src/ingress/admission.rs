//! Who may come in through a listener: Host allow-list against DNS rebinding, and no pages of other sites.
//!
//! Knows Host (RFC 9110 section 7.2), Origin (RFC 6454) and Sec-Fetch-Site. Does not know routes, and sets no CORS fields.

use std::net::{IpAddr, SocketAddr};

use http::{Uri, uri::Authority};

use crate::{
    proxy::{Failure, Kind},
    upstream::Origin,
    wire::{
        fields::{Fields, Name, Names},
        target,
    },
};

/// The rules of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Host names that may be asked for besides loopback names and the address that was connected to; lowercased.
    pub hosts: Vec<String>,
    /// Browser origins that may use this listener, as a browser writes them.
    pub origins: Vec<String>,
    /// Whether any IP address may be asked for: probes use them, and no name can be rebound to a literal.
    pub ip_literals: bool,
    /// It is asked over TLS: a page that came through it is an `https` one.
    pub tls: bool,
}

/// Why a request may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No Host, several, or one that is no host: 400.
    InvalidHost,
    /// A Host that is none of this listener's: 421.
    UnknownHost,
    /// A browser page of another site: 403.
    ForeignPage,
}

impl Admission {
    /// Whether a request with this target and these fields, on a connection made to `local`, may come in.
    ///
    /// # Errors
    /// It may not.
    pub fn admit(&self, target: &Uri, fields: &Fields, local: Option<SocketAddr>) -> Result<(), Refusal> {
        // RFC 9112 section 3.2.2: what an absolute target names is meant, whatever the Host field says.
        let host = match target.authority() {
            Some(meant) => host_and_port(meant.as_str().as_bytes())?,
            None => the_host_and_port(fields)?,
        };
        if !self.knows(host.name, local) {
            return Err(Refusal::UnknownHost);
        }
        self.admit_page(fields, host.whole)
    }

    /// Whether a web page may ask `origin` with these fields through a forward proxy: its own may, and those that are listed here or
    /// in `also`. A page of another site would act with the token.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_page_to(&self, origin: &Origin, fields: &Fields, also: &[String]) -> Result<(), Refusal> {
        let own = origin.to_string();
        self.admit_pages(fields, |page| {
            page.eq_ignore_ascii_case(&own) || also.iter().any(|allowed| allowed.eq_ignore_ascii_case(page))
        })
    }

    fn knows(&self, host: &[u8], local: Option<SocketAddr>) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        // As nearly every application says it.
        if host == b"127.0.0.1" || host.eq_ignore_ascii_case(b"localhost") {
            return true;
        }
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            // Browsers say which site asks (Sec-Fetch-Site) only where they take the address for a loopback one. They do not take
            // `::ffff:127.0.0.1` or `0.0.0.0` for that, and connect: no application writes our address so, a foreign page does.
            let disguised = address.is_unspecified() || address.to_canonical() != address;
            let ours = self.ip_literals
                || address.is_loopback()
                || local.is_some_and(|local| local.ip().to_canonical() == address);
            return ours && !disguised
                || self
                    .hosts
                    .iter()
                    .any(|allowed| allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(bare));
        }
        let below = host.len().checked_sub(".localhost".len()).and_then(|at| host.get(at..));
        below.is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn admit_page(&self, fields: &Fields, host: &[u8]) -> Result<(), Refusal> {
        self.admit_pages(fields, |origin| {
            // A page that came through this very listener is at home here.
            // Without TLS here, somebody in front of us may speak it.
            let plain = origin.strip_prefix("http://").filter(|_| !self.tls);
            let own = plain.or_else(|| origin.strip_prefix("https://"));
            own.is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(host))
        })
    }

    fn admit_pages(&self, fields: &Fields, is_at_home: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        if !fields.known().meet(OF_PAGES) {
            return Ok(());
        }
        let mut named = false;
        for origin in fields.get_all(Name::ORIGIN) {
            let origin = std::str::from_utf8(origin).map_err(|_| Refusal::ForeignPage)?;
            if !is_at_home(origin) && !self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
            {
                return Err(Refusal::ForeignPage);
            }
            named = true;
        }
        let from_elsewhere =
            fields.get_all(Name::SEC_FETCH_SITE).any(|site| !matches!(site, b"same-origin" | b"none"));
        if from_elsewhere && !named { Err(Refusal::ForeignPage) } else { Ok(()) }
    }
}

/// What an application that may not come in is told.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InvalidHost => {
                Self::new(Kind::Malformed, "a request needs exactly one valid Host field")
            }
            Refusal::UnknownHost => Self::new(
                Kind::UnknownHost,
                "the Host is none of this listener's; a name that should be goes into allow_hosts",
            ),
            Refusal::ForeignPage => Self::new(
                Kind::ForeignPage,
                "a web page of another site may not use this listener; an origin that may goes into allow_origins",
            ),
        }
    }
}

/// Whether the one valid Host is a loopback name or address, whatever else is allowed.
pub fn is_loopback(fields: &Fields) -> bool {
    the_host_and_port(fields).is_ok_and(|host| Admission::default().knows(host.name, None))
}

/// The one valid Host (RFC 9112 section 3.2: missing, several or invalid is a bad request).
pub(super) fn the_host(fields: &Fields) -> Result<Authority, Refusal> {
    let host = the_host_and_port(fields)?;
    host.whole.try_into().map_err(|_| Refusal::InvalidHost)
}

fn the_host_and_port(fields: &Fields) -> Result<Host<'_>, Refusal> {
    host_and_port(fields.get_only(Name::HOST).ok_or(Refusal::InvalidHost)?)
}

/// No user information (RFC 9110 section 4.2.4), and a port that is one, if any.
fn host_and_port(octets: &[u8]) -> Result<Host<'_>, Refusal> {
    let (name, _) = target::host_and_port_octets(octets).ok_or(Refusal::InvalidHost)?;
    Ok(Host { name, whole: octets })
}

/// A host that is asked for, with and without its port.
struct Host<'a> {
    name: &'a [u8],
    whole: &'a [u8],
}

/// What a browser says of the page that asks.
const OF_PAGES: Names = Names::of(&[Name::ORIGIN, Name::SEC_FETCH_SITE]);

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn admission() -> Admission {
        Admission {
            hosts: vec!["shop.local".into(), "2001:db8::7".into()],
            origins: vec!["https://tool.example".into()],
            ip_literals: false,
            tls: false,
        }
    }

    fn of(fields: &[(&'static str, &'static str)]) -> Fields {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        Fields::from(&map)
    }

    fn ask(fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        ask_target("/", fields)
    }

    fn ask_target(target: &'static str, fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        admission().admit(&Uri::from_static(target), &of(fields), "10.0.0.5:8102".parse().ok())
    }

    #[test]
    fn r002_r022_only_this_listeners_hosts_are_served() {
        for host in [
            "localhost",
            "LOCALHOST:8102",
            "a.localhost",
            "127.0.0.1:8102",
            "127.1.2.3",
            "[::1]:80",
            "shop.local",
            "Shop.Local:1",
            "shop.local.",
            "SHOP.local.:8102",
            "LocalHost.",
            "A.b.LocalHost.:8102",
            "[2001:DB8::7]:8102",
            "[0:0:0:0:0:0:0:1]",
            "10.0.0.5:8102",
        ] {
            assert_eq!(ask(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "10.0.0.6",
            "[::2]",
            "localhost.evil.example",
            "shop.local.evil",
            "xlocalhost",
            "localhost..",
            "[2001:db8::8]",
        ] {
            assert_eq!(ask(&[("host", host)]), Err(Refusal::UnknownHost), "{host}");
        }
    }

    #[test]
    fn r003_an_absolute_target_says_what_host_is_meant() {
        for host in ["localhost", "shop.local", "evil.example"] {
            let ask = |target| ask_target(target, &[("host", host)]);
            assert_eq!(ask("http://evil.example/"), Err(Refusal::UnknownHost), "{host}");
            assert_eq!(ask("http://localhost:8102/"), Ok(()), "{host}");
        }
        // A page of evil.example cannot call itself at home by what it writes there.
        let fields = [("host", "evil.example"), ("origin", "http://evil.example")];
        assert_eq!(ask_target("http://localhost:8102/", &fields), Err(Refusal::ForeignPage));
        assert_eq!(ask_target("http://localhost/", &[]), Ok(()), "HTTP/1.0 without a Host");
    }

    #[test]
    fn r004_a_missing_doubled_or_invalid_host_is_a_bad_request() {
        assert_eq!(ask(&[]), Err(Refusal::InvalidHost));
        assert_eq!(ask(&[("host", "localhost"), ("host", "localhost")]), Err(Refusal::InvalidHost));
        for host in [
            "",
            "a b",
            "user@localhost",
            "localhost:0",
            "localhost:99999",
            "localhost:x",
            "local/host",
            "[::1",
            "a,b/",
        ] {
            assert_eq!(ask(&[("host", host)]), Err(Refusal::InvalidHost), "{host}");
        }
    }

    #[test]
    fn r006_an_absolute_target_with_user_information_or_no_port_is_a_bad_request() {
        for target in
            ["http://user:password@localhost/", "http://shop.local@localhost/", "http://localhost:99999/"]
        {
            assert_eq!(ask_target(target, &[("host", "localhost")]), Err(Refusal::InvalidHost), "{target}");
        }
        assert_eq!(ask_target("http://localhost:8102/", &[("host", "localhost")]), Ok(()));
    }

    #[test]
    fn r023_a_page_of_another_site_is_refused() {
        let with =
            |fields: &[(&'static str, &'static str)]| ask(&[&[("host", "localhost:8102")], fields].concat());
        let refused = Err(Refusal::ForeignPage);
        assert_eq!(with(&[("origin", "https://evil.example")]), refused);
        assert_eq!(with(&[("origin", "null")]), refused);
        assert_eq!(with(&[("origin", "http://localhost:3000")]), refused, "another port is another origin");
        assert_eq!(with(&[("sec-fetch-site", "cross-site")]), refused);
        assert_eq!(with(&[("sec-fetch-site", "same-site")]), refused);
        assert_eq!(with(&[("sec-fetch-site", "none")]), Ok(()));
        assert_eq!(with(&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8102")]), Ok(()));
        assert_eq!(with(&[("sec-fetch-site", "cross-site"), ("origin", "https://tool.example")]), Ok(()));
        assert_eq!(with(&[("origin", "https://tool.example"), ("origin", "https://evil.example")]), refused);
    }

    #[test]
    fn r023_no_disguise_of_a_loopback_address_is_served() {
        let admission = Admission { ip_literals: true, ..Admission::default() };
        for (host, local) in [
            ("[::ffff:127.0.0.1]:8102", "127.0.0.1:8102"),
            ("[::ffff:7f00:1]:8102", "[::ffff:127.0.0.1]:8102"),
            ("0.0.0.0:8102", "127.0.0.1:8102"),
            ("[::]:8102", "[::1]:8102"),
        ] {
            let fields = of(&[("host", host)]);
            for ip_literals in [true, false] {
                let admission = Admission { ip_literals, ..admission.clone() };
                let asked = admission.admit(&Uri::from_static("/"), &fields, local.parse().ok());
                assert_eq!(asked, Err(Refusal::UnknownHost), "{host}");
            }
        }
        // A dual-stack listener sees the address of an IPv4 connection as a mapped one; who wrote the plain one is served.
        let fields = of(&[("host", "10.0.0.5:8102")]);
        let local = "[::ffff:10.0.0.5]:8102".parse().ok();
        assert_eq!(Admission::default().admit(&Uri::from_static("/"), &fields, local), Ok(()));
    }

    #[test]
    fn a_probe_may_ask_the_admin_listener_by_address() {
        let admin = Admission { ip_literals: true, ..Admission::default() };
        let fields = of(&[("host", "10.1.2.3:9901")]);
        assert_eq!(admin.admit(&Uri::from_static("/livez"), &fields, None), Ok(()));
        let fields = of(&[("host", "rebound.example:9901")]);
        assert_eq!(admin.admit(&Uri::from_static("/livez"), &fields, None), Err(Refusal::UnknownHost));
    }
}
