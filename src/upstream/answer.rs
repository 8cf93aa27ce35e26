//! An answer's content, and the connection it comes on until it has ended.
//!
//! Knows when an HTTP/1.1 connection goes back to its pool: the content ended where its framing said, nothing came behind it, and
//! the request is written. In every other case the connection is closed. Does not know what the content is for.

use std::{
    fmt,
    pin::Pin,
    rc::Weak,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    http1::{Exchange, Left},
    pool::Pool,
};
use crate::wire::{BodyError, Pipe, Stream};

/// The content of an answer, streaming. Dropped before its end, it closes an HTTP/1.1 connection.
pub struct AnswerBody<B>(On<B>);

enum On<B> {
    Http1 { exchange: Option<Box<Exchange<B>>>, pool: Weak<Pool<B>> },
    Http2(Box<(Incoming, Option<Stream>)>),
}

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn http1(exchange: Box<Exchange<B>>, pool: Weak<Pool<B>>) -> Self {
        let over = exchange.is_over() && !exchange.has_switched();
        let mut on = On::Http1 { exchange: Some(exchange), pool };
        if over {
            on.release();
        }
        Self(on)
    }

    /// `tunnel`: the stream after a 2xx to CONNECT.
    pub(super) fn http2(incoming: Incoming, tunnel: Option<Stream>) -> Self {
        Self(On::Http2(Box::new((incoming, tunnel))))
    }

    /// The connection, after a 101 or a 2xx to CONNECT; whatever came after the head is still in it. `None` after other answers, and
    /// where the request was not wholly sent before.
    pub fn upgraded(self) -> Option<Stream> {
        match self.0 {
            On::Http1 { exchange, .. } => exchange?.into_switched(),
            On::Http2(stream) => stream.1,
        }
    }

    /// Moves some of it into `pipe`, which is empty, without reading it: how many octets; `None` where it has to be read.
    pub fn poll_pipe(
        &mut self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, BodyError>>> {
        let On::Http1 { exchange, .. } = &mut self.0 else { return Poll::Ready(None) };
        let Some(under_way) = exchange else { return Poll::Ready(None) };
        let moved = ready!(under_way.poll_pipe(pipe, cx));
        match &moved {
            Some(Err(_)) => *exchange = None,
            Some(Ok(_)) if under_way.is_over() => self.0.release(),
            Some(Ok(_)) | None => {}
        }
        Poll::Ready(moved)
    }
}

impl<B> On<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// The answer has ended: back to the pool, at once as a rule, later where the request is still being written.
    fn release(&mut self) {
        let Self::Http1 { exchange, pool } = self else { return };
        match exchange.take().map(|exchange| exchange.leave()) {
            Some(Left::Free(connection)) => {
                if let Some(pool) = pool.upgrade() {
                    pool.put_back(connection);
                }
            }
            Some(Left::Writing(exchange)) => {
                let pool = pool.clone();
                tokio::task::spawn_local(async move {
                    if let Left::Free(connection) = exchange.finish().await
                        && let Some(pool) = pool.upgrade()
                    {
                        pool.put_back(connection);
                    }
                });
            }
            Some(Left::Closed) | None => {}
        }
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let exchange = match &mut self.0 {
            On::Http2(stream) => {
                let frame = Pin::new(&mut stream.0).poll_frame(cx);
                return frame.map(|frame| frame.map(|frame| frame.map_err(BodyError::Http2)));
            }
            On::Http1 { exchange, .. } => exchange,
        };
        let Some(under_way) = exchange else { return Poll::Ready(None) };
        let frame = ready!(under_way.poll_frame(cx));
        match &frame {
            Some(Ok(_)) if !under_way.is_over() => {}
            Some(Err(_)) => *exchange = None,
            Some(Ok(_)) | None => self.0.release(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            On::Http1 { exchange, .. } => exchange.as_ref().is_none_or(|exchange| exchange.is_over()),
            On::Http2(stream) => stream.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            On::Http1 { exchange, .. } => exchange
                .as_ref()
                .map_or(Some(0), |exchange| exchange.left())
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            On::Http2(stream) => stream.0.size_hint(),
        }
    }
}

impl<B> fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
