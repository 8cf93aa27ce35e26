//! A way into an upstream: the address that an application uses, and a command that tries it.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// What a command line takes literally.
const PLAIN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:@%+=,";

/// A way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What an application uses as its base URL.
    pub address: String,
    /// The Host that it must name there, where that picks the upstream.
    pub host: Option<String>,
    /// A command that tries it.
    pub curl: String,
}

/// Where a listener is.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(&'a Path),
}

impl Way {
    /// The way over a listener `at` some address, over TLS or not, under `path`, with this Host and field that names a subject.
    pub fn new(at: At<'_>, tls: bool, path: &str, host: Option<&str>, subject: Option<&str>) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let (address, mut curl) = match at {
            At::Tcp(listens) => {
                let address = format!("{scheme}://{}{path}", reachable(listens));
                (address.clone(), format!("curl -i {}", quoted(&format!("{address}/"))))
            }
            At::Unix(socket) => {
                let socket = socket.to_string_lossy();
                let url = format!("{scheme}://localhost{path}/");
                (
                    format!("unix:{socket}{path}"),
                    format!("curl -i --unix-socket {} {}", quoted(&socket), quoted(&url)),
                )
            }
        };
        if let Some(host) = host {
            // Writing to a String cannot fail.
            let _ = write!(curl, " -H {}", quoted(&format!("Host: {host}")));
        }
        Self { address, host: host.map(str::to_owned), curl: naming(curl, subject) }
    }

    /// The way over a forward proxy `at` some address to an upstream's own `url`, with this field that names a subject.
    /// `certificate`: what has to be trusted for it.
    pub fn forward(
        at: At<'_>,
        tls: bool,
        url: &str,
        certificate: Option<&Path>,
        subject: Option<&str>,
    ) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let whole = quoted(&format!("{url}/"));
        let (address, asked) = match at {
            At::Tcp(listens) => {
                let address = format!("{scheme}://{}", reachable(listens));
                let asked = format!("-x {}{} {whole}", quoted(&address), trusting(certificate, url));
                (address, asked)
            }
            // With a socket curl uses no proxy: it is told what to write instead (RFC 9112 section 3.2.2), which HTTP/2 has not.
            At::Unix(socket) => {
                let socket = socket.to_string_lossy();
                let version = if tls { " --http1.1" } else { "" };
                let asked = format!(
                    "--unix-socket {}{version} --request-target {whole} {scheme}://localhost/",
                    quoted(&socket)
                );
                (format!("unix:{socket}"), asked)
            }
        };
        let curl = naming(format!("curl -i {asked}"), subject);
        Self { address: format!("{url} through {address}"), host: None, curl }
    }

    /// The way of connections to an upstream's own `url` that are redirected to a listener `at` some address.
    pub fn redirected(at: SocketAddr, url: &str, certificate: Option<&Path>, subject: Option<&str>) -> Self {
        let asked = quoted(&format!("{url}/"));
        let curl = naming(format!("curl -i{} {asked}", trusting(certificate, url)), subject);
        Self { address: format!("{url} redirected to {at}"), host: None, curl }
    }
}

/// What has to be trusted for `url`, as curl is told.
fn trusting(certificate: Option<&Path>, url: &str) -> String {
    match certificate.filter(|_| url.starts_with("https:")) {
        Some(certificate) => format!(" --cacert {}", quoted(&certificate.to_string_lossy())),
        None => String::new(),
    }
}

/// The same command with the field that names a subject.
fn naming(mut curl: String, subject: Option<&str>) -> String {
    if let Some(field) = subject {
        // Writing to a String cannot fail.
        let _ = write!(curl, " -H {}", quoted(&format!("{field}: SUBJECT")));
    }
    curl
}

/// Every address of this machine is no address to use: the one of this machine alone is.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listens.port())
}

/// One word of a POSIX shell.
fn quoted(word: &str) -> String {
    if !word.is_empty() && word.bytes().all(|octet| PLAIN.contains(&octet)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_one_that_a_shell_and_curl_take() {
        let tcp = At::Tcp(([127, 0, 0, 1], 8102).into());
        for (way, address, curl) in [
            (Way::new(tcp, false, "", None, None), "http://127.0.0.1:8102", "curl -i http://127.0.0.1:8102/"),
            (
                Way::new(tcp, false, "/shop", Some("shop.local"), None),
                "http://127.0.0.1:8102/shop",
                "curl -i http://127.0.0.1:8102/shop/ -H 'Host: shop.local'",
            ),
            (
                Way::new(tcp, true, "", None, None),
                "https://127.0.0.1:8102",
                "curl -i https://127.0.0.1:8102/",
            ),
            (
                Way::new(At::Tcp("[::]:80".parse().unwrap()), false, "", None, Some("x-subject")),
                "http://[::1]:80",
                "curl -i 'http://[::1]:80/' -H 'x-subject: SUBJECT'",
            ),
            (
                Way::new(At::Unix(Path::new("/run/my app/it's.sock")), false, "", None, None),
                "unix:/run/my app/it's.sock",
                r"curl -i --unix-socket '/run/my app/it'\''s.sock' http://localhost/",
            ),
        ] {
            assert_eq!((&*way.address, &*way.curl), (address, curl));
        }
    }

    #[test]
    fn through_the_forward_proxy_the_upstream_keeps_its_url() {
        let tcp = At::Tcp(([127, 0, 0, 1], 3128).into());
        let ca = Some(Path::new("/a b/ca.pem"));
        let way = Way::forward(tcp, false, "https://api.example/v2", ca, None);
        assert_eq!(way.address, "https://api.example/v2 through http://127.0.0.1:3128");
        assert_eq!(
            way.curl,
            "curl -i -x http://127.0.0.1:3128 --cacert '/a b/ca.pem' https://api.example/v2/"
        );
        let socket = At::Unix(Path::new("/run/b.sock"));
        let way = Way::forward(socket, false, "http://api.local", ca, Some("x-c"));
        let curl = "curl -i --unix-socket /run/b.sock --request-target http://api.local/ http://localhost/ -H 'x-c: SUBJECT'";
        assert_eq!(way.curl, curl);
        let way = Way::forward(socket, true, "https://api.example", ca, None);
        let curl = "curl -i --unix-socket /run/b.sock --http1.1 --request-target https://api.example/ https://localhost/";
        assert_eq!(way.curl, curl);
    }

    #[test]
    fn what_is_redirected_is_asked_as_if_nobody_were_there() {
        let at = ([127, 0, 0, 1], 15001).into();
        let way = Way::redirected(at, "https://api.example/v2", Some(Path::new("/ca.pem")), Some("x-c"));
        assert_eq!(way.address, "https://api.example/v2 redirected to 127.0.0.1:15001");
        assert_eq!(way.curl, "curl -i --cacert /ca.pem https://api.example/v2/ -H 'x-c: SUBJECT'");
    }
}
