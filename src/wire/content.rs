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

use super::{AnswerHead, Pipe, Stream, fields};

/// The content of a message that comes in, streaming. Whoever holds it shows that it may still be read.
pub struct Incoming {
    from: From,
    interim: Option<Interim>,
}

enum From {
    Nothing,
    Http1(Rc<RefCell<dyn Source>>),
    Http2 { incoming: hyper::body::Incoming, _hold: Option<Rc<()>> },
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
        Self { from: From::Nothing, interim: None }
    }

    /// Content that is read from an HTTP/1.1 connection.
    pub fn http1(source: Rc<RefCell<dyn Source>>) -> Self {
        Self { from: From::Http1(source), interim: None }
    }

    /// Content that is read from an HTTP/2 stream; `hold` shows that it may still be.
    pub fn http2(incoming: hyper::body::Incoming, hold: Rc<()>) -> Self {
        Self::of_http2(incoming, Some(hold))
    }

    fn of_http2(incoming: hyper::body::Incoming, hold: Option<Rc<()>>) -> Self {
        let from = match incoming.is_end_stream() {
            true => From::Nothing,
            false => From::Http2 { incoming, _hold: hold },
        };
        Self { from, interim: None }
    }

    /// The same, of a request whose sender takes interim answers.
    pub fn with_interim(self, interim: Interim) -> Self {
        Self { interim: Some(interim), ..self }
    }

    /// Where interim answers to this request go. None where its sender could not tell them from the final one (HTTP/1.0, RFC 9110
    /// section 15.2), or where nobody can send them (HTTP/2 by hyper). Having it does not keep the content.
    pub fn interim(&self) -> Option<Interim> {
        self.interim.clone()
    }
}

/// Where interim (1xx) answers to one request go.
#[derive(Clone)]
pub struct Interim {
    to: Rc<RefCell<dyn SendsInterim>>,
    request: u64,
}

/// A connection on which interim answers can be sent.
pub trait SendsInterim {
    /// Sends an interim answer to the request of this number; nothing once its final answer has begun.
    fn send_interim(&mut self, request: u64, head: &AnswerHead);
}

impl Interim {
    /// For the request of this number on `to`.
    pub fn new(to: Rc<RefCell<dyn SendsInterim>>, request: u64) -> Self {
        Self { to, request }
    }

    /// Sends an interim answer: its status (1xx but 101) and its fields. A 100 is sent once, whoever wants it. Nothing is sent once the
    /// final answer has begun.
    pub fn send(&self, head: &AnswerHead) {
        self.to.borrow_mut().send_interim(self.request, head);
    }
}

impl std::convert::From<hyper::body::Incoming> for Incoming {
    fn from(incoming: hyper::body::Incoming) -> Self {
        Self::of_http2(incoming, None)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.from {
            From::Nothing => Poll::Ready(None),
            From::Http1(source) => source.borrow_mut().poll_frame(cx),
            From::Http2 { incoming, .. } => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::Http2).and_then(sound))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Nothing => true,
            From::Http1(source) => source.borrow().is_end_stream(),
            From::Http2 { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Nothing => SizeHint::with_exact(0),
            From::Http1(source) => {
                source.borrow().left().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            From::Http2 { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// h2 looks at trailers less closely than RFC 9113 section 8.2.1 does.
fn sound(frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
    match frame.trailers_ref() {
        Some(trailers) if !trailers.iter().all(|(name, value)| fields::is_sound(name, value)) => {
            Err(BodyError::Malformed(
                "a trailer's name is no token, or its value begins or ends with white space",
            ))
        }
        _ => Ok(frame),
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

    /// Moves some of it into `pipe`, which is empty, without reading it: how many octets. `None` where it has to be read as frames: it
    /// comes otherwise than over plain TCP, its length was not told, or what is next of it was read already.
    fn poll_pipe(
        self: Pin<&mut Self>,
        _pipe: &mut Pipe,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, Self::Error>>> {
        Poll::Ready(None)
    }
}

impl Content for http_body_util::Full<Bytes> {}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.from {
            From::Nothing => "Incoming(nothing)",
            From::Http1(_) => "Incoming(HTTP/1.1)",
            From::Http2 { .. } => "Incoming(HTTP/2)",
        })
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interim({})", self.request)
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
