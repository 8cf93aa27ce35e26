//! Where an HTTP/2 connection stands: how many streams are busy, since when it idles, whether a header block is on its way.
//!
//! Knows it from the frames that pass and from the life of each answer's body. Does not know what is in them.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::super::connection::Limits;

/// Where a connection stands.
#[derive(Debug)]
pub(super) struct Watch {
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Since when the preface, the first frame or a header block is on its way.
    head_since: Cell<Option<Instant>>,
    /// The requests whose bodies may still be read though they are answered.
    uploads: RefCell<Vec<Weak<()>>>,
    changed: Notify,
    /// How often all that was to be written was.
    flushes: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Watch {
    /// A connection whose preface is on its way.
    pub(super) fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            streams: Cell::new(0),
            idle_since: Cell::new(now),
            head_since: Cell::new(Some(now)),
            uploads: RefCell::default(),
            changed: Notify::new(),
            flushes: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// Notes whether a header block is on its way.
    pub(super) fn in_head(&self, is: bool) {
        if is != self.head_since.get().is_some() {
            self.head_since.set(is.then(Instant::now));
        }
    }

    /// How many requests are under way.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// For a request's content: the connection is not idle while it is there.
    pub(super) fn upload(&self) -> Rc<()> {
        let upload = Rc::new(());
        let mut uploads = self.uploads.borrow_mut();
        uploads.retain(|upload| upload.strong_count() > 0);
        uploads.push(Rc::downgrade(&upload));
        upload
    }

    /// Notes that all that was to be written is.
    pub(super) fn flushed(&self) {
        self.flushes.set(self.flushes.get() + 1);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Ready once what there was to be written when `since` was first asked for is written, as far as the application takes it.
    pub(super) fn poll_flushed(&self, since: &mut Option<u64>, cx: &Context<'_>) -> Poll<()> {
        if *since.get_or_insert(self.flushes.get()) != self.flushes.get() {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    fn is_idle(&self) -> bool {
        self.streams.get() == 0 && self.uploads.borrow().iter().all(|upload| upload.strong_count() == 0)
    }

    /// Returns once the connection has idled, or a header block has been on its way, for too long. One timer a connection, which
    /// looks again when it fires and is not touched by a request.
    pub(super) async fn overstayed(&self, limits: &Limits) {
        loop {
            let now = Instant::now();
            let deadline = match self.head_since.get() {
                Some(since) => since + limits.head_timeout,
                None if self.is_idle() => self.idle_since.get() + limits.idle_timeout,
                None => {
                    self.idle_since.set(now);
                    now + limits.head_timeout
                }
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
            if self.streams.get() > 0 {
                changed.await;
            } else if !self.is_idle() {
                tokio::time::sleep(span).await;
            } else if tokio::time::timeout(span, changed).await.is_err() {
                return;
            }
        }
    }
}

/// A request under way: from its head to the end of its answer or of what took its stream over, however that ends.
#[derive(Debug)]
pub(super) struct Exchange(Rc<Watch>);

impl Exchange {
    pub(super) fn begin(watch: Rc<Watch>) -> Self {
        watch.streams.set(watch.streams.get() + 1);
        watch.changed.notify_waiters();
        Self(watch)
    }

    pub(super) fn watch(&self) -> Rc<Watch> {
        Rc::clone(&self.0)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let left = self.0.streams.get() - 1;
        self.0.streams.set(left);
        if left == 0 {
            self.0.idle_since.set(Instant::now());
        }
        self.0.changed.notify_waiters();
    }
}
