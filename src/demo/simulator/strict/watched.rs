//! A server's connection whose requests are checked while they come.
//!
//! Knows that a violation ends the connection and is counted where somebody will look. Does not know who looks.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Checker, Violation};

/// The violations of some connections.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Vec<Violation>>>);

impl Tally {
    /// All of them so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets them: they were what a test wanted.
    pub fn forgive(&self) -> Vec<Violation> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds one.
    pub fn add(&self, violation: Violation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(violation);
    }
}

/// A connection that fails with the first violation in what is read from it.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    checker: Checker,
    tally: Tally,
}

impl<S> Watched<S> {
    /// Reads from `stream` and adds violations to `tally`.
    pub fn new(stream: S, tally: Tally) -> Self {
        Self { stream, checker: Checker::requests(), tally }
    }

    /// The connection itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// An answer that begins like this may end HTTP on the connection, if that was asked for.
    fn answered(&mut self, octets: &[u8]) {
        if self.checker.may_leave()
            && (octets.starts_with(b"HTTP/1.1 101") || octets.starts_with(b"HTTP/1.1 2"))
        {
            self.checker.leave();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        let checked = match read {
            // Whoever reads nothing has not asked for anything.
            [] if buffer.remaining() == 0 => Ok(()),
            [] => self.checker.end().map(drop),
            octets => self.checker.push(octets),
        };
        if let Err(violation) = checked {
            buffer.set_filled(before);
            self.tally.add(violation);
            tracing::error!(%violation, "a request is invalid");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.answered(octets);
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
