//! A connection's octets, whatever carries them.
//!
//! Knows TCP, Unix sockets, TLS of either side, HTTP/2 streams and octets that were read too early. Does not know what they mean.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{client, server};

/// A connection's octets.
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS that the peer began.
    Accepted(Box<server::TlsStream<Stream>>),
    /// TLS that we began.
    Connected(Box<client::TlsStream<Stream>>),
    /// A stream of an HTTP/2 connection, or what hyper handed over.
    Upgraded(Box<TokioIo<Upgraded>>),
    /// Octets that were read already, then the rest.
    Rewound(Bytes, Box<Stream>),
    /// Two ends in one process.
    #[cfg(any(test, fuzzing))]
    Memory(tokio::io::DuplexStream),
}

/// How much of a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer has said that it sends no more.
    Said,
    /// Nobody is there any more.
    Gone,
}

impl Stream {
    /// This stream with `octets` in front of what is still to be read.
    pub fn rewound(self, octets: Bytes) -> Self {
        if octets.is_empty() { self } else { Self::Rewound(octets, Box::new(self)) }
    }

    /// What was read too early, and the stream without it: a reader with a buffer of its own begins with the one and goes on with
    /// the other.
    pub fn unwound(self) -> (Bytes, Self) {
        match self {
            Self::Rewound(octets, stream) => (octets, *stream),
            other => (Bytes::new(), other),
        }
    }

    /// Whether the peer of a plain connection has sent nothing that was not read, as far as the reactor knows.
    pub fn is_silent(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.ready(Interest::READABLE).now_or_never().is_none(),
            Self::Unix(stream) => stream.ready(Interest::READABLE).now_or_never().is_none(),
            _ => false,
        }
    }

    /// From now on what does not fill a segment waits for the end of the stream, to go out together with it. Only for what is ended
    /// as soon as it is written. Where the system cannot, it goes out alone.
    pub fn end_with_what_follows(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Self::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_tcp_cork(true);
        }
    }

    /// Whether the peer has ended its side, or the connection, as far as the system says without reading.
    pub fn end(&self) -> Option<Ending> {
        let ready = |interest| match self {
            Self::Unix(stream) => stream.ready(interest).now_or_never(),
            _ => self.tcp()?.ready(interest).now_or_never(),
        };
        let is_gone = ready(Interest::WRITABLE)?.is_ok_and(|ready| ready.is_write_closed());
        let has_ended = || ready(Interest::READABLE)?.ok().filter(|ready| ready.is_read_closed());
        if is_gone { Some(Ending::Gone) } else { has_ended().map(|_| Ending::Said) }
    }

    /// The TCP connection at the bottom, where there is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Accepted(stream) => stream.get_ref().0.tcp(),
            Self::Connected(stream) => stream.get_ref().0.tcp(),
            Self::Rewound(_, stream) => stream.tcp(),
            _ => None,
        }
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $done:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $done,
            Stream::Unix($stream) => $done,
            Stream::Accepted($stream) => $done,
            Stream::Connected($stream) => $done,
            Stream::Upgraded($stream) => $done,
            Stream::Rewound(_, $stream) => $done,
            #[cfg(any(test, fuzzing))]
            Stream::Memory($stream) => $done,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Rewound(octets, _) = &mut *self
            && !octets.is_empty()
        {
            let some = octets.len().min(buffer.remaining());
            buffer.put_slice(&octets[..some]);
            octets.advance(some);
            return Poll::Ready(Ok(()));
        }
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, octets))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Accepted(stream) => stream.is_write_vectored(),
            Self::Connected(stream) => stream.is_write_vectored(),
            Self::Upgraded(stream) => stream.is_write_vectored(),
            Self::Rewound(_, stream) => stream.is_write_vectored(),
            #[cfg(any(test, fuzzing))]
            Self::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Unix(_) => "Unix",
            Self::Accepted(_) => "Accepted",
            Self::Connected(_) => "Connected",
            Self::Upgraded(_) => "Upgraded",
            Self::Rewound(..) => "Rewound",
            #[cfg(any(test, fuzzing))]
            Self::Memory(_) => "Memory",
        })
    }
}
