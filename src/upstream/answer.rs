//! An answer's body, and the connection it comes on until it has ended.
//!
//! Knows when an HTTP/1.1 connection is free for the next request: the body ended cleanly and the connection says it
//! is ready. In every other case the connection is closed. Does not know what the body is for.

use std::{
    fmt,
    pin::Pin,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http1};
use tokio::{sync::Notify, time::Instant};

use super::pool::Pool;
use crate::wire::{BodyError, Stream};

/// Interim (1xx) answers to one request at most.
const MOST_INTERIM: usize = 16;

/// The body of an answer, streaming. Dropped before its end, it closes an HTTP/1.1 connection.
pub struct AnswerBody<B> {
    incoming: Incoming,
    lease: Option<Lease<B>>,
}

impl<B: 'static> AnswerBody<B> {
    pub(super) fn new(incoming: Incoming, lease: Option<Lease<B>>) -> Self {
        let mut body = Self { incoming, lease };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// The connection, after a 101 or a 2xx to an extended CONNECT; whatever came after the head is still in it.
    pub fn upgraded(self) -> Option<Stream> {
        None
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl<B: 'static> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame =
            ready!(Pin::new(&mut self.incoming).poll_frame(cx)).map(|frame| frame.map_err(BodyError::Http2));
        match &frame {
            Some(Ok(_)) if !self.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => self.release(),
            Some(Err(_)) => self.lease = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl<B> fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

/// An HTTP/1.1 connection in the hands of one exchange.
pub(super) struct Lease<B> {
    sender: http1::SendRequest<B>,
    pool: Weak<Pool<B>>,
    born: Instant,
    interim: Arc<Interim>,
}

impl<B: 'static> Lease<B> {
    pub(super) fn new(sender: http1::SendRequest<B>, pool: &Rc<Pool<B>>) -> Self {
        Self { sender, pool: Rc::downgrade(pool), born: Instant::now(), interim: Arc::default() }
    }

    pub(super) fn sender(&mut self) -> &mut http1::SendRequest<B> {
        &mut self.sender
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn born(&self) -> Instant {
        self.born
    }

    /// Counts the interim answers to `request`, from none.
    pub(super) fn watch_interim(&self, request: &mut Request<B>) -> Arc<Interim> {
        self.interim.seen.store(0, Ordering::Relaxed);
        let interim = Arc::clone(&self.interim);
        hyper::ext::on_informational(request, move |_| interim.count());
        Arc::clone(&self.interim)
    }

    /// Back to the pool as soon as the connection is ready: at once as a rule, later where the request's body is still
    /// going out though its answer has ended.
    fn give_back(mut self) {
        if self.sender.is_ready() {
            if let Some(pool) = self.pool.upgrade() {
                pool.put_back(self);
            }
        } else if !self.sender.is_closed() {
            tokio::task::spawn_local(async move {
                if self.sender.ready().await.is_ok()
                    && let Some(pool) = self.pool.upgrade()
                {
                    pool.put_back(self);
                }
            });
        }
    }
}

/// A count of interim answers. An upstream that sends nothing else must not keep a connection busy for ever.
#[derive(Debug, Default)]
pub(super) struct Interim {
    seen: AtomicUsize,
    changed: Notify,
}

impl Interim {
    fn count(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= MOST_INTERIM {
            self.changed.notify_one();
        }
    }

    /// Returns once there were more than 16.
    pub(super) async fn too_many(&self) {
        while self.seen.load(Ordering::Relaxed) <= MOST_INTERIM {
            self.changed.notified().await;
        }
    }
}
