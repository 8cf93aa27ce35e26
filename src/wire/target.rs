//! Request targets and hosts (RFC 9112 section 3.2, RFC 9110 section 7.2, RFC 3986), for both versions of HTTP.
//!
//! Knows which octets may stand where. Does not know which targets or hosts are served.
//!
//! What browsers send is let through although RFC 3986 wants it encoded: `[ ] |` in a path, and in a query also `{ } ^ \` and the grave
//! accent. Whatever else it does not know is refused: what one program corrects another may read differently.

use std::net::Ipv6Addr;

use bytes::Bytes;
use http::{
    Method, Uri,
    uri::{self, Authority, PathAndQuery, Scheme},
};

/// The target of a request with this method, in the one form that fits it. An absolute one has a path, `/` where it had none, and `*`
/// where OPTIONS asks for the server itself (RFC 9112 section 3.2.4).
///
/// # Errors
/// It has none of the four forms, as described.
pub fn read(method: &Method, target: Bytes) -> Result<Uri, &'static str> {
    match target[..] {
        _ if *method == Method::CONNECT => {
            let (_, port) = host_and_port(&target).ok_or("the target of CONNECT is no host and port")?;
            port.ok_or("the target of CONNECT names no port")?;
            let authority = Authority::from_maybe_shared(target).map_err(|_| INVALID)?;
            let mut parts = uri::Parts::default();
            parts.authority = Some(authority);
            Uri::from_parts(parts).map_err(|_| INVALID)
        }
        [b'*'] if *method == Method::OPTIONS => Ok(Uri::from_static("*")),
        [b'/', ..] => {
            check_path_and_query(&target)?;
            let path = PathAndQuery::from_maybe_shared(target).map_err(|_| INVALID)?;
            Ok(Uri::from(path))
        }
        _ => absolute(method, target),
    }
}

const INVALID: &str = "the request's target is not valid";

fn absolute(method: &Method, target: Bytes) -> Result<Uri, &'static str> {
    let (scheme, begin) = match memchr::memchr(b':', &target) {
        Some(4) if target[..4].eq_ignore_ascii_case(b"http") => (Scheme::HTTP, 7),
        Some(5) if target[..5].eq_ignore_ascii_case(b"https") => (Scheme::HTTPS, 8),
        _ => return Err("the request's target is neither a path nor an http or https URL"),
    };
    if target.get(begin - 2..begin) != Some(b"//") {
        return Err(INVALID);
    }
    let length = target[begin..].iter().position(|octet| matches!(octet, b'/' | b'?' | b'#'));
    let end = length.map_or(target.len(), |length| begin + length);
    host_and_port(&target[begin..end]).ok_or("the target's host is not valid, or it has user information")?;
    let path = match target.get(end) {
        None if *method == Method::OPTIONS => Bytes::from_static(b"*"),
        None => Bytes::from_static(b"/"),
        Some(b'/') => target.slice(end..),
        Some(_) => [b"/", &target[end..]].concat().into(),
    };
    if path != "*" {
        check_path_and_query(&path)?;
    }
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(Authority::from_maybe_shared(target.slice(begin..end)).map_err(|_| INVALID)?);
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(path).map_err(|_| INVALID)?);
    Uri::from_parts(parts).map_err(|_| INVALID)
}

/// Checks a path that begins with `/`, and its query.
///
/// # Errors
/// An octet is not valid there, as described.
pub fn check_path_and_query(octets: &[u8]) -> Result<(), &'static str> {
    if octets.first() != Some(&b'/') {
        return Err("the target's path does not begin with a slash");
    }
    let mut allowed = IN_PATH;
    let mut at = 0;
    while let Some(octet) = octets.get(at) {
        let kind = KINDS[usize::from(*octet)];
        if kind & allowed == 0 {
            match octet {
                b'?' => allowed = IN_QUERY,
                b'%' => {
                    let digits =
                        octets.get(at + 1..at + 3).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
                    digits.ok_or("a percent sign in the target does not begin an encoded octet")?;
                    at += 2;
                }
                b'#' => return Err("the target has a fragment"),
                _ => return Err("a character in the target has to be percent-encoded"),
            }
        }
        at += 1;
    }
    Ok(())
}

/// The host and, where it is there, the port of `host[:port]`: a registered name, an IPv4 address, or an IPv6 address in brackets. No
/// user information; a port is from 1 to 65535, and may be empty (`host:`).
pub fn host_and_port(octets: &[u8]) -> Option<(&str, Option<u16>)> {
    let (host, port) = host_and_port_octets(octets)?;
    Some((std::str::from_utf8(host).ok()?, port))
}

/// The same, for whom octets will do: what is let through is ASCII.
pub fn host_and_port_octets(octets: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match octets {
        [b'[', inside @ ..] => {
            let length = memchr::memchr(b']', inside)?;
            std::str::from_utf8(&inside[..length]).ok()?.parse::<Ipv6Addr>().ok()?;
            length + 2
        }
        _ => registered_name(octets).filter(|length| *length > 0)?,
    };
    let (host, port) = octets.split_at(end);
    let port = match port {
        [] | [b':'] => None,
        [b':', digits @ ..] if digits.len() <= 5 => {
            let number = digits.iter().try_fold(0_u32, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
            });
            Some(u16::try_from(number?).ok().filter(|port| *port > 0)?)
        }
        _ => return None,
    };
    Some((host, port))
}

