//! An answer on its way in: heads, then content as it is framed (RFC 9112 sections 4, 6 and 7).
//!
//! Knows where an answer ends and that one which ends earlier is cut. Does not know the request beyond its method.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::Frame;

use super::connection::{Connection, SMALL_READ};
use crate::{
    upstream::client::SendError,
    wire::{
        AnswerHead, BodyError, Pipe, Stream,
        chunked::{self, Step},
        head::{self, Framing, HeadError, Read},
    },
};

/// What bounds the head of an answer; a larger one is a fault of the upstream.
const LIMITS: head::Limits = head::Limits { size: 64 << 10, fields: 100 };
/// What an idle connection may hold for its next answer.
const KEPT_AT_REST: usize = 2 << 10;
/// Content whose length was told is read in steps that are as long, up to this many octets at first.
const FIRST_STEP: usize = 64 << 10;
/// Long content is read in steps of up to this many octets.
const LARGE_READ: usize = 400 << 10;

/// The reading of one answer.
#[derive(Debug)]
pub(super) struct Reading {
    method: Method,
    rest: Rest,
    /// How much is read at once; grows with the content.
    step: usize,
    /// How much of the buffer was looked through for the end of a head, and when it is read again though none was found.
    looked: usize,
    look_at: usize,
    grown: bool,
}

/// What is still to come of the content.
#[derive(Debug)]
enum Rest {
    Nothing,
    Length(u64),
    Chunked(chunked::Reader),
    Close,
}

impl Reading {
    /// The reading of an answer to a request of this method.
    pub(super) fn new(method: Method) -> Self {
        Self { method, rest: Rest::Nothing, step: SMALL_READ, looked: 0, look_at: 0, grown: false }
    }

    /// The request's method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// The next head, interim ones included.
    pub(super) fn poll_head(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Read<AnswerHead>, SendError>> {
        loop {
            if let Some(head) = self.look(connection)? {
                self.begin(&head);
                return Poll::Ready(Ok(head));
            }
            if ready!(connection.poll_read(cx, SMALL_READ)).map_err(|error| SendError::Cut(error.into()))?
                == 0
            {
                return Poll::Ready(Err(SendError::Cut(
                    io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                )));
            }
        }
    }

    /// Looks for a head where one may have become whole, and where what came has doubled: a head that drips is not read anew with
    /// each octet, and what is no head is known before its end.
    fn look(&mut self, connection: &mut Connection) -> Result<Option<Read<AnswerHead>>, SendError> {
        let read = &mut connection.read;
        // As a rule all of it came at once.
        let may_be_whole = self.looked == 0 || has_empty_line(&read[self.looked.saturating_sub(2)..]);
        self.looked = read.len();
        if read.is_empty() || (read.len() < self.look_at && !may_be_whole) {
            return Ok(None);
        }
        self.grown = read.len() > KEPT_AT_REST;
        self.look_at = 2 * read.len();
        let found = head::answer(read, &self.method, LIMITS)?;
        if found.is_some() {
            (self.looked, self.look_at) = (0, 0);
        }
        Ok(found)
    }

    fn begin(&mut self, head: &Read<AnswerHead>) {
        self.rest = match head.framing {
            Framing::Nothing | Framing::Length(0) => Rest::Nothing,
            Framing::Length(length) => {
                self.step = usize::try_from(length).unwrap_or(FIRST_STEP).clamp(SMALL_READ, FIRST_STEP);
                Rest::Length(length)
            }
            Framing::Chunked => Rest::Chunked(chunked::Reader::default()),
            Framing::Close => Rest::Close,
        };
    }

    /// Whether nothing of the content is left.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// What is left of the content, where that was told.
    pub(super) fn left(&self) -> Option<u64> {
        match self.rest {
            Rest::Nothing => Some(0),
            Rest::Length(left) => Some(left),
            Rest::Chunked(_) | Rest::Close => None,
        }
    }

    /// The next of the content; `None` once all of it was read.
    pub(super) fn poll_frame(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.take(connection) {
                Ok(Taken::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Taken::End) => return Poll::Ready(None),
                Ok(Taken::Nothing) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_more(connection, cx)) {
                Ok(0) if matches!(self.rest, Rest::Close) => self.rest = Rest::Nothing,
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(BodyError::Cut))),
                Ok(_) => {}
            }
        }
    }

    /// Moves some of the content into `pipe` without reading it: how many octets; `None` where it has to be read.
    pub(super) fn poll_pipe(
        &mut self,
        connection: &Connection,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, BodyError>>> {
        let (Rest::Length(left), Stream::Tcp(stream)) = (&mut self.rest, &connection.stream) else {
            return Poll::Ready(None);
        };
        if !connection.read.is_empty() {
            return Poll::Ready(None);
        }
        match ready!(pipe.poll_fill(stream, *left, cx)) {
            Ok(None) => Poll::Ready(None),
            Ok(Some(0)) | Err(_) => Poll::Ready(Some(Err(BodyError::Cut))),
            Ok(Some(some)) => {
                *left = left.saturating_sub(some as u64);
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                Poll::Ready(Some(Ok(some)))
            }
        }
    }

    /// What of the content is in the buffer.
    fn take(&mut self, connection: &mut Connection) -> Result<Taken, BodyError> {
        let read = &mut connection.read;
        let data = match &mut self.rest {
            Rest::Nothing => return Ok(Taken::End),
            _ if read.is_empty() => return Ok(Taken::Nothing),
            Rest::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= here as u64;
                let data = read.split_to(here).freeze();
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                data
            }
            Rest::Close => read.split().freeze(),
            Rest::Chunked(reader) => match reader.step(read)? {
                Step::More => return Ok(Taken::Nothing),
                Step::Data(data) => data,
                Step::End(trailers) => {
                    self.rest = Rest::Nothing;
                    return Ok(
                        trailers.map_or(Taken::End, |trailers| Taken::Frame(Frame::trailers(trailers)))
                    );
                }
            },
        };
        Ok(Taken::Frame(Frame::data(data)))
    }

    fn poll_more(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = match self.rest {
            Rest::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(self.step),
            _ => self.step,
        };
        let read = ready!(connection.poll_read(cx, room))?;
        self.grown |= room > SMALL_READ || connection.read.len() > KEPT_AT_REST;
        // It filled what there was, and may well have more.
        if read >= room || (room > SMALL_READ && connection.read.len() == connection.read.capacity()) {
            self.step = (4 * self.step).min(LARGE_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// Whether the buffer grew beyond what an idle connection should hold.
    pub(super) fn has_grown(&self) -> bool {
        self.grown
    }
}

enum Taken {
    Frame(Frame<Bytes>),
    End,
    Nothing,
}

/// Whether a line ends and an empty one follows, however lines end.
fn has_empty_line(octets: &[u8]) -> bool {
    let mut ends = octets.iter().enumerate().filter(|(_, octet)| **octet == b'\n');
    ends.any(|(at, _)| matches!(octets[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

impl From<HeadError> for SendError {
    fn from(error: HeadError) -> Self {
        let problem = match error {
            HeadError::TooLarge => return Self::HeadTooLarge,
            HeadError::Malformed(problem) => problem,
            HeadError::Coding => "it has a transfer coding other than one chunked",
            HeadError::Version => "it is of another version than HTTP/1.0 or HTTP/1.1",
            HeadError::TargetTooLong => "it has no status line",
        };
        Self::NotHttp(problem.to_owned())
    }
}

/// Whether an answer is not the last one to its request. A 101 is: another protocol follows.
pub(super) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
