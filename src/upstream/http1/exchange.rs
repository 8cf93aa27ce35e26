//! One request and its answer on one connection.
//!
//! Knows that writing and reading go on together until both are over, that a write that fails does not end it (what was answered can
//! still be read, and where nothing was, the read says so), and whether the connection is left in a state to be used again. Does not
//! know where it goes then.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::{
    Connection, Sending,
    reading::{Reading, is_interim},
    sending::Unsent,
};
use crate::{
    upstream::client::SendError,
    wire::{
        AnswerHead, BodyError, Pipe, Stream,
        fields::{Fields, Name},
        head::Read,
    },
};

/// Interim (1xx) answers to one request at most.
const MOST_INTERIM: usize = 16;
/// How long an upstream that has answered may take nothing of the rest of its request.
const TAKES_NOTHING: Duration = Duration::from_secs(60);

/// One request and its answer.
pub(in crate::upstream) struct Exchange<B> {
    connection: Box<Connection>,
    /// None once all of it is written.
    sending: Option<Sending<B>>,
    /// The upstream takes nothing more.
    deaf: bool,
    reading: Reading,
    asks_to_switch: bool,
    interim: usize,
    /// The connection may carry another request.
    persists: bool,
    /// What follows the answer's head is not HTTP's.
    switched: bool,
}

/// Why there is no answer.
pub(in crate::upstream) enum Unanswered {
    /// The connection took none of the request, which is still whole ([`Exchange::into_unsent`]).
    NotSent(io::Error),
    /// Some of it may have been received.
    Failed(SendError),
}

/// What became of an exchange's connection.
pub(in crate::upstream) enum Left<B> {
    /// It may carry another request.
    Free(Box<Connection>),
    /// It may, once the request is written.
    Writing(Box<Exchange<B>>),
    /// It is closed.
    Closed,
}

