//! What a simulated party answers, well-formed or not.
//!
//! Knows how an answer looks on the wire: a response, or octets as they are and what becomes of the connection after
//! them. Does not know when it is given.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::Value;

/// The body of a simulated response.
pub type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// One answer, to be given as often as it is cloned.
#[derive(Clone, Debug)]
pub struct Answer {
    shape: Shape,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Shape {
    Response { status: StatusCode, fields: Vec<(HeaderName, HeaderValue)>, content: Content },
    Raw { octets: Bytes, then: Then },
}

#[derive(Clone, Debug)]
enum Content {
    Held(Bytes),
    Zeros(u64),
}

/// What becomes of the connection after raw octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is closed in order (FIN).
    Close,
    /// It stays open, and silent.
    Hold,
    /// It is reset (RST).
    Reset,
}

/// What the server does with an answer.
pub enum Reply {
    /// A response that hyper writes.
    Response(Response<Body>),
    /// Octets as they are.
    Raw {
        /// What is written.
        octets: Bytes,
        /// What follows.
        then: Then,
    },
}

impl Answer {
    /// A response without content.
    pub fn status(status: StatusCode) -> Self {
        Self::response(status, Content::Held(Bytes::new()))
    }

    /// A response whose content is JSON.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::status(status).field(header::CONTENT_TYPE, "application/json").content(value.to_string())
    }

    /// An error of a token endpoint (RFC 6749 section 5.2).
    pub fn oauth_error(status: StatusCode, error: &str, description: &str) -> Self {
        let value = serde_json::json!({ "error": error, "error_description": description });
        Self::json(status, &value).field(header::CACHE_CONTROL, "no-store")
    }

    /// A 200 with a web page, as a captive portal or a maintenance page gives it.
    pub fn html() -> Self {
        Self::status(StatusCode::OK)
            .field(header::CONTENT_TYPE, "text/html; charset=utf-8")
            .content("<!doctype html><title>Maintenance</title><p>We will be back soon.")
    }

    /// A 200 with nothing in it.
    pub fn empty() -> Self {
        Self::status(StatusCode::OK)
    }

    /// A 301 to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::status(StatusCode::MOVED_PERMANENTLY).field(header::LOCATION, location)
    }

    /// A 200 with `length` octets of zeros, made while they are sent.
    pub fn zeros(length: u64) -> Self {
        Self::response(StatusCode::OK, Content::Zeros(length))
    }

    /// These octets instead of a response, then `then`.
    pub fn raw(octets: impl Into<Bytes>, then: Then) -> Self {
        Self { shape: Shape::Raw { octets: octets.into(), then }, delay: Duration::ZERO }
    }

    /// The head of a 200 that announces more than it sends, and then the end of the connection.
    pub fn cut() -> Self {
        Self::raw(
            &b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{\"access_tok"
                [..],
            Then::Close,
        )
    }

    /// Nothing at all, on a connection that stays open.
    pub fn silence() -> Self {
        Self::raw(Bytes::new(), Then::Hold)
    }

    /// A connection that is reset without an answer.
    pub fn reset() -> Self {
        Self::raw(Bytes::new(), Then::Reset)
    }

    /// With this field, besides what is there. Nothing happens to a raw answer, nor by a value that is none (with a
    /// control character in it).
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: &str) -> Self {
        if let Shape::Response { fields, .. } = &mut self.shape
            && let Ok(value) = HeaderValue::from_str(value)
        {
            fields.push((name, value));
        }
        self
    }

    /// With this content. Nothing happens to a raw answer.
    #[must_use]
    pub fn content(mut self, octets: impl Into<Bytes>) -> Self {
        if let Shape::Response { content, .. } = &mut self.shape {
            *content = Content::Held(octets.into());
        }
        self
    }

    /// Given only after `delay`.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The status, where it is a response.
    pub fn code(&self) -> Option<StatusCode> {
        match &self.shape {
            Shape::Response { status, .. } => Some(*status),
            Shape::Raw { .. } => None,
        }
    }

    /// Waits as long as it was told and makes the reply.
    pub(crate) async fn into_reply(self) -> Reply {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.shape {
            Shape::Raw { octets, then } => Reply::Raw { octets, then },
            Shape::Response { status, fields, content } => {
                let mut response = Response::new(content.into_body());
                *response.status_mut() = status;
                for (name, value) in fields {
                    response.headers_mut().append(name, value);
                }
                Reply::Response(response)
            }
        }
    }

    fn response(status: StatusCode, content: Content) -> Self {
        Self { shape: Shape::Response { status, fields: Vec::new(), content }, delay: Duration::ZERO }
    }
}

impl Content {
    fn into_body(self) -> Body {
        match self {
            Self::Held(octets) => Full::new(octets).map_err(never).boxed_unsync(),
            Self::Zeros(length) => zeros(length),
        }
    }
}

/// A body of `length` zeros in pieces of 64 KiB, chunked on the wire.
fn zeros(length: u64) -> Body {
    static PIECE: [u8; 64 << 10] = [0; 64 << 10];
    let whole = length / PIECE.len() as u64;
    let rest = usize::try_from(length % PIECE.len() as u64).unwrap_or(0);
    let pieces = stream::iter((0..whole).map(|_| PIECE.len()).chain((rest > 0).then_some(rest)));
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(Bytes::from_static(&PIECE[..piece]))))).boxed_unsync()
}

fn never(infallible: Infallible) -> hyper::Error {
    match infallible {}
}
