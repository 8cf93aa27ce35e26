//! The content of a message: what comes in, what goes out, and a connection that is taken over after a head.
//!
//! Knows that content comes as frames from either version of HTTP. Does not know how it is framed (`chunked`, hyper) or what it is.

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http_body::{Body, Frame, SizeHint};

use super::Stream;

/// The content of a message that comes in, streaming. Whoever holds it shows that it may still be read.
pub struct Incoming(From);

enum From {
    Nothing,
    Http1(Rc<RefCell<dyn Source>>),
    Http2(hyper::body::Incoming),
}

/// Where the content of an HTTP/1.1 message is read from: a connection, as long as this message is on it.
pub trait Source {
    /// The next frame; `None` once all of it was read.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Whether nothing is left.
    fn is_end_stream(&self) -> bool;

    /// What is left of it, in octets, where that was told.
    fn left(&self) -> Option<u64>;
}

/// Why content ended before its end.
#[derive(Debug)]
pub enum BodyError {
    /// The connection ended or failed.
    Cut,
    /// Its framing breaks RFC 9112 section 7, as described.
    Malformed(&'static str),
    /// Its HTTP/2 stream failed.
    Http2(hyper::Error),
}

impl Incoming {
    /// No content.
    pub fn nothing() -> Self {
        Self(From::Nothing)
    }

    /// Content that is read from an HTTP/1.1 connection.
    pub fn http1(source: Rc<RefCell<dyn Source>>) -> Self {
        Self(From::Http1(source))
    }
}

impl std::convert::From<hyper::body::Incoming> for Incoming {
    fn from(incoming: hyper::body::Incoming) -> Self {
        if incoming.is_end_stream() { Self(From::Nothing) } else { Self(From::Http2(incoming)) }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            From::Nothing => Poll::Ready(None),
            From::Http1(source) => source.borrow_mut().poll_frame(cx),
            From::Http2(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            From::Nothing => true,
            From::Http1(source) => source.borrow().is_end_stream(),
            From::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            From::Nothing => SizeHint::with_exact(0),
            From::Http1(source) => {
                source.borrow().left().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            From::Http2(incoming) => incoming.size_hint(),
        }
    }
}

/// What is done with a connection once the head that goes with it is written: a tunnel, another protocol. Gets all that the peer
/// sends after its own head; ends with the connection.
pub type Takeover = Box<dyn FnOnce(Stream) -> LocalBoxFuture<'static, ()>>;

/// The content of an answer that goes out. With a [`Takeover`] it has no octets of its own.
pub trait Content: Body<Data = Bytes> {
    /// What is done with the connection after a 101, or a 2xx to CONNECT. Asked once, before the head is written.
    fn take_over(&mut self) -> Option<Takeover> {
        None
    }
}

impl Content for http_body_util::Full<Bytes> {}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            From::Nothing => "Incoming(nothing)",
            From::Http1(_) => "Incoming(HTTP/1.1)",
            From::Http2(_) => "Incoming(HTTP/2)",
        })
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the connection ended in the middle of the content"),
            Self::Malformed(problem) => f.write_str(problem),
            Self::Http2(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http2(error) => Some(error),
            _ => None,
        }
    }
}