/// The length of the registered name that ends with `octets` or at a colon.
fn registered_name(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let plain = octets[at..].iter().position(|octet| KINDS[usize::from(*octet)] & IN_NAME == 0);
        at = plain.map_or(octets.len(), |length| at + length);
        match octets.get(at) {
            None | Some(b':') => return Some(at),
            Some(b'%') => {
                octets.get(at + 1..at + 3).filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
                at += 3;
            }
            Some(_) => return None,
        }
    }
}

const IN_PATH: u8 = 1;
const IN_QUERY: u8 = 2;
const IN_NAME: u8 = 4;

/// Where an octet may stand as it is; `%` begins an encoded one, and `?` ends a path.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        kinds[octet] = match octet as u8 {
            // unreserved and sub-delims, which a registered name has too
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                IN_PATH | IN_QUERY | IN_NAME
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
                IN_PATH | IN_QUERY | IN_NAME
            }
            // the rest of pchar
            b':' | b'@' | b'/' => IN_PATH | IN_QUERY,
            b'[' | b']' | b'|' => IN_PATH | IN_QUERY,
            b'?' | b'{' | b'}' | b'^' | b'`' | b'\\' => IN_QUERY,
            _ => 0,
        };
        octet += 1;
    }
    kinds
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(method: &Method, text: &'static str) -> Result<String, &'static str> {
        let uri = read(method, Bytes::from_static(text.as_bytes()))?;
        let authority = uri.authority().map_or("-", Authority::as_str);
        Ok(format!("{authority} {}", uri.path_and_query().map_or("-", PathAndQuery::as_str)))
    }

    #[test]
    fn r052_each_form_is_for_its_methods() {
        let (get, options, connect) = (Method::GET, Method::OPTIONS, Method::CONNECT);
        for (method, text, read) in [
            (&get, "/", "- /"),
            (&get, "/a/b;c=d?e=f&g?/", "- /a/b;c=d?e=f&g?/"),
            (&get, "//evil.example/x", "- //evil.example/x"),
            (&get, "/a:b@c%2f%E2?x[]=1|2&{3}^`", "- /a:b@c%2f%E2?x[]=1|2&{3}^`"),
            (&get, "/[a]|b", "- /[a]|b"),
            (&get, "/a?b\\c", "- /a?b\\c"),
            (&get, "http://host", "host /"),
            (&get, "HTTP://Host:80?a", "Host:80 /?a"),
            (&get, "https://[::1]:8443/a?b", "[::1]:8443 /a?b"),
            (&options, "*", "- *"),
            (&options, "http://host", "host *"),
            (&options, "http://host/", "host /"),
            (&options, "/a", "- /a"),
            (&connect, "host:443", "host:443 -"),
            (&connect, "[::1]:443", "[::1]:443 -"),
        ] {
            assert_eq!(target(method, text).as_deref(), Ok(read), "{method} {text}");
        }
        for (method, text) in [
            (&get, "*"),
            (&get, "host:443"),
            (&get, "host"),
            (&get, ""),
            (&get, "?a"),
            (&options, "**"),
            (&connect, "/"),
            (&connect, "*"),
            (&connect, "host"),
            (&connect, "host:"),
            (&connect, "http://host:443"),
        ] {
            assert!(target(method, text).is_err(), "{method} {text}");
        }
    }

    #[test]
    fn r050_nothing_in_a_target_is_corrected() {
        for text in [
            "/a b",
            "/a\tb",
            "/a\\b",
            "/a\"b",
            "/<a>",
            "/a^b",
            "/a`b",
            "/{a}",
            "/a?\"",
            "/a?<",
            "/é",
            "/a\u{7f}",
            "/%",
            "/%2",
            "/%2g",
            "/a?%zz",
            "ftp://host/",
            "http:/host/",
            "http:host",
            "http:///a",
            "file:///a",
            "http://",
        ] {
            assert!(target(&Method::GET, text).is_err(), "{text}");
        }
    }

    #[test]
    fn r053_a_fragment_is_refused() {
        for text in ["/a#b", "/#", "/a?b#c", "http://host#a", "http://host/#"] {
            assert!(target(&Method::GET, text).is_err(), "{text}");
        }
    }

    #[test]
    fn r004_r006_r009_a_host_is_a_host_and_a_port_is_one() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            ("a.example:8102", "a.example", Some(8102)),
            ("a.example:", "a.example", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", Some(65535)),
            ("a_b.example", "a_b.example", None),
            ("%41.example", "%41.example", None),
        ] {
            assert_eq!(host_and_port(text.as_bytes()), Some((host, port)), "{text}");
        }
        for text in [
            "",
            ":80",
            "a:0",
            "a:65536",
            "a:99999",
            "a:000080",
            "a:x",
            "a:+1",
            "a:-1",
            "a: 80",
            "a:80:80",
            "user@a",
            "u:p@a:80",
            "a b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]x",
            "[]",
            "[a]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "a%",
            "a%4",
            "a%zz",
            "é",
            "a\u{0}",
            "<a>",
            "a]",
            "a[b",
        ] {
            assert_eq!(host_and_port(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_let_through_is_what_came(text in "(/|http://h|\\*|a:1)?[ -~\u{e9}]{0,30}") {
            for method in [Method::GET, Method::OPTIONS, Method::CONNECT] {
                if let Ok(uri) = read(&method, Bytes::from(text.clone())) {
                    let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
                    if method == Method::CONNECT {
                        prop_assert_eq!(uri.authority().unwrap().as_str(), &text);
                    } else {
                        prop_assert!(path == "*" || text.ends_with(path) || text.ends_with(&path[1..]), "{} {}", text, path);
                        prop_assert!(path.bytes().all(|octet| octet.is_ascii_graphic() && !b"#\"<>".contains(&octet)));
                    }
                }
            }
        }
    }
}
