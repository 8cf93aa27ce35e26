//! One connection, as everybody sees it who has to do with it: the task that serves it, who reads the content of its request, who has an
//! interim answer to send.
//!
//! Knows what was read and not yet understood, what is still to be written, and where the content of the request under way ends. Only
//! one of them reads at a time: while there is content to be read, whoever holds it; then the connection's own task.

use std::{
    cell::RefCell,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use http_body::Frame;
use tokio::io::AsyncReadExt;

use super::{outbox::Outbox, patience::Phase};
use crate::wire::{
    AnswerHead, BodyError, Ending, SendsInterim, Source, Stream, chunked,
    head::{self, Framing},
    scratch,
};

/// What is read at once where little comes: into memory that all connections share, so that one which waits holds none.
const LEAST_ROOM: usize = scratch::ROOM;
/// And where much comes: fewer, larger reads. Twice as much is held of an upload that is not taken as fast as it comes.
const MOST_ROOM: usize = 64 << 10;
/// What an idle connection may hold for its next request: most heads fit, and it need not be had again.
const KEPT_AT_REST: usize = 2 << 10;
/// What may be read of later requests while one is under way.
const MOST_AHEAD: usize = 8 << 10;
/// What of interim answers may wait for an application that does not read.
const MOST_INTERIM: usize = 16 << 10;

pub(super) struct Line {
    /// None once it was taken over.
    stream: Option<Stream>,
    pub(super) inbox: BytesMut,
    /// How much of it was looked at for a head that was not whole.
    pub(super) looked_at: usize,
    room: usize,
    /// It holds more than a small request needs.
    large: bool,
    pub(super) outbox: Outbox,
    /// The number of the request under way.
    request: u64,
    content: Content,
    /// Somebody holds the content of the request under way.
    held: bool,
    /// The application waits for a 100 before it sends its content.
    waits: bool,
    /// The application takes interim answers.
    takes_interim: bool,
    /// The final answer has begun.
    begun: bool,
    /// The application has said that it sends no more.
    ended: bool,
    /// The connection's own task.
    task: Option<Waker>,
    /// That task has its turn, and looks at all of this before the turn ends.
    pub(super) own_turn: bool,
    /// Who waits for content.
    reader: Option<Waker>,
    pub(super) phase: Phase,
    /// Counts what keeps the connection from being given up.
    pub(super) moved: u64,
    /// The connection is to end at its next rest.
    pub(super) draining: bool,
    /// It has stood still for too long at this count of what moved.
    given_up: Option<u64>,
}

/// What is still to be read of the request under way.
#[derive(Debug)]
pub(super) enum Content {
    Length(u64),
    Chunked(chunked::Reader),
    /// All of it was read.
    Whole,
    /// It was cut or broke its framing: nothing on this connection can be understood any more.
    Broken,
}

impl Line {
    /// What was read too early is read already.
    pub(super) fn new(stream: Stream) -> Self {
        let (first, stream) = stream.unwound();
        Self {
            stream: Some(stream),
            inbox: first.into(),
            looked_at: 0,
            room: LEAST_ROOM,
            large: false,
            outbox: Outbox::default(),
            request: 0,
            content: Content::Whole,
            held: false,
            waits: false,
            takes_interim: false,
            begun: false,
            ended: false,
            task: None,
            own_turn: false,
            reader: None,
            phase: Phase::Idle,
            moved: 0,
            draining: false,
            given_up: None,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.moved += 1;
    }

    /// A request begins whose content is framed like this.
    pub(super) fn begin(&mut self, framing: Framing, takes_interim: bool, waits: bool) {
        self.request += 1;
        self.content = match framing {
            Framing::Chunked => Content::Chunked(chunked::Reader::default()),
            Framing::Length(length) if length > 0 => Content::Length(length),
            Framing::Length(_) | Framing::Nothing | Framing::Close => Content::Whole,
        };
        (self.takes_interim, self.begun) = (takes_interim, false);
        self.waits = waits && !self.is_whole();
        self.held = false;
        self.enter(Phase::Busy);
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.content, Content::Whole)
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.content, Content::Broken)
    }

    /// Whether somebody reads the content on though its request is answered, and may get all of it.
    pub(super) fn is_uploading(&self) -> bool {
        self.held && !self.waits && !self.is_whole() && !self.is_broken()
    }

    /// How much content is still to come, where that was told.
    pub(super) fn left(&self) -> Option<u64> {
        match self.content {
            Content::Length(left) => Some(left),
            Content::Whole => Some(0),
            Content::Chunked(_) | Content::Broken => None,
        }
    }

    /// The final answer begins. Whether the content that is still to come may never come: the application waits for a 100.
    pub(super) fn begin_answer(&mut self) -> bool {
        self.begun = true;
        self.moved += 1;
        self.waits
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Ends the connection, unless what has come in this moment moves it.
    pub(super) fn give_up(&mut self) {
        self.given_up = Some(self.moved);
        self.wake();
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up == Some(self.moved)
    }

    /// Makes sure that the connection's task is woken by who holds the content, or gives the connection up.
    pub(super) fn attend(&mut self, cx: &Context<'_>) {
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            task => *task = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.as_ref().filter(|_| !self.own_turn) {
            task.wake_by_ref();
        }
    }

    /// Between requests: gives back what a large one needed.
    pub(super) fn rest(&mut self) {
        if self.large {
            (self.room, self.large) = (LEAST_ROOM, false);
            self.inbox = BytesMut::new();
        }
        self.outbox.rest();
    }

    /// Whether a head may be whole, or wrong, that was not so when it was last looked at: both are told with a line's end. One that drips
    /// is not read anew with each octet.
    pub(super) fn may_be_head(&self, size: usize) -> bool {
        let new = &self.inbox[self.looked_at..];
        !new.is_empty()
            && (self.looked_at == 0 || self.inbox.len() >= size || memchr::memchr(b'\n', new).is_some())
    }

    /// Reads some; 0 is the end of what the application sends.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(0)) };
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let (some, space) = if self.room <= LEAST_ROOM {
            (ready!(scratch::poll_read(stream, &mut self.inbox, cx))?, LEAST_ROOM)
        } else {
            // As long as a request's fields are alive its buffer cannot be used anew: what is left of it is used up first.
            if self.inbox.capacity() - self.inbox.len() < self.room / 4 {
                self.inbox.reserve(self.room);
            }
            let space = self.inbox.capacity() - self.inbox.len();
            (ready!(pin!(stream.read_buf(&mut self.inbox)).poll(cx))?, space)
        };
        self.large |= self.inbox.len() > KEPT_AT_REST;
        if some == 0 {
            self.ended = true;
            self.moved += 1;
        }
        if some == space {
            self.room = (self.room * 2).min(MOST_ROOM);
        } else if some < self.room / 4 {
            self.room = (self.room / 2).max(LEAST_ROOM);
        }
        Poll::Ready(Ok(some))
    }

    /// While nobody else reads: notices that the application is gone. An error is the end; that it sends no more is not.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.is_whole() && !self.ended && self.inbox.len() < MOST_AHEAD {
            if let Err(error) = ready!(self.poll_read(cx)) {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        self.outbox.poll_empty(stream, &mut self.moved, cx)
    }

    /// What the system knows of the connection's end without reading.
    pub(super) fn end(&self) -> Option<Ending> {
        self.stream.as_ref()?.end()
    }

    /// Whether the system can move content here that nobody reads.
    pub(super) fn takes_pipes(&self) -> bool {
        matches!(self.stream, Some(Stream::Tcp(_)))
    }

    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    /// The connection, with what was read too early. Who waits for content learns that none comes.
    pub(super) fn take(&mut self) -> Option<Stream> {
        let stream = self.close()?;
        let unread = self.inbox.split().freeze();
        Some(stream.rewound(unread))
    }

    /// Ends it, whoever still has to do with it.
    pub(super) fn close(&mut self) -> Option<Stream> {
        let stream = self.stream.take();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        stream
    }

    /// The next content of the request of this number.
    pub(super) fn poll_content(
        &mut self,
        request: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if request != self.request {
            return Poll::Ready(None);
        }
        loop {
            match &mut self.content {
                Content::Whole => return Poll::Ready(None),
                Content::Broken => return Poll::Ready(Some(Err(BodyError::Cut))),
                Content::Length(left) if !self.inbox.is_empty() => {
                    let some = usize::try_from(*left).unwrap_or(usize::MAX).min(self.inbox.len());
                    *left -= some as u64;
                    let whole = *left == 0;
                    let content = self.inbox.split_to(some).freeze();
                    if whole {
                        self.content_ended(Content::Whole);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(content))));
                }
                Content::Length(_) => {}
                Content::Chunked(reader) => match reader.step(&mut self.inbox) {
                    Ok(chunked::Step::Data(content)) => return Poll::Ready(Some(Ok(Frame::data(content)))),
                    Ok(chunked::Step::End(trailers)) => {
                        self.content_ended(Content::Whole);
                        return Poll::Ready(trailers.map(Frame::trailers).map(Ok));
                    }
                    Ok(chunked::Step::More) => {}
                    Err(error) => {
                        self.content_ended(Content::Broken);
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            }
            self.ask_for_content();
            let read = self.poll_read(cx);
            if read.is_pending() {
                self.reader = Some(cx.waker().clone());
            }
            if !matches!(ready!(read), Ok(1..)) {
                self.content_ended(Content::Broken);
                return Poll::Ready(Some(Err(BodyError::Cut)));
            }
        }
    }

    /// Throws away some of the content; how many octets of it.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        let frame = ready!(self.poll_content(self.request, cx));
        let data = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
        Poll::Ready(data.map_or(0, |data| data.len() as u64))
    }

    fn content_ended(&mut self, content: Content) {
        self.content = content;
        self.waits = false;
        self.wake();
    }

    /// RFC 9110 section 10.1.1: as soon as somebody wants the content, and not before.
    fn ask_for_content(&mut self) {
        if self.waits && !self.begun {
            self.waits = false;
            self.moved += 1;
            self.outbox.gathered().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.wake();
        }
    }
}

