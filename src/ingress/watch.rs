//! Where a connection stands: idle, in the middle of a head, busy with a request, or with an answer still to be written.
//!
//! Knows it from the octets that pass and from the life of each answer's body. Does not know what is in them.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    sync::Weak,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

use super::{connection::Limits, refused};
use crate::proxy::Arrival;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// Octets of a head have come.
    Head,
    /// From a whole head to the end of its answer's body.
    Busy,
    /// The answer is whole, and some of it is not written yet.
    Answered,
}

/// What the octets of a connection say about where it stands.
#[derive(Debug)]
pub(super) struct Watch {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Whether the last request's body may still be on its way; it may outlast the answer.
    upload: RefCell<Weak<()>>,
    changed: Notify,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            upload: RefCell::default(),
            changed: Notify::new(),
        }
    }
}

impl Watch {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
        self.changed.notify_waiters();
    }

    /// Notes octets read: the beginning of a head, where no request is under way.
    fn read(&self) {
        if self.phase.get() == Phase::Idle && !self.uploads() {
            self.enter(Phase::Head);
        }
    }

    /// For a request with a body: the connection is not idle while it is there.
    pub(super) fn arrival(&self) -> Arrival {
        let arrival = Arrival::default();
        self.upload.replace(arrival.watch());
        arrival
    }

    fn uploads(&self) -> bool {
        self.upload.borrow().strong_count() > 0
    }

    /// Notes that hyper holds nothing unwritten.
    fn flushed(&self) {
        if self.phase.get() == Phase::Answered {
            self.enter(Phase::Idle);
        }
    }

    /// Whether whatever is written now comes from hyper itself: no request has come to the service since all of the
    /// last answer was written.
    fn owes_nothing(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    /// Returns once the connection has idled, or its head has been on its way, for too long. One timer a connection,
    /// which looks again when it fires and is not touched by a request.
    pub(super) async fn overstayed(&self, limits: &Limits) {
        loop {
            let now = Instant::now();
            if self.phase.get() == Phase::Idle && self.uploads() {
                self.since.set(now);
            }
            let deadline = match self.phase.get() {
                Phase::Idle | Phase::Answered => self.since.get() + limits.idle_timeout,
                Phase::Head => self.since.get() + limits.head_timeout,
                Phase::Busy => now + limits.head_timeout,
            };
            if deadline <= now {
                return;
            }
            tokio::time::sleep_until(deadline.min(now + limits.head_timeout)).await;
        }
    }

    /// Returns once the connection has been idle for `span` on end.
    pub(super) async fn idle_for(&self, span: Duration) {
        loop {
            let changed = self.changed.notified();
            if self.phase.get() != Phase::Idle {
                changed.await;
            } else if self.uploads() {
                tokio::time::sleep(span).await;
            } else if tokio::time::timeout(span, changed).await.is_err() {
                return;
            }
        }
    }
}

/// A request under way: from its head to the end of its answer, however that ends.
#[derive(Debug)]
pub(super) struct Exchange(Rc<Watch>);

impl Exchange {
    pub(super) fn begin(watch: Rc<Watch>) -> Self {
        watch.enter(Phase::Busy);
        Self(watch)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.enter(Phase::Answered);
    }
}

pin_project! {
    /// An answer's body that ends its exchange when it is dropped.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        _exchange: Exchange,
    }
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, exchange: Exchange) -> Self {
        Self { body, _exchange: exchange }
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's bytes, watched.
pub(super) struct Watched<T> {
    stream: T,
    watch: Rc<Watch>,
    /// What is left of an answer that is written in place of hyper's own.
    instead: Option<Bytes>,
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, watch: Rc<Watch>) -> Self {
        Self { stream, watch, instead: None }
    }
}

impl<T: AsyncWrite + Unpin> Watched<T> {
    /// Writes our answer where `octets` are hyper's own, and then says that these were written.
    fn poll_write_instead(&mut self, cx: &mut Context<'_>, octets: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_none() && self.watch.owes_nothing() {
            self.instead = refused::instead_of(octets);
        }
        let ours = self.instead.as_mut()?;
        while !ours.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, ours) {
                Poll::Ready(Ok(written)) if written > 0 => ours.advance(written),
                other => return Some(other),
            }
        }
        self.instead = None;
        Some(Poll::Ready(Ok(octets.len())))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.read();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(written) = self.poll_write_instead(cx, octets) {
            return written;
        }
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [alone] = octets
            && let Some(written) = self.poll_write_instead(cx, alone)
        {
            return written;
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for it only when it has handed over all that it held.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.watch.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
