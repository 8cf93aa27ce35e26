//! The head of an HTTP/1.1 message (RFC 9112 sections 2 to 6), read strictly and written from nothing but checked values.
//!
//! Knows the first line, Host, versions, and where the content ends. The side that asks is in `answer`; lines and fields are `fields`',
//! targets and hosts `target`'s. Does not read or write sockets.
//!
//! Nothing is corrected and nothing guessed: what two readers could see differently is refused, and what goes on is written anew.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header, request, response};

pub use super::{
    answer::{answer, write_request},
    fields::Spelling,
};
use super::{fields, target};

/// What bounds a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole head.
    pub size: usize,
    /// Fields.
    pub fields: usize,
}

/// Where a message's content ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// After so many octets; also 0, where a Content-Length said so.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection; of an answer only.
    Close,
}

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, target, version, fields. The target is in origin, absolute, authority (CONNECT) or asterisk (OPTIONS) form. The spelling
    /// of field names is among the extensions ([`Spelling`]).
    pub parts: request::Parts,
    /// Where its content ends.
    pub framing: Framing,
    /// The connection may carry another request (RFC 9112 section 9.3). Not with 1.0: a proxy keeps no such connection.
    pub persists: bool,
    /// A name has an underscore, which some programs take for a hyphen.
    pub underscored: bool,
}

/// An answer's head.
#[derive(Debug)]
pub struct AnswerHead {
    /// Status, version, fields; the spelling of field names is among the extensions ([`Spelling`]).
    pub parts: response::Parts,
    /// Where its content ends.
    pub framing: Framing,
    /// The connection may carry another request (RFC 9112 section 9.3).
    pub persists: bool,
}

/// Why there is no message in these octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// RFC 9112 says that it is invalid, as described: 400.
    Malformed(&'static str),
    /// The target alone is too long: 414.
    TargetTooLong,
    /// Too many octets or fields: 431.
    TooLarge,
    /// A transfer coding other than one `chunked`: 501.
    Coding,
    /// Another version of HTTP: 505.
    Version,
}

/// Takes a request's head off the front of `buffer`; `None` if it is not whole yet. Empty lines before it are skipped (section 2.2).
///
/// # Errors
/// What stands there is no valid request; the connection ends after the answer.
pub fn request(buffer: &mut BytesMut, limits: Limits) -> Result<Option<RequestHead>, HeadError> {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    let Some(end) = end_of_request(buffer, limits)? else { return Ok(None) };
    let head = buffer.split_to(end).freeze();
    // Lines are found by their LF, as fields are: by a CR in it, the first line would end before it ends.
    let line = memchr::memchr(b'\n', &head).map_or(0, |end| end - 1);
    let (method, uri, version) = request_line(&head, line)?;
    let (read, spelling) = fields::read(&head, line + 2, fields::BeforeColon::Refused)?;
    check_host(&read, version)?;
    let underscored = memchr::memchr(b'_', &head[line..]).is_some() && has_underscore(&read)?;
    let framing = framing_of_request(&method, &read, version)?;
    let persists = version == Version::HTTP_11 && !lists_close(&read);
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, version, read);
    if spelling.is_own() {
        parts.extensions.insert(spelling);
    }
    Ok(Some(RequestHead { parts, framing, persists, underscored }))
}

fn end_of_request(buffer: &[u8], limits: Limits) -> Result<Option<usize>, HeadError> {
    fields::end(buffer, limits.size, limits.fields + 1).map_err(|error| {
        let first_line = &buffer[..buffer.len().min(limits.size)];
        if error == HeadError::TooLarge && memchr::memchr(b'\n', first_line).is_none() {
            HeadError::TargetTooLong
        } else {
            error
        }
    })
}

/// `method SP request-target SP HTTP-version` (RFC 9112 section 3), which ends at `end`.
fn request_line(head: &Bytes, end: usize) -> Result<(Method, http::Uri, Version), HeadError> {
    let line = &head[..end];
    let (Some(first), Some(last)) = (memchr::memchr(b' ', line), memchr::memrchr(b' ', line)) else {
        return Err(HeadError::Malformed("the request line is not a method, a target and a version"));
    };
    let version = match &line[last + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(HeadError::Version);
        }
        _ => return Err(HeadError::Malformed("the request line does not end in a version of HTTP")),
    };
    let method =
        Method::from_bytes(&line[..first]).map_err(|_| HeadError::Malformed("the method is no token"))?;
    if first == last {
        return Err(HeadError::Malformed("the request line is not a method, a target and a version"));
    }
    let uri = target::read(&method, head.slice(first + 1..last)).map_err(HeadError::Malformed)?;
    Ok((method, uri, version))
}

/// Exactly one valid Host (RFC 9112 section 3.2). In 1.0 it may be missing: who can tell without it what is meant serves that.
fn check_host(fields: &HeaderMap, version: Version) -> Result<(), HeadError> {
    let mut hosts = fields.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (None, _) => Err(HeadError::Malformed("the request has no Host")),
        (Some(_), Some(_)) => Err(HeadError::Malformed("the request has more than one Host")),
        (Some(host), None) => match target::host_and_port(host.as_bytes()) {
            Some(_) => Ok(()),
            None => Err(HeadError::Malformed("the request's Host is not valid")),
        },
    }
}

