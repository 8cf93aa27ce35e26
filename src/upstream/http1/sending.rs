//! A request on its way out: its head, then its content in our own framing (RFC 9112 sections 3, 6 and 7).
//!
//! Knows what may be written together and that a request whose content fails is never completed. Does not know on which connection
//! it goes, nor what comes back.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::wire::{
    Stream, chunked,
    fields::Name,
    head::{self, Framing, Outgoing},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A piece of content that is not longer is copied behind what is encoded already, so that both go out together.
const SHORT_PIECE: usize = 4 << 10;
/// How much is encoded before some of it is written.
const ENOUGH: usize = 16 << 10;

/// A request that is being written.
pub(in crate::upstream) struct Sending<B> {
    method: Method,
    asks_to_switch: bool,
    content: B,
    framing: Framing,
    /// Encoded and not yet written from `written` on: the head, chunk lines, short pieces of content.
    out: Vec<u8>,
    written: usize,
    /// A long piece of content, written from where it lies, after `out`.
    piece: Bytes,
    /// What follows that piece.
    after: &'static [u8],
    /// Everything is encoded.
    ended: bool,
    failed: Option<Cause>,
    /// How much of it the connection took, in octets.
    sent: u64,
}

/// Why a request was not written to its end.
#[derive(Debug)]
pub(super) enum Unsent {
    /// Its content failed.
    Content(Cause),
    /// The connection takes nothing more.
    Connection(io::Error),
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Cause>,
{
    /// A request, nothing of which is written yet. `out` is empty; its memory is used.
    pub(in crate::upstream) fn new(request: &dyn Outgoing, content: B, mut out: Vec<u8>) -> Self {
        let framing = framing(request, &content);
        head::write_request(request, framing, &mut out);
        let ended = matches!(framing, Framing::Nothing | Framing::Length(0));
        Self {
            method: request.method().clone(),
            asks_to_switch: request.asks_to_switch(),
            content,
            framing,
            out,
            written: 0,
            piece: Bytes::new(),
            after: b"",
            ended,
            failed: None,
            sent: 0,
        }
    }

    /// Its method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it asks for another protocol (RFC 9110 section 7.8).
    pub(super) fn asks_to_switch(&self) -> bool {
        self.asks_to_switch
    }

    /// How much of it the connection took, in octets.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether some of it is waiting to be taken by the connection, rather than the connection for it.
    pub(super) fn is_stuck(&self) -> bool {
        !self.is_written()
    }

    /// The memory that it was encoded into.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.out
    }

    /// Writes on until all of it is written and flushed.
    pub(super) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        loop {
            self.encode(cx);
            if self.is_written() {
                if let Some(cause) = self.failed.take() {
                    return Poll::Ready(Err(Unsent::Content(cause)));
                }
                let flushed = Pin::new(&mut *stream).poll_flush(cx).map_err(Unsent::Connection)?;
                if !self.ended {
                    return Poll::Pending;
                }
                return flushed.map(Ok);
            }
            let written = ready!(self.poll_write(stream, cx)).map_err(Unsent::Connection)?;
            if written == 0 {
                return Poll::Ready(Err(Unsent::Connection(io::ErrorKind::WriteZero.into())));
            }
            self.sent += written as u64;
            self.advance(written);
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.out.len() && self.piece.is_empty() && self.after.is_empty()
    }

    fn poll_write(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let front = &self.out[self.written..];
        let stream = Pin::new(stream);
        if self.piece.is_empty() && self.after.is_empty() {
            return stream.poll_write(cx, front);
        }
        if !stream.is_write_vectored() {
            let first = [front, &self.piece, self.after].into_iter().find(|slice| !slice.is_empty());
            return stream.poll_write(cx, first.unwrap_or_default());
        }
        let slices = [IoSlice::new(front), IoSlice::new(&self.piece), IoSlice::new(self.after)];
        // An empty slice in front would look like nothing to write.
        let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
        stream.poll_write_vectored(cx, &slices[first..])
    }

    fn advance(&mut self, written: usize) {
        let front = written.min(self.out.len() - self.written);
        self.written += front;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        let piece = (written - front).min(self.piece.len());
        self.piece.advance(piece);
        self.after = &self.after[written - front - piece..];
    }

    /// Encodes content until it is not there yet, or there is enough to write.
    fn encode(&mut self, cx: &mut Context<'_>) {
        while !self.ended && self.failed.is_none() && self.piece.is_empty() && self.after.is_empty() {
            if self.out.len() - self.written >= ENOUGH {
                return;
            }
            match Pin::new(&mut self.content).poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.end(None),
                Poll::Ready(Some(Err(cause))) => self.failed = Some(cause.into()),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.data(data),
                    Err(frame) => self.end(frame.into_trailers().ok().as_ref()),
                },
            }
        }
    }

    fn data(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.framing {
            Framing::Length(left) => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return self.failed = Some("the content is longer than was announced".into());
                };
                *left = rest;
                // Also a content that has all its octets is read to its end: whoever holds it wants to know that it was whole.
                self.ended = rest == 0 && self.content.is_end_stream();
                self.put(data, b"");
            }
            _ => {
                chunked::begin(data.len(), &mut self.out);
                self.ended = self.content.is_end_stream();
                self.put(data, if self.ended { b"\r\n0\r\n\r\n" } else { b"\r\n" });
            }
        }
    }

    fn put(&mut self, data: Bytes, after: &'static [u8]) {
        if data.len() <= SHORT_PIECE {
            self.out.extend_from_slice(&data);
            self.out.extend_from_slice(after);
        } else {
            (self.piece, self.after) = (data, after);
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        match self.framing {
            Framing::Chunked => chunked::end(trailers, &mut self.out),
            Framing::Length(left) if left > 0 => {
                return self.failed = Some("the content is shorter than was announced".into());
            }
            // Trailers have no place behind content of a told length.
            _ => {}
        }
        self.ended = true;
    }
}

/// One framing: the length where it is known, chunks where it is not. Without content none is told, unless the application told it
/// or the method is one whose content is asked for (RFC 9110 section 8.6).
fn framing<B: Body>(request: &dyn Outgoing, content: &B) -> Framing {
    if content.is_end_stream() || content.size_hint().exact() == Some(0) {
        let told = request.came().contains(Name::CONTENT_LENGTH)
            || matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        return if told { Framing::Length(0) } else { Framing::Nothing };
    }
    content.size_hint().exact().map_or(Framing::Chunked, Framing::Length)
}
