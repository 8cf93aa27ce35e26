//! The connections of one client that wait for their next request.
//!
//! Knows which of them may still be used, for which requests, and closes the others in time. Does not know how a connection is
//! opened. HTTP/1.1 connections lie on a stack, so that those a burst left over idle and go; one HTTP/2 connection is shared by all
//! requests.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use hyper::client::conn::http2;
use tokio::time::Instant;

use super::{client::Limits, doubt::Doubt, http1::Connection};

/// The shortest pause between two looks for connections to close.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The longest one: so long a connection that its upstream has closed may lie about, if it was put back since the last look.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Idle HTTP/1.1 connections and the shared HTTP/2 one.
pub(super) struct Pool<B> {
    idle: RefCell<Vec<Idle>>,
    doubt: Doubt,
    shared: RefCell<Option<Shared<B>>>,
    reaping: Cell<bool>,
    limits: Limits,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// A connection to send one request on.
pub(super) enum Line<B> {
    /// HTTP/1.1: ours alone until the answer has ended.
    Own(Box<Connection>),
    /// HTTP/2: one stream among others, and when their connection was opened, which tells it from others.
    Shared(http2::SendRequest<B>, Instant),
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

    pub(super) fn line(&self) -> Line<B> {
        Line::Shared(self.sender.clone(), self.born)
    }
}

impl<B: 'static> Pool<B> {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            doubt: Doubt::default(),
            shared: RefCell::default(),
            reaping: Cell::new(false),
            limits,
        })
    }

    /// A connection that is quiet and young enough, if there is one. `once`: for a request that must not be sent twice.
    pub(super) fn take(&self, once: bool) -> Option<Line<B>> {
        self.take_own(once).map(Line::Own).or_else(|| self.take_shared())
    }

    fn take_own(&self, once: bool) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let now = Instant::now();
        while let Some(mut lain) = idle.pop() {
            if now >= self.end_of(&lain) {
                continue;
            }
            let idled = now - lain.since;
            if !lain.connection.is_quiet() {
                self.doubt.learn(idled, now);
                continue;
            }
            if once && !self.doubt.spares(idled, now) {
                // Those below have idled for longer.
                idle.push(lain);
                return None;
            }
            return Some(lain.connection);
        }
        None
    }

    /// A connection from here ended instead of an answer.
    pub(super) fn was_cut(&self) {
        self.doubt.learn(Duration::ZERO, Instant::now());
    }

    /// A stream of the shared connection, if it is open and young enough.
    pub(super) fn take_shared(&self) -> Option<Line<B>> {
        let mut shared = self.shared.borrow_mut();
        let held = shared.as_mut()?;
        let now = Instant::now();
        if !held.sender.is_closed() && now < held.born + self.limits.greatest_age {
            held.used = now;
            return Some(held.line());
        }
        // What it still carries ends in peace: streams keep their connection open.
        *shared = None;
        None
    }

    /// The connection that was opened then takes no more requests, if it is still the one that they share.
    pub(super) fn retire(&self, born: Instant) {
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|held| held.born == born) {
            *shared = None;
        }
    }

    /// Makes `shared` the connection that requests share from now on.
    pub(super) fn share(self: &Rc<Self>, shared: Shared<B>) {
        *self.shared.borrow_mut() = Some(shared);
        self.reap();
    }

    /// Puts a connection back whose exchange has ended.
    pub(super) fn put_back(self: &Rc<Self>, connection: Box<Connection>) {
        let now = Instant::now();
        let lain = Idle { connection, since: now };
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.limits.idle_connections && now < self.end_of(&lain) {
            idle.push(lain);
            drop(idle);
            self.reap();
        }
    }

    fn end_of(&self, lain: &Idle) -> Instant {
        let may_idle = lain.connection.may_idle().unwrap_or(Duration::MAX).min(self.limits.idle_timeout);
        (lain.since + may_idle).min(lain.connection.born() + self.limits.greatest_age)
    }

    /// Sees to it that what idles too long, or was closed by its upstream, is closed though no request comes by.
    fn reap(self: &Rc<Self>) {
        if !self.reaping.replace(true) {
            tokio::task::spawn_local(close_in_time(Rc::downgrade(self)));
        }
    }

    /// Closes what is due or has ended; when to look again, if anything is left.
    fn close_due(&self, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        let mut next = None;
        let mut sooner = |end: Instant| next = Some(next.map_or(end, |next: Instant| next.min(end)));
        self.idle.borrow_mut().retain_mut(|lain| {
            let end = self.end_of(lain);
            if now >= end {
                return false;
            }
            if lain.connection.poll_unasked(cx).is_ready() {
                self.doubt.learn(now - lain.since, now);
                return false;
            }
            sooner(end);
            true
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

/// Looks when something is due, when a connection that was looked at ends, and now and then for those that were put back since.
async fn close_in_time<B: 'static>(pool: Weak<Pool<B>>) {
    let mut timer = pin!(tokio::time::sleep(SHORTEST_PAUSE));
    poll_fn(|cx| {
        loop {
            let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
            let now = Instant::now();
            let Some(next) = pool.close_due(now, cx) else {
                pool.reaping.set(false);
                return Poll::Ready(());
            };
            timer.as_mut().reset(next.clamp(now + SHORTEST_PAUSE, now + LONGEST_PAUSE));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
