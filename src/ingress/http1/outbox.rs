//! What is still to be written to a connection.
//!
//! Knows how to write much with few system calls: heads, chunk lines and short content are gathered, long content is written from where
//! it lies. Does not know what it means.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::wire::{Pipe, Stream, chunked};

/// Content up to here is copied behind what is gathered: cheaper than a slice of its own.
const SHORT: usize = 1 << 10;
/// What an idle connection may hold for its next answer.
const KEPT_AT_REST: usize = 4 << 10;
/// More than this is not gathered: it is written first.
const ENOUGH: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    gathered: Vec<u8>,
    /// How much of `gathered` is written.
    written: usize,
    /// Content, written behind what is gathered.
    content: Bytes,
    /// What ends it, written behind it.
    end: &'static [u8],
    /// Content that nobody reads, moved behind what is gathered. Only where the connection is plain TCP.
    piped: Option<Pipe>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.gathered.len()
            && self.content.is_empty()
            && self.end.is_empty()
            && self.piped.is_none()
    }

    /// Whether something has to be written before more is put in.
    pub(super) fn is_full(&self) -> bool {
        !self.content.is_empty()
            || !self.end.is_empty()
            || self.piped.is_some()
            || self.gathered.len() - self.written >= ENOUGH
    }

    /// Where heads and lines are put. Not while it is full.
    pub(super) fn gathered(&mut self) -> &mut Vec<u8> {
        debug_assert!(
            self.content.is_empty() && self.end.is_empty() && self.piped.is_none(),
            "it would be written in front of the content"
        );
        &mut self.gathered
    }

    /// Puts in some content, as a chunk or as it is. Not while it is full.
    pub(super) fn put(&mut self, content: Bytes, as_chunk: bool) {
        let end: &[u8] = if as_chunk { b"\r\n" } else { b"" };
        let gathered = self.gathered();
        if as_chunk {
            chunked::begin(content.len(), gathered);
        }
        if content.len() <= SHORT {
            gathered.extend_from_slice(&content);
            gathered.extend_from_slice(end);
        } else {
            (self.content, self.end) = (content, end);
        }
    }

    /// Puts in a pipe with content. Not while it is full.
    pub(super) fn put_pipe(&mut self, pipe: Pipe) {
        debug_assert!(!self.is_full(), "it would be written behind the pipe");
        self.piped = Some(pipe);
    }

    /// Puts in the last chunk without trailers, also while it is full.
    pub(super) fn put_last_chunk(&mut self) {
        if self.is_full() && !self.content.is_empty() {
            self.end = b"\r\n0\r\n\r\n";
        } else {
            self.gathered().extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Between requests: gives back what a large answer needed.
    pub(super) fn rest(&mut self) {
        if self.gathered.capacity() > KEPT_AT_REST && self.is_empty() {
            self.gathered = Vec::new();
        }
    }

    /// Writes until nothing is left; `moved` is counted up with each write.
    pub(super) fn poll_empty(
        &mut self,
        stream: &mut Stream,
        moved: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.is_empty() {
            if ready!(self.poll_some(stream, cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *moved += 1;
        }
        self.gathered.clear();
        self.written = 0;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_some(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.written == self.gathered.len()
            && let (Some(pipe), Stream::Tcp(tcp)) = (&mut self.piped, &*stream)
        {
            let some = ready!(pipe.poll_drain(tcp, cx))?;
            if pipe.is_empty() {
                self.piped = None;
            }
            return Poll::Ready(Ok(some));
        }
        let some = ready!(self.poll_write(stream, cx))?;
        self.take(some);
        Poll::Ready(Ok(some))
    }

    fn poll_write(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let gathered = &self.gathered[self.written..];
        if self.content.is_empty() && self.end.is_empty() {
            return Pin::new(stream).poll_write(cx, gathered);
        }
        let slices = [gathered, &self.content, self.end];
        if stream.is_write_vectored() {
            return Pin::new(stream).poll_write_vectored(cx, &slices.map(IoSlice::new));
        }
        let first = slices.into_iter().find(|slice| !slice.is_empty()).unwrap_or_default();
        Pin::new(stream).poll_write(cx, first)
    }

    fn take(&mut self, mut some: usize) {
        let gathered = some.min(self.gathered.len() - self.written);
        self.written += gathered;
        some -= gathered;
        let content = some.min(self.content.len());
        self.content.advance(content);
        self.end = &self.end[some - content..];
    }
}
