//! The answer to a head of which no request could be made: hyper gives a bare one, ours says why.
//!
//! Knows how hyper's own answer looks. Does not know when one passes: `watch` does.

use std::fmt::Write;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;

use crate::proxy::{Failure, Kind};

/// What is said instead of `octets`, if they are hyper's own answer to a malformed or too large head. Only for octets
/// that cannot be an upstream's.
pub(super) fn instead_of(octets: &[u8]) -> Option<Bytes> {
    let head = std::str::from_utf8(octets).ok()?.strip_suffix("\r\n\r\n")?;
    let (status_line, fields) = head.split_once("\r\n")?;
    let failure = match status_line.strip_prefix("HTTP/1.")?.get(2..5)? {
        "400" => Failure::new(Kind::Malformed, "the request's head is not valid HTTP/1.1"),
        "414" | "431" => Failure::new(
            Kind::HeadTooLarge,
            "the request's head has too many octets or fields (head_size and head_fields in [limits])",
        ),
        _ => return None,
    };
    failure.log();
    let (ours, body) = failure.into_response().into_parts();
    let content = body.collect().now_or_never()?.ok()?.to_bytes();
    let mut answer = format!("HTTP/1.1 {}\r\n", ours.status);
    for (name, value) in &ours.headers {
        // Writing to a String cannot fail.
        let _ = write!(answer, "{name}: {}\r\n", value.to_str().ok()?);
    }
    let _ = write!(answer, "connection: close\r\ncontent-length: {}\r\n", content.len());
    for date in fields.lines().filter(|field| field.to_ascii_lowercase().starts_with("date:")) {
        let _ = write!(answer, "{date}\r\n");
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(&content);
    Some(answer.into())
}
