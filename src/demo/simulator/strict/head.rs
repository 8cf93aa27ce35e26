//! Heads: first lines, fields, and what the fields say about the rest of the message.
//!
//! Knows RFC 9112 sections 3 to 6 and 9, and the fields of RFC 9110 that govern a connection.

use super::{
    Asked, Broken, Field, Framing, Message, Start,
    grammar::{self, is_token, is_value, members, trimmed},
};

/// Fields that no trailer section may hold (RFC 9110 section 6.5.1): framing, routing, authentication, and what governs the
/// connection or the processing of the message.
pub(super) const NO_TRAILERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of one hop: a sender that uses one says so in Connection (RFC 9110 section 7.6.1).
const OF_ONE_HOP: &[&str] = &["keep-alive", "te", "upgrade"];

/// A head whose end has not come.
#[derive(Debug)]
pub(super) struct Open {
    start: Start,
    old: bool,
    fields: Vec<Field>,
}

/// `method SP request-target SP HTTP-version` (RFC 9112 section 3).
pub(super) fn request_line(line: &[u8]) -> Result<Open, Broken> {
    const PARTS: Broken =
        ("RFC 9112 section 3", "a request line that is not three parts between single spaces");
    if line.is_empty() {
        return Err(("RFC 9112 section 2.2", "an empty line before a request"));
    }
    let parts: Vec<_> = line.split(|octet| *octet == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(PARTS) };
    if !is_token(method) {
        return Err(("RFC 9110 section 9.1", "a method that is no token"));
    }
    let old = is_old(version)?;
    let method = text(method);
    // The authority is compared with Host once that is read.
    grammar::target(&method, target)?;
    Ok(Open { start: Start::Request { method, target: text(target) }, old, fields: Vec::new() })
}

/// `HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 section 4).
pub(super) fn status_line(line: &[u8]) -> Result<Open, Broken> {
    const PARTS: Broken = ("RFC 9112 section 4", "a status line that is none");
    let mut parts = line.splitn(3, |octet| *octet == b' ');
    let (Some(version), Some(code), Some(reason)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(PARTS);
    };
    let old = is_old(version)?;
    let status = match (code.len(), grammar::length(code)) {
        (3, Some(status @ 100..=999)) => u16::try_from(status).map_err(|_| PARTS)?,
        _ => return Err(("RFC 9110 section 15", "a status code that is none")),
    };
    if !is_value(reason) {
        return Err(("RFC 9112 section 4", "a control character in the reason phrase"));
    }
    Ok(Open { start: Start::Answer { status }, old, fields: Vec::new() })
}

fn is_old(version: &[u8]) -> Result<bool, Broken> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(("RFC 9112 section 2.3", "a version that is neither HTTP/1.1 nor HTTP/1.0")),
    }
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 section 5).
pub(super) fn field_line(line: &[u8]) -> Result<Field, Broken> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(("RFC 9112 section 5.2", "a line that begins with white space"));
    }
    let Some(colon) = line.iter().position(|octet| *octet == b':') else {
        return Err(("RFC 9112 section 5", "a field line without a colon"));
    };
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    if name.ends_with(b" ") || name.ends_with(b"\t") {
        return Err(("RFC 9112 section 5.1", "white space before the colon"));
    }
    if !is_token(name) {
        return Err(("RFC 9110 section 5.1", "a field name that is no token"));
    }
    if !is_value(value) {
        return Err(("RFC 9110 section 5.5", "a control character in a field value"));
    }
    Ok((text(name), value.to_vec()))
}

/// Only of what was found to be ASCII.
fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

impl Open {
    pub(super) fn field(&mut self, line: &[u8]) -> Result<(), Broken> {
        self.fields.push(field_line(line)?);
        Ok(())
    }

    /// The whole head; an answer's with what `asked` for it. Also whether it ends HTTP on its connection, or may.
    pub(super) fn close(self, asked: Option<&Asked>) -> Result<(Message, bool), Broken> {
        let Self { start, old, fields } = self;
        let mut message = Message {
            start,
            old,
            fields,
            framing: Framing::Nothing,
            content: Vec::new(),
            length: 0,
            trailers: Vec::new(),
            extensions: 0,
            end: 0,
            persists: true,
        };
        at_most_one(&message, "authorization")?;
        let options = connection(&message)?;
        let close = options.iter().any(|option| option == "close");
        message.persists = !close && (!old || options.iter().any(|option| option == "keep-alive"));
        let leaves = match (&message.start, asked) {
            (Start::Request { method, target }, _) => {
                host(&message, method, target)?;
                expect(&message)?;
                message.framing = request_framing(&message)?;
                method == "CONNECT" || message.values("upgrade").next().is_some()
            }
            (Start::Answer { status }, Some(asked)) => {
                let status = *status;
                message.framing = answer_framing(&message, status, asked)?;
                if message.framing == Framing::Close {
                    if message.persists {
                        return Err((
                            "RFC 9112 section 9.6",
                            "content up to the connection's end, which was not announced",
                        ));
                    }
                } else if message.is_interim() {
                    message.persists = true;
                }
                status == 101 || (asked.method == "CONNECT" && (200..300).contains(&status))
            }
            (Start::Answer { .. }, None) => false,
        };
        Ok((message, leaves))
    }
}

