//! The connections of one client that wait for their next request.
//!
//! Knows which of them may still be used and closes the others in time. Does not know requests or how a connection is
//! opened. HTTP/1.1 connections lie on a stack, so that those a burst left over idle and go; one HTTP/2 connection is
//! shared by all requests.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

use hyper::client::conn::http2;
use tokio::time::Instant;

use super::{answer::Lease, client::Limits};

/// The shortest pause between two looks for connections to close.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Idle HTTP/1.1 connections and the shared HTTP/2 one.
pub(super) struct Pool<B> {
    idle: RefCell<Vec<(Lease<B>, Instant)>>,
    shared: RefCell<Option<Shared<B>>>,
    reaping: Cell<bool>,
    limits: Limits,
}

/// A connection to send one request on.
pub(super) enum Line<B> {
    /// HTTP/1.1: ours alone until the answer has ended.
    Own(Lease<B>),
    /// HTTP/2: one stream among others.
    Shared(http2::SendRequest<B>),
}

/// The HTTP/2 connection that requests share.
pub(super) struct Shared<B> {
    sender: http2::SendRequest<B>,
    born: Instant,
    used: Instant,
}

impl<B> Shared<B> {
    pub(super) fn new(sender: http2::SendRequest<B>) -> Self {
        let now = Instant::now();
        Self { sender, born: now, used: now }
    }
}

impl<B: 'static> Pool<B> {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            shared: RefCell::default(),
            reaping: Cell::new(false),
            limits,
        })
    }

    /// A connection that is ready, open and young enough, if there is one.
    pub(super) fn take(&self) -> Option<Line<B>> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        while let Some((lease, since)) = idle.pop() {
            if lease.is_ready() && now < self.idle_end(&lease, since) {
                return Some(Line::Own(lease));
            }
        }
        drop(idle);
        self.take_shared()
    }

    /// A stream of the shared connection, if it is open and young enough.
    pub(super) fn take_shared(&self) -> Option<Line<B>> {
        let mut shared = self.shared.borrow_mut();
        let now = Instant::now();
        if let Some(held) = shared.as_mut()
            && !held.sender.is_closed()
            && now < held.born + self.limits.greatest_age
        {
            held.used = now;
            return Some(Line::Shared(held.sender.clone()));
        }
        // What it still carries ends in peace: streams keep their connection open.
        *shared = None;
        None
    }

    /// Makes `shared` the connection that requests share from now on.
    pub(super) fn share(self: &Rc<Self>, shared: Shared<B>) {
        *self.shared.borrow_mut() = Some(shared);
        self.reap();
    }

    /// Puts a connection back whose answer has ended and that is ready for the next request.
    pub(super) fn put_back(self: &Rc<Self>, lease: Lease<B>) {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.limits.idle_connections && now < self.idle_end(&lease, now) {
            idle.push((lease, now));
            drop(idle);
            self.reap();
        }
    }

    fn idle_end(&self, lease: &Lease<B>, since: Instant) -> Instant {
        (since + self.limits.idle_timeout).min(lease.born() + self.limits.greatest_age)
    }

    /// Sees to it that what idles too long is closed though no request comes by.
    fn reap(self: &Rc<Self>) {
        if !self.reaping.replace(true) {
            tokio::task::spawn_local(close_in_time(Rc::downgrade(self)));
        }
    }

    /// Closes what is due; when to look again, if anything is left.
    fn close_due(&self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let mut sooner = |end: Instant| next = Some(next.map_or(end, |next: Instant| next.min(end)));
        self.idle.borrow_mut().retain(|(lease, since)| {
            let end = self.idle_end(lease, *since);
            let keep = now < end && !lease.is_closed();
            if keep {
                sooner(end);
            }
            keep
        });
        let mut shared = self.shared.borrow_mut();
        if let Some(held) = shared.as_ref() {
            let end = (held.used + self.limits.idle_timeout).min(held.born + self.limits.greatest_age);
            if now < end && !held.sender.is_closed() {
                sooner(end);
            } else {
                *shared = None;
            }
        }
        next
    }
}

async fn close_in_time<B: 'static>(pool: Weak<Pool<B>>) {
    loop {
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            let now = Instant::now();
            let Some(next) = pool.close_due(now) else {
                pool.reaping.set(false);
                return;
            };
            next.max(now + SHORTEST_PAUSE)
        };
        tokio::time::sleep_until(next).await;
    }
}
