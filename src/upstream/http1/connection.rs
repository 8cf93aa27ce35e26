//! An open HTTP/1.1 connection between two exchanges, and what was read from it too early.
//!
//! Knows whether it is quiet: open, and nothing came that nobody asked for. Does not know messages.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    time::Instant,
};

use crate::wire::{Stream, scratch};

/// What is read at once as a rule: into memory that all connections share, so that one which waits holds none.
pub(super) const SMALL_READ: usize = scratch::ROOM;
/// The most memory that it keeps for encoding, in octets.
const OUT_AT_MOST: usize = 4 << 10;

/// An HTTP/1.1 connection to an upstream.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    pub(super) stream: Stream,
    /// Read and not yet taken.
    pub(super) read: BytesMut,
    /// What requests are encoded into; its memory serves all of them.
    out: Vec<u8>,
    /// It has carried an exchange to its end.
    pub(super) proven: bool,
    /// How long the upstream said that it may idle.
    pub(super) may_idle: Option<Duration>,
    born: Instant,
}

impl Connection {
    /// A connection on which nothing was sent yet.
    pub(in crate::upstream) fn new(stream: Stream) -> Box<Self> {
        Box::new(Self {
            stream,
            read: BytesMut::new(),
            out: Vec::new(),
            proven: false,
            may_idle: None,
            born: Instant::now(),
        })
    }

    /// Memory to encode a request into.
    pub(in crate::upstream) fn memory(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes that memory back.
    pub(super) fn keep_memory(&mut self, mut out: Vec<u8>) {
        if out.capacity() <= OUT_AT_MOST {
            out.clear();
            self.out = out;
        }
    }

    /// When it was opened.
    pub(in crate::upstream) fn born(&self) -> Instant {
        self.born
    }

    /// How long the upstream said that the connection may idle, with a margin for what is on its way.
    pub(in crate::upstream) fn may_idle(&self) -> Option<Duration> {
        self.may_idle
    }

    /// Whether it is open and nothing came that nobody asked for: such octets would be taken for the next answer.
    ///
    /// The kernel is asked, because the reactor may not have had a turn since the last octet or the FIN came.
    pub(in crate::upstream) fn is_quiet(&mut self) -> bool {
        if self.poll_unasked(&mut Context::from_waker(Waker::noop())).is_ready() {
            return false;
        }
        let Some(tcp) = self.stream.tcp() else { return true };
        // Also what TLS might mean nothing by: such a record, between two answers, costs one more connection.
        let peeked = SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Err(problem) if problem.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready as soon as the idle connection has ended or brought something, as far as the reactor knows.
    pub(in crate::upstream) fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut one = [0];
        Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut one)).map(|_| ())
    }

    /// Reads on into the buffer, for which `room` is made where that is much; 0 is the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if room <= SMALL_READ {
            return scratch::poll_read(&mut self.stream, &mut self.read, cx);
        }
        let spare = self.read.capacity() - self.read.len();
        // While slices of it are on their way to the application, what is left of the buffer is used up first.
        if spare < room && !self.read.try_reclaim(room) && spare < room.div_ceil(4) {
            if self.read.is_empty() {
                // Growing it would double it.
                self.read = BytesMut::with_capacity(room);
            } else {
                self.read.reserve(room);
            }
        }
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }
}
