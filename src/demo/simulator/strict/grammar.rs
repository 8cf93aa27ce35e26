//! The grammar: lines, tokens, values, targets, hosts, chunk lines.
//!
//! Knows RFC 9112, the parts of RFC 9110 and 3986 that it is made of, and octets alone.

use std::net::Ipv6Addr;

use super::Broken;

/// The line that `octets` begin with, without its CRLF; `None` if its end has not come.
pub(super) fn line(octets: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some(end) = octets.iter().position(|octet| matches!(octet, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match (octets[end], octets.get(end + 1)) {
        (b'\r', Some(b'\n')) => Ok(Some(&octets[..end])),
        (b'\r', None) => Ok(None),
        (b'\r', Some(_)) => Err(("RFC 9112 section 2.2", "a bare CR")),
        _ => Err(("RFC 9112 section 2.2", "a bare LF")),
    }
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(octets: &[u8]) -> bool {
    let in_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    !octets.is_empty() && octets.iter().all(in_token)
}

/// A field's value between its optional white space (RFC 9110 section 5.5).
pub(super) fn is_value(octets: &[u8]) -> bool {
    octets.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..))
}

/// Without optional white space at the edges (RFC 9110 section 5.6.3).
pub(super) fn trimmed(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// The members of a list (RFC 9110 section 5.6.1), empty ones left out.
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(trimmed).filter(|member| !member.is_empty())
}

/// The four forms (RFC 9112 section 3.2) by method; returns the authority that a target in absolute or authority form names.
pub(super) fn target<'t>(method: &str, target: &'t [u8]) -> Result<Option<&'t [u8]>, Broken> {
    const ORIGIN: Broken = ("RFC 9112 section 3.2.1", "a target that is no absolute path and query");
    if target.contains(&b'#') {
        return Err(("RFC 9112 section 3.2", "a fragment in the target"));
    }
    if method == "CONNECT" {
        let Some((name, port)) = host_and_port(target) else {
            return Err(("RFC 9112 section 3.2.3", "CONNECT to something that is no host and port"));
        };
        return match port {
            Some(port) if !name.is_empty() && !port.is_empty() => Ok(Some(target)),
            _ => Err(("RFC 9112 section 3.2.3", "CONNECT without host or port")),
        };
    }
    if target == b"*" {
        return match method {
            "OPTIONS" => Ok(None),
            _ => Err(("RFC 9112 section 3.2.4", "the asterisk form for another method than OPTIONS")),
        };
    }
    if target.starts_with(b"/") {
        return if is_path_and_query(target) { Ok(None) } else { Err(ORIGIN) };
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(scheme) = scheme else { return Err(ORIGIN) };
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|octet| b"/?".contains(octet)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains(&b'@') {
        return Err(("RFC 9110 section 4.2.4", "user information in the target"));
    }
    match host_and_port(authority) {
        Some((name, _)) if !name.is_empty() && (path.is_empty() || is_path_and_query(path)) => {
            Ok(Some(authority))
        }
        _ => Err(("RFC 9112 section 3.2.2", "an absolute form that is no http URI")),
    }
}

/// RFC 3986 sections 3.3 and 3.4, and what browsers leave unescaped beyond it.
fn is_path_and_query(octets: &[u8]) -> bool {
    let (path, query) = match octets.iter().position(|octet| *octet == b'?') {
        Some(at) => (&octets[..at], &octets[at + 1..]),
        None => (octets, &octets[octets.len()..]),
    };
    consists(path, b"/:@[]|") && consists(query, b"/?:@[]{}|^`\\")
}

/// Unreserved, sub-delims, whole escapes, and `more` (RFC 3986 section 2).
fn consists(mut octets: &[u8], more: &[u8]) -> bool {
    loop {
        octets = match octets {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [b'%', ..] => return false,
            [octet, rest @ ..] if octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(octet) => rest,
            [octet, rest @ ..] if more.contains(octet) => rest,
            _ => return false,
        }
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2, RFC 3986 section 3.2.2): host and port, where it is one.
pub(super) fn host_and_port(octets: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (name, port) = if octets.first() == Some(&b'[') {
        let end = octets.iter().position(|octet| *octet == b']')?;
        let address = std::str::from_utf8(&octets[1..end]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        (&octets[..=end], &octets[end + 1..])
    } else {
        let end = octets.iter().position(|octet| *octet == b':').unwrap_or(octets.len());
        consists(&octets[..end], b"").then_some(())?;
        octets.split_at(end)
    };
    let port = match port {
        [] => return Some((name, None)),
        [b':', port @ ..] => port,
        _ => return None,
    };
    let number = port.iter().try_fold(0_u32, |number, octet| match octet {
        b'0'..=b'9' => Some(number * 10 + u32::from(octet - b'0')).filter(|number| *number <= 65_535),
        _ => None,
    });
    number.map(|_| (name, Some(port)))
}

/// Digits alone, that fit (RFC 9110 section 8.6).
pub(super) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A chunk's size, and whether extensions follow it (RFC 9112 section 7.1).
pub(super) fn chunk_line(line: &[u8]) -> Result<(u64, bool), Broken> {
    const SIZE: Broken = ("RFC 9112 section 7.1", "a chunk size that is no hexadecimal number");
    let end = line.iter().position(|octet| !octet.is_ascii_hexdigit()).unwrap_or(line.len());
    if end == 0 {
        return Err(SIZE);
    }
    let mut size = 0_u64;
    for octet in &line[..end] {
        let digit = char::from(*octet).to_digit(16).ok_or(SIZE)?;
        if size > u64::MAX >> 4 {
            return Err(("RFC 9112 section 7.1", "a chunk size that overflows"));
        }
        size = size << 4 | u64::from(digit);
    }
    match is_extensions(&line[end..]) {
        true => Ok((size, end < line.len())),
        false => Err(("RFC 9112 section 7.1.1", "something behind a chunk size that is no extension")),
    }
}

/// `*( BWS ";" BWS name [ BWS "=" BWS value ] )`.
fn is_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some((b';', after)) = spaced(rest).split_first() else { return false };
        let name = spaced(after);
        let end = name.iter().position(|octet| !is_token(&[*octet])).unwrap_or(name.len());
        if end == 0 {
            return false;
        }
        rest = &name[end..];
        if let Some((b'=', after)) = spaced(rest).split_first() {
            let value = spaced(after);
            let end = match value.first() {
                Some(b'"') => quoted(value),
                _ => Some(value.iter().position(|octet| !is_token(&[*octet])).unwrap_or(value.len())),
            };
            match end {
                Some(end) if end > 0 => rest = &value[end..],
                _ => return false,
            }
        }
    }
    true
}

fn spaced(octets: &[u8]) -> &[u8] {
    let end = octets.iter().position(|octet| !b" \t".contains(octet)).unwrap_or(octets.len());
    &octets[end..]
}

/// How long the quoted string is that `octets` begin with (RFC 9110 section 5.6.4).
fn quoted(octets: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match octets.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if octets.get(at + 1).is_some_and(|octet| is_value(&[*octet])) => at += 2,
            octet if *octet != b'\\' && is_value(&[*octet]) => at += 1,
            _ => return None,
        }
    }
}