impl<B> Exchange<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Sends a request on this connection, as soon as the answer is asked for.
    pub(in crate::upstream) fn new(connection: Box<Connection>, sending: Sending<B>) -> Box<Self> {
        Box::new(Self {
            connection,
            deaf: false,
            reading: Reading::new(sending.method().clone()),
            asks_to_switch: sending.asks_to_switch(),
            sending: Some(sending),
            interim: 0,
            persists: false,
            switched: false,
        })
    }

    /// Whether its connection has carried another exchange before.
    pub(in crate::upstream) fn was_kept(&self) -> bool {
        self.connection.proven
    }

    /// The request, where nothing of it was sent.
    pub(in crate::upstream) fn into_unsent(self) -> Option<Sending<B>> {
        self.sending
    }

    /// Writes the request and reads the final answer's head, whichever ends first. Each interim answer is shown to `interim`.
    ///
    /// # Errors
    /// The request could not be sent, or there was no answer.
    pub(in crate::upstream) fn poll_answer(
        &mut self,
        interim: &dyn Fn(Box<AnswerHead>),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<AnswerHead>, Unanswered>> {
        match self.poll_sending(cx) {
            Err(Unsent::Content(cause)) => {
                return Poll::Ready(Err(Unanswered::Failed(SendError::Body(cause))));
            }
            Err(Unsent::Connection(error)) if self.sending.as_ref().is_some_and(|it| it.sent() == 0) => {
                return Poll::Ready(Err(Unanswered::NotSent(error)));
            }
            _ => {}
        }
        loop {
            let head =
                ready!(self.reading.poll_head(&mut self.connection, cx)).map_err(Unanswered::Failed)?;
            if !is_interim(head.head.status) {
                return Poll::Ready(self.begin(head).map_err(Unanswered::Failed));
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Poll::Ready(Err(Unanswered::Failed(SendError::TooManyInterim)));
            }
            interim(head.head);
        }
    }

    fn begin(&mut self, Read { head, persists, .. }: Read<AnswerHead>) -> Result<Box<AnswerHead>, SendError> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS && !self.asks_to_switch {
            return Err(SendError::NotHttp("it switched protocols unasked".to_owned()));
        }
        self.switched = head.status == StatusCode::SWITCHING_PROTOCOLS
            || (*self.reading.method() == Method::CONNECT && head.status.is_success());
        self.persists = persists && !self.switched;
        self.connection.may_idle = may_idle(&head.fields);
        Ok(head)
    }

    /// The next of the answer's content, while the request is written on.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Err(Unsent::Content(_)) = self.poll_sending(cx) {
            // A request that fails midway is aborted, and its answer with it.
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        self.reading.poll_frame(&mut self.connection, cx)
    }

    /// Moves some of the answer's content into `pipe` without reading it, while the request is written on: how many octets; `None` where
    /// it has to be read.
    pub(in crate::upstream) fn poll_pipe(
        &mut self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, BodyError>>> {
        if let Err(Unsent::Content(_)) = self.poll_sending(cx) {
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        self.reading.poll_pipe(&self.connection, pipe, cx)
    }

    /// Writes on. A connection that takes nothing more is told of once.
    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Result<(), Unsent> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        if self.deaf {
            return Ok(());
        }
        match sending.poll(&mut self.connection.stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                if let Some(sending) = self.sending.take() {
                    self.connection.keep_memory(sending.into_memory());
                }
            }
            Poll::Ready(Err(unsent)) => {
                self.deaf = true;
                return Err(unsent);
            }
        }
        Ok(())
    }

    /// Whether all of the answer's content was read.
    pub(in crate::upstream) fn is_over(&self) -> bool {
        self.reading.is_over()
    }

    /// What is left of the answer's content, where that was told.
    pub(in crate::upstream) fn left(&self) -> Option<u64> {
        self.reading.left()
    }

    /// Whether what follows the answer's head is another protocol.
    pub(in crate::upstream) fn has_switched(&self) -> bool {
        self.switched
    }

    /// The connection for the other protocol; what came behind the head is still in it.
    pub(in crate::upstream) fn into_switched(self) -> Option<Stream> {
        let Connection { stream, read, .. } = *self.connection;
        (self.switched && self.sending.is_none()).then(|| stream.rewound(read.freeze()))
    }

    /// What becomes of the connection after the answer. One that brought more than the answer is never used again.
    pub(in crate::upstream) fn leave(mut self: Box<Self>) -> Left<B> {
        if !self.persists || self.deaf || !self.connection.read.is_empty() {
            return Left::Closed;
        }
        if self.sending.is_some() {
            return Left::Writing(self);
        }
        if self.reading.has_grown() {
            self.connection.read = bytes::BytesMut::new();
        }
        self.connection.proven = true;
        Left::Free(self.connection)
    }

    /// Writes the rest of the request, though its answer has ended; not to an upstream that takes nothing of it for a minute. How long
    /// the application may take is its content's.
    pub(in crate::upstream) async fn finish(mut self: Box<Self>) -> Left<B> {
        let mut timer = pin!(tokio::time::sleep(TAKES_NOTHING));
        let mut sent = None;
        let written = poll_fn(|cx| {
            self.poll_sending(cx).map_err(|_| ())?;
            let Some(sending) = &self.sending else { return Poll::Ready(Ok(())) };
            let now = sending.is_stuck().then(|| sending.sent());
            if std::mem::replace(&mut sent, now) != now {
                timer.as_mut().reset(Instant::now() + TAKES_NOTHING);
            }
            if now.is_some() { timer.as_mut().poll(cx).map(Err) } else { Poll::Pending }
        });
        match written.await {
            Ok(()) => self.leave(),
            Err(()) => Left::Closed,
        }
    }
}

/// How long the upstream says that the connection may idle. What is sent in the last moment of it would meet its end.
fn may_idle(fields: &Fields) -> Option<Duration> {
    let value = std::str::from_utf8(fields.get(Name::KEEP_ALIVE)?).ok()?;
    let seconds = value.split(',').find_map(|item| item.trim().strip_prefix("timeout=")?.parse().ok())?;
    let told = Duration::from_secs(seconds);
    Some(told.saturating_sub(Duration::from_secs(1)).max(told / 2))
}