/// The options of Connection in lower case; every field of one hop is among them.
fn connection(message: &Message) -> Result<Vec<String>, Broken> {
    const SECTION: &str = "RFC 9110 section 7.6.1";
    let options: Vec<_> = message.values("connection").flat_map(members).collect();
    if !options.iter().all(|option| is_token(option)) {
        return Err((SECTION, "a connection option that is no token"));
    }
    let options: Vec<_> = options.into_iter().map(|option| text(option).to_ascii_lowercase()).collect();
    for name in OF_ONE_HOP {
        if message.values(name).next().is_some() && !options.iter().any(|option| option == name) {
            return Err((SECTION, "a field of one hop that Connection does not name"));
        }
    }
    if message.values("proxy-connection").next().is_some() {
        return Err(("RFC 9112 appendix C.2.2", "a Proxy-Connection"));
    }
    let for_all = ["host", "content-length", "authorization", "content-type", "transfer-encoding"];
    if options.iter().any(|option| for_all.contains(&option.as_str())) {
        return Err((SECTION, "a connection option that takes away a field meant for all"));
    }
    Ok(options)
}

/// Exactly one Host in HTTP/1.1, and the same as the target's authority (RFC 9112 section 3.2).
fn host(message: &Message, method: &str, target: &str) -> Result<(), Broken> {
    const SECTION: &str = "RFC 9112 section 3.2";
    let hosts: Vec<_> = message.values("host").collect();
    let authority = grammar::target(method, target.as_bytes())?;
    let host = match hosts[..] {
        [] if message.old => return Ok(()),
        [] => return Err((SECTION, "no Host")),
        [host] => host,
        _ => return Err((SECTION, "more than one Host")),
    };
    if grammar::host_and_port(host).is_none_or(|(name, _)| name.is_empty()) {
        return Err((SECTION, "a Host that is no host and port"));
    }
    match authority {
        Some(authority) if !authority.eq_ignore_ascii_case(host) => {
            Err((SECTION, "a Host unlike the target's authority"))
        }
        _ => Ok(()),
    }
}

/// RFC 9110 section 10.1.1.
fn expect(message: &Message) -> Result<(), Broken> {
    match message.values("expect").all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(()),
        false => Err(("RFC 9110 section 10.1.1", "an expectation that nobody knows")),
    }
}

/// Content-Length and Transfer-Encoding, where they are in order (RFC 9112 section 6.3).
fn framing(message: &Message) -> Result<Option<Framing>, Broken> {
    let lengths: Vec<_> = message.values("content-length").collect();
    let codings: Vec<_> = message.values("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(None),
        ([length], []) => match grammar::length(length) {
            Some(length) => Ok(Some(Framing::Length(length))),
            None => Err(("RFC 9110 section 8.6", "a Content-Length that is no number")),
        },
        (_, []) => Err(("RFC 9112 section 6.3", "more than one Content-Length")),
        ([], _) if message.old => Err(("RFC 9112 section 6.1", "a Transfer-Encoding in HTTP/1.0")),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Framing::Chunked)),
        ([], _) => Err(("RFC 9112 section 6.1", "a Transfer-Encoding other than one chunked")),
        (_, _) => Err(("RFC 9112 section 6.1", "Content-Length and Transfer-Encoding together")),
    }
}

fn request_framing(message: &Message) -> Result<Framing, Broken> {
    Ok(framing(message)?.unwrap_or(Framing::Nothing))
}

fn answer_framing(message: &Message, status: u16, asked: &Asked) -> Result<Framing, Broken> {
    let said = framing(message)?;
    let tunnel = asked.method == "CONNECT" && (200..300).contains(&status);
    if status < 200 && asked.old {
        return Err(("RFC 9110 section 15.2", "an interim answer to HTTP/1.0"));
    }
    if status == 101 && !asked.upgrade {
        return Err(("RFC 9110 section 15.2.2", "a change of protocols that nobody has asked for"));
    }
    if said == Some(Framing::Chunked) && asked.old {
        return Err(("RFC 9112 section 6.1", "a Transfer-Encoding in an answer to HTTP/1.0"));
    }
    if status < 200 || status == 204 || tunnel {
        return match said {
            None => Ok(Framing::Nothing),
            Some(_) => Err(("RFC 9112 section 6.3", "framing in an answer that has no content")),
        };
    }
    if asked.method == "HEAD" || status == 304 {
        return Ok(Framing::Nothing);
    }
    match (status, said) {
        (205, Some(Framing::Length(1..))) => {
            Err(("RFC 9110 section 15.3.6", "content in an answer that resets it"))
        }
        (_, Some(framing)) => Ok(framing),
        (_, None) => Ok(Framing::Close),
    }
}

/// Some fields say one thing only (RFC 9110 section 5.3).
fn at_most_one(message: &Message, name: &str) -> Result<(), Broken> {
    match message.values(name).nth(1) {
        None => Ok(()),
        Some(_) => Err(("RFC 9110 section 5.3", "a field twice that may be there once")),
    }
}
