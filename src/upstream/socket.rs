//! An HTTP/2 connection's bytes as hyper's client wants them.
//!
//! Knows that an upstream may answer and stop reading while a request's body is still going out (RFC 9112 section 9.5):
//! a failed write alone does not end an exchange, the read side decides. Does not know HTTP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use crate::wire::Stream;

/// A socket that keeps reading after its writes have failed.
pub(super) struct Socket {
    io: TokioIo<Stream>,
    deaf: bool,
}

impl Socket {
    pub(super) fn new(io: Stream) -> Self {
        Self { io: TokioIo::new(io), deaf: false }
    }

    /// Pretends that the peer took `len` octets once it takes none any more: what it has answered can still be read,
    /// and where it answered nothing, the next read says so.
    fn forgive(&mut self, outcome: Poll<io::Result<usize>>, len: usize) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Err(_)) => {
                self.deaf = true;
                Poll::Ready(Ok(len))
            }
            other => other,
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.forgive(outcome, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(len));
        }
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.forgive(outcome, len)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.io).poll_flush(cx).map_ok(|()| 0);
        self.forgive(outcome, 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
