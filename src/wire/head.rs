//! The head of an HTTP/1.1 message (RFC 9112 sections 2 to 6), read strictly and written from nothing but checked values.
//!
//! Knows the first line, Host, versions, and where the content ends. The side that asks is in `answer`; lines and fields are `fields`',
//! targets and hosts `target`'s. Does not read or write sockets.
//!
//! Nothing is corrected and nothing guessed: what two readers could see differently is refused, and what goes on is written anew.

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Uri, Version};

pub use super::answer::{Outgoing, answer, write_request};
use super::{
    fields::{self, Field, Fields, Name, Names, Onward},
    message::{AnswerHead, RequestHead},
    target,
};

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

/// A head that was read, and what it says of its connection.
#[derive(Debug)]
pub struct Read<H> {
    /// What it says.
    pub head: Box<H>,
    /// Where its content ends.
    pub framing: Framing,
    /// The connection may carry another request (RFC 9112 section 9.3). After a request of 1.0 never: a proxy keeps no such connection.
    pub persists: bool,
    /// Of a request: a name has an underscore, which some programs take for a hyphen.
    pub underscored: bool,
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
pub fn request(buffer: &mut BytesMut, limits: Limits) -> Result<Option<Read<RequestHead>>, HeadError> {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    let section = match fields::first_line(buffer)? {
        Some(line) => {
            let section = fields::section(buffer, line + 2, fields::BeforeColon::Refused, limits.fields)?;
            section.map(|section| (line, section))
        }
        None => None,
    };
    let Some((line, section)) = section else { return unfinished(buffer, limits).map(|()| None) };
    if section.end > limits.size {
        return Err(too_large(buffer, limits));
    }
    let head = buffer.split_to(section.end).freeze();
    let (method, target, version) = request_line(&head, line)?;
    let underscored = memchr::memchr(b'_', &head[line..]).is_some();
    let fields = section.of(head);
    check_host(&fields, version)?;
    let underscored = underscored && has_underscore(&fields)?;
    let framing = framing_of_request(&method, &fields, version)?;
    let persists = version == Version::HTTP_11 && !lists_close(&fields);
    let head = RequestHead { method, target, version, fields, protocol: None };
    Ok(Some(Read { head: Box::new(head), framing, persists, underscored }))
}

/// Whether a request that is not all there can still become one.
fn unfinished(buffer: &[u8], limits: Limits) -> Result<(), HeadError> {
    match fields::end(buffer, limits.size, limits.fields + 1) {
        Err(HeadError::TooLarge) => Err(too_large(buffer, limits)),
        outcome => outcome.map(|_| ()),
    }
}

/// What of a head is too large: its first line alone, or all of it.
fn too_large(buffer: &[u8], limits: Limits) -> HeadError {
    let first = &buffer[..buffer.len().min(limits.size)];
    if memchr::memchr(b'\n', first).is_none() { HeadError::TargetTooLong } else { HeadError::TooLarge }
}

/// `method SP request-target SP HTTP-version` (RFC 9112 section 3), which ends at `end`.
fn request_line(head: &Bytes, end: usize) -> Result<(Method, Uri, Version), HeadError> {
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
fn check_host(fields: &Fields, version: Version) -> Result<(), HeadError> {
    let mut hosts = fields.get_all(Name::HOST);
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (None, _) => Err(HeadError::Malformed("the request has no Host")),
        (Some(_), Some(_)) => Err(HeadError::Malformed("the request has more than one Host")),
        (Some(host), None) => match target::host_and_port_octets(host) {
            Some(_) => Ok(()),
            None => Err(HeadError::Malformed("the request's Host is not valid")),
        },
    }
}

/// RFC 9112 section 6.3, without its leniencies.
fn framing_of_request(method: &Method, fields: &Fields, version: Version) -> Result<Framing, HeadError> {
    if !fields.known().meet(FRAMING) {
        return Ok(Framing::Nothing);
    }
    let framing = match (only(fields, Name::TRANSFER_ENCODING), only(fields, Name::CONTENT_LENGTH)) {
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
fn only(fields: &Fields, name: Name) -> Option<Result<&[u8], HeadError>> {
    let mut values = fields.get_all(name);
    let first = values.next()?;
    Some(match values.next() {
        None => Ok(first),
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
pub fn lists_close(fields: &Fields) -> bool {
    fields.connection().close
}

/// Whether a name has an underscore. Some programs cannot tell it from a hyphen; to them these names say what we alone decide.
fn has_underscore(fields: &Fields) -> Result<bool, HeadError> {
    const OURS: [&str; 6] = [
        "content-length",
        "transfer-encoding",
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "http2-settings",
    ];
    let mut found = false;
    for name in fields.iter().map(|field| field.name).filter(|name| name.contains(&b'_')) {
        found = true;
        let hyphened: Vec<u8> =
            name.iter().map(|octet| if *octet == b'_' { b'-' } else { octet.to_ascii_lowercase() }).collect();
        if OURS.iter().any(|ours| ours.as_bytes() == hyphened) {
            return Err(HeadError::Malformed(
                "a field's name has an underscore where one that frames the message has a hyphen",
            ));
        }
    }
    Ok(found)
}

/// Fields that frame content.
const FRAMING: Names = Names::of(&[Name::TRANSFER_ENCODING, Name::CONTENT_LENGTH]);

/// Writes an answer's head to `out`, as [`write_request`] does: the status line of HTTP/1.1 (with the reason that came, see
/// [`Reason`](super::message::Reason)), the fields in their order, our framing, `date` as the value of Date, and `connection` as that of
/// Connection. Where there is a Content-Length among the fields, ours takes its place.
pub fn write_answer(
    head: &AnswerHead,
    framing: Framing,
    connection: Option<&str>,
    date: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    out.reserve(128);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    match &head.reason {
        Some(reason) => out.extend_from_slice(reason.as_bytes()),
        None => out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
    write_fields(&head.fields, |_| Onward::Goes, framing, out);
    if let Some(date) = date {
        fields::write(b"date", date, out);
    }
    if let Some(connection) = connection {
        fields::write(b"connection", connection.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes `fields` as they were spelled, but for those of which `onward` says something else, and `framing`: in the place of a
/// Content-Length that is there, else behind them. Connection and Transfer-Encoding are not written.
pub(super) fn write_fields(
    fields: &Fields,
    mut onward: impl FnMut(&Field<'_>) -> Onward,
    framing: Framing,
    out: &mut Vec<u8>,
) {
    let mut framed = false;
    let framed_anew = |field: &Field<'_>| match field.known {
        Some(Name::CONNECTION | Name::TRANSFER_ENCODING) => Onward::Stays,
        Some(Name::CONTENT_LENGTH) => match framing {
            // The first of several that say the same.
            Framing::Length(length) if !std::mem::replace(&mut framed, true) => {
                match length_in_one_way(field.value) {
                    Some(told) if told == length => Onward::Goes,
                    _ => Onward::Says(length),
                }
            }
            _ => Onward::Stays,
        },
        _ => onward(field),
    };
    fields.write(framed_anew, out);
    match framing {
        Framing::Length(length) if !framed => fields::write_number(b"content-length", length, out),
        Framing::Chunked => fields::write(b"transfer-encoding", b"chunked", out),
        _ => {}
    }
}

/// The number, if it is written as we would write it.
fn length_in_one_way(value: &[u8]) -> Option<u64> {
    let leading_zero = matches!(value, [b'0', _, ..]);
    if leading_zero { None } else { content_length(value) }
}

#[cfg(test)]
mod tests;
