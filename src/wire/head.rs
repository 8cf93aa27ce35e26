//! The head of an HTTP/1.1 message (RFC 9112 sections 2 to 6), read strictly and written from nothing but checked values.
//!
//! Knows lines, field names and values, target forms, Host's grammar, and where the content ends. Does not read or write sockets.
//! httparse finds the parts; what it lets pass and RFC 9112 does not (bare LF, `GET *`, a fragment …) is refused before or after it.

use bytes::BytesMut;
use http::{Method, request, response};

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
    /// The connection may carry another request (RFC 9112 section 9.3).
    pub persists: bool,
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

/// How field names were written, for a hop of the same version: some programs look for one spelling alone.
#[derive(Clone, Debug, Default)]
pub struct Spelling(());

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
    let _ = (buffer, limits);
    todo!()
}

/// Takes the head of an answer to a request of `method` off the front of `buffer`; `None` if it is not whole yet. Interim (1xx) heads
/// are heads like others, without content.
///
/// # Errors
/// What stands there is no valid answer; the connection ends.
pub fn answer(
    buffer: &mut BytesMut,
    method: &Method,
    limits: Limits,
) -> Result<Option<AnswerHead>, HeadError> {
    let _ = (buffer, method, limits);
    todo!()
}

/// Writes a request's head to `out`: HTTP/1.1, `Host` first, then the fields in their order, then our framing. Content-Length,
/// Transfer-Encoding and Connection among `parts` are not written: framing is `framing`'s, and `connection` is the value of Connection.
pub fn write_request(parts: &request::Parts, framing: Framing, connection: Option<&str>, out: &mut Vec<u8>) {
    let _ = (parts, framing, connection, out);
    todo!()
}

/// Writes an answer's head to `out`, the same way.
pub fn write_answer(parts: &response::Parts, framing: Framing, connection: Option<&str>, out: &mut Vec<u8>) {
    let _ = (parts, framing, connection, out);
    todo!()
}