/// RFC 9112 section 6.3, without its leniencies.
fn framing_of_request(method: &Method, fields: &HeaderMap, version: Version) -> Result<Framing, HeadError> {
    let framing = match (only(fields, header::TRANSFER_ENCODING), only(fields, header::CONTENT_LENGTH)) {
        (None, None) => return Ok(Framing::Nothing),
        (Some(_), Some(_)) => {
            return Err(HeadError::Malformed("the request has both Content-Length and Transfer-Encoding"));
        }
        (Some(_), None) if version == Version::HTTP_10 => {
            return Err(HeadError::Malformed("a request of HTTP/1.0 has a Transfer-Encoding"));
        }
        (Some(codings), None) => chunked(codings?)?,
        (None, Some(length)) => Framing::Length(
            content_length(length?).ok_or(HeadError::Malformed("the Content-Length is no length"))?,
        ),
    };
    // RFC 9110 section 9.3.6: what comes after the head of a CONNECT is the tunnel's.
    match framing {
        Framing::Chunked | Framing::Length(1..) if *method == Method::CONNECT => {
            Err(HeadError::Malformed("a CONNECT has content"))
        }
        _ => Ok(framing),
    }
}

/// The value of a field that decides about framing and must not come twice.
fn only(fields: &HeaderMap, name: HeaderName) -> Option<Result<&[u8], HeadError>> {
    let mut values = fields.get_all(name).iter();
    let first = values.next()?;
    Some(match values.next() {
        None => Ok(first.as_bytes()),
        Some(_) => Err(HeadError::Malformed("Content-Length or Transfer-Encoding comes more than once")),
    })
}

/// One `chunked` is what is known (RFC 9112 section 6.1).
fn chunked(codings: &[u8]) -> Result<Framing, HeadError> {
    if codings.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut members = codings.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
    let last_is_chunked = members.next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let others_are_tokens =
        members.all(|coding| fields::is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked"));
    if last_is_chunked && others_are_tokens {
        Err(HeadError::Coding)
    } else {
        Err(HeadError::Malformed("the last transfer coding is not one chunked"))
    }
}

/// The number of octets that the value of a Content-Length tells: digits, and nothing else (RFC 9110 section 8.6).
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// Whether Connection lists `close`.
pub fn lists_close(fields: &HeaderMap) -> bool {
    fields::members(fields, header::CONNECTION).any(|option| option.eq_ignore_ascii_case(b"close"))
}

/// Whether a name has an underscore. Some programs cannot tell it from a hyphen; to them these names say what we alone decide.
fn has_underscore(fields: &HeaderMap) -> Result<bool, HeadError> {
    const OURS: [&str; 6] = [
        "content-length",
        "transfer-encoding",
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "http2-settings",
    ];
    let mut found = false;
    for name in fields.keys().map(HeaderName::as_str).filter(|name| name.contains('_')) {
        found = true;
        if OURS.contains(&&*name.replace('_', "-")) {
            return Err(HeadError::Malformed(
                "a field's name has an underscore where one that frames the message has a hyphen",
            ));
        }
    }
    Ok(found)
}

/// Writes an answer's head to `out`, as [`write_request`] does: the status line of HTTP/1.1 (with the reason that came, see [`Reason`]), the fields in
/// their order, our framing, `date` as the value of Date, and `connection` as that of Connection. Where there is a Content-Length among the
/// fields, ours takes its place.
pub fn write_answer(
    parts: &response::Parts,
    framing: Framing,
    connection: Option<&str>,
    date: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    out.reserve(256);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    match parts.extensions.get::<Reason>() {
        Some(reason) => out.extend_from_slice(reason.as_bytes()),
        None => out.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
    write_fields(&parts.headers, parts.extensions.get::<Spelling>(), framing, out);
    if let Some(date) = date {
        fields::write(b"date", date, out);
    }
    if let Some(connection) = connection {
        fields::write(b"connection", connection.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase that an answer came with, where it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Bytes);

impl Reason {
    /// `reason`, if RFC 9112 section 4 knows its octets.
    pub fn new(reason: Bytes) -> Option<Self> {
        let known = reason.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..));
        known.then_some(Self(reason))
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes `fields` as they were spelled, and `framing`: in the place of a Content-Length that is there, else behind them. Connection and
/// Transfer-Encoding are not written.
pub(super) fn write_fields<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    spelling: Option<&Spelling>,
    framing: Framing,
    out: &mut Vec<u8>,
) {
    let none = Spelling::default();
    let mut spelled = spelling.unwrap_or(&none).spelled();
    let mut framed = false;
    for (name, value) in fields {
        match *name {
            header::CONNECTION | header::TRANSFER_ENCODING => {}
            header::CONTENT_LENGTH => {
                if let (Framing::Length(length), false) = (framing, framed) {
                    framed = true;
                    write_length(spelled.of(name), length, out);
                }
            }
            _ => fields::write(spelled.of(name), value.as_bytes(), out),
        }
    }
    match framing {
        Framing::Length(length) if !framed => write_length(b"content-length", length, out),
        Framing::Chunked => fields::write(b"transfer-encoding", b"chunked", out),
        _ => {}
    }
}

fn write_length(name: &[u8], length: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = length;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    fields::write(name, &digits[at..], out);
}

#[cfg(test)]
mod tests;