impl SendsInterim for Line {
    fn send_interim(&mut self, request: u64, head: &AnswerHead) {
        if request != self.request || self.begun || !self.takes_interim {
            return;
        }
        match head.status {
            StatusCode::CONTINUE => self.ask_for_content(),
            StatusCode::SWITCHING_PROTOCOLS => {}
            status if status.is_informational() && self.outbox.gathered().len() < MOST_INTERIM => {
                self.moved += 1;
                head::write_answer(head, Framing::Nothing, None, None, self.outbox.gathered());
                self.wake();
            }
            _ => {}
        }
    }
}

/// The content of one request, in the hands of whoever reads it. Dropped, it is no longer held.
pub(super) struct Held {
    line: Rc<RefCell<Line>>,
    request: u64,
}

impl Held {
    /// Of the request that has just begun.
    pub(super) fn new(line: &Rc<RefCell<Line>>) -> Self {
        let mut now = line.borrow_mut();
        now.held = true;
        Self { request: now.request, line: Rc::clone(line) }
    }
}

impl Source for Held {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut line = self.line.borrow_mut();
        let frame = ready!(line.poll_content(self.request, cx));
        line.moved += 1;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let line = self.line.borrow();
        line.request != self.request || line.is_whole()
    }

    fn left(&self) -> Option<u64> {
        let line = self.line.borrow();
        if line.request == self.request { line.left() } else { Some(0) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut line = self.line.borrow_mut();
        if line.request == self.request {
            line.held = false;
            line.wake();
        }
    }
}

/// The number of the request that has just begun.
pub(super) fn number(line: &Rc<RefCell<Line>>) -> u64 {
    line.borrow().request
}

/// Throws away what was read and is not wanted.
pub(super) fn forget(inbox: &mut BytesMut) -> usize {
    let length = inbox.len();
    inbox.advance(length);
    length
}
