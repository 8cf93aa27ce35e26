//! Writing one answer: its framing, its content, and what becomes of the connection behind it.
//!
//! Knows RFC 9112 section 6 from the side of a server. Does not know what an answer means.

use std::{
    cell::RefCell,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::{Body, Frame};

use super::{conversation::DISCARD_AT_MOST, date, line::Line};
use crate::wire::{
    Answer, AnswerHead, Content, Pipe, Takeover, chunked,
    fields::Name,
    head::{self, Framing},
    pipe::WORTH_A_PIPE,
};

/// What of a request its answer depends on.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) persists: bool,
}

/// What becomes of the connection.
pub(super) enum Then {
    /// Another request may come.
    Goes,
    /// It ends, and the application was told.
    Ends,
    /// It ends in the middle of the answer, and must look like that.
    Cut,
    /// It ends in the middle of an answer whose end is that of the connection: only a reset says that.
    Reset,
    /// Somebody takes it over.
    TakenOver(Takeover),
}

/// Writes `answer` as the answer to what was `asked`.
pub(super) async fn write<B: Content>(line: &RefCell<Line>, asked: &Asked, answer: Answer<B>) -> Then {
    let Answer { head, mut content } = answer;
    let tunnel = asked.method == Method::CONNECT && head.status.is_success();
    if tunnel || head.status == StatusCode::SWITCHING_PROTOCOLS {
        return match content.take_over() {
            Some(takeover) => begin_takeover(line, &head, takeover).await,
            // It says that another protocol begins, and nobody is there who speaks it.
            None => Then::Cut,
        };
    }
    let framing = framing(asked, &head, &content);
    let (ends, last) = {
        let mut line = line.borrow_mut();
        let never_comes = line.begin_answer();
        // Who answers at once while content still comes need not read the rest of it; another request would wait behind that.
        // Where little is left of it, its reader hardly stands still: it fits the window that HTTP/2 begins with.
        let long = line.left().is_none_or(|left| left > DISCARD_AT_MOST);
        let overtaken = line.is_uploading() && long && framing != Framing::Chunked;
        let ends = !asked.persists
            || line.draining
            || line.is_broken()
            || never_comes
            || overtaken
            || framing == Framing::Close
            // What follows a CONNECT was meant for the tunnel that it did not get, and is no request of the application's.
            || asked.method == Method::CONNECT;
        let connection = ends.then_some("close");
        let date = date_of(&head);
        head::write_answer(
            &head,
            framing,
            connection,
            date.as_ref().map(<[u8; _]>::as_slice),
            line.outbox.gathered(),
        );
        // Nothing is waited for between such an answer and the end of its connection.
        (ends, ends && line.is_whole())
    };
    let content_written = if has_content(asked, &head) && framing != Framing::Length(0) {
        let left = length(framing);
        let pipes = left.is_some_and(|left| left >= WORTH_A_PIPE) && line.borrow().takes_pipes();
        let mut writing = Writing { content: pin!(content), framing, left, last, pipes, outcome: None };
        std::future::poll_fn(|cx| writing.poll(line, cx)).await
    } else {
        if last {
            end_with_the_rest(line);
        }
        std::future::poll_fn(|cx| poll_flush(line, cx)).await.map_err(|_| ())
    };
    match content_written {
        Err(()) if framing == Framing::Close => Then::Reset,
        Err(()) => Then::Cut,
        Ok(()) if ends => Then::Ends,
        Ok(()) => Then::Goes,
    }
}

async fn begin_takeover(line: &RefCell<Line>, head: &AnswerHead, takeover: Takeover) -> Then {
    let upgrade = head.status == StatusCode::SWITCHING_PROTOCOLS;
    {
        let mut line = line.borrow_mut();
        line.begin_answer();
        let connection = upgrade.then_some("upgrade");
        let date = date_of(head);
        head::write_answer(
            head,
            Framing::Nothing,
            connection,
            date.as_ref().map(<[u8; _]>::as_slice),
            line.outbox.gathered(),
        );
    }
    match std::future::poll_fn(|cx| poll_flush(line, cx)).await {
        Ok(()) => Then::TakenOver(takeover),
        Err(_) => Then::Cut,
    }
}

/// RFC 9110 section 6.6.1: an answer that came without one gets one.
fn date_of(head: &AnswerHead) -> Option<[u8; date::LENGTH]> {
    (!head.fields.contains(Name::DATE)).then(date::now)
}

/// Whether such an answer may have content (RFC 9112 section 6.3).
fn has_content(asked: &Asked, head: &AnswerHead) -> bool {
    asked.method != Method::HEAD && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn framing<B: Body>(asked: &Asked, head: &AnswerHead, content: &B) -> Framing {
    let exact = if content.is_end_stream() { Some(0) } else { content.size_hint().exact() };
    if has_content(asked, head) {
        return match (exact, asked.version) {
            (Some(length), _) => Framing::Length(length),
            (None, Version::HTTP_10) => Framing::Close,
            (None, _) => Framing::Chunked,
        };
    }
    // RFC 9110 section 8.6: with HEAD and 304 it counts a content that is not sent.
    let told = head.fields.get(Name::CONTENT_LENGTH).and_then(head::content_length);
    match (told, exact) {
        _ if head.status == StatusCode::NO_CONTENT => Framing::Nothing,
        (Some(length), _) => Framing::Length(length),
        (None, Some(length)) if length > 0 && asked.method == Method::HEAD => Framing::Length(length),
        _ => Framing::Nothing,
    }
}

fn length(framing: Framing) -> Option<u64> {
    match framing {
        Framing::Length(length) => Some(length),
        _ => None,
    }
}

fn poll_flush(line: &RefCell<Line>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    line.borrow_mut().poll_flush(cx)
}

/// The rest of a last answer goes out in one segment with the end of the connection, where it fits.
fn end_with_the_rest(line: &RefCell<Line>) {
    if let Some(stream) = line.borrow_mut().stream() {
        stream.end_with_what_follows();
    }
}

/// The content of an answer on its way.
struct Writing<'a, B> {
    content: Pin<&'a mut B>,
    framing: Framing,
    /// What is still to come of a content whose length was told.
    left: Option<u64>,
    /// The connection ends behind it.
    last: bool,
    /// It is long, and may pass without being read.
    pipes: bool,
    /// How it ended; what there is of it may still have to be written.
    outcome: Option<Result<(), ()>>,
}

impl<B: Content> Writing<'_, B> {
    /// Ready once all of it is written; an error where that cannot be.
    fn poll(&mut self, line: &RefCell<Line>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        loop {
            if let Some(outcome) = self.outcome {
                // What came before a cut is the application's.
                return poll_flush(line, cx).map(|flushed| flushed.map_err(|_| ()).and(outcome));
            }
            if line.borrow().outbox.is_full() {
                ready!(poll_flush(line, cx)).map_err(|_| ())?;
            }
            let Poll::Ready(ended) = self.poll_next(line, cx) else { return self.poll_waiting(line, cx) };
            self.outcome = match ended {
                Ok(false) => None,
                Ok(true) => {
                    if self.last {
                        end_with_the_rest(line);
                    }
                    Some(Ok(()))
                }
                Err(()) => Some(Err(())),
            };
        }
    }

    /// Puts in the next of it; whether this was the last.
    fn poll_next(&mut self, line: &RefCell<Line>, cx: &mut Context<'_>) -> Poll<Result<bool, ()>> {
        if self.pipes
            && let Some(moved) = ready!(self.poll_pipe(line, cx))
        {
            return Poll::Ready(moved);
        }
        let frame = ready!(self.content.as_mut().poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => self.put(frame, line),
            Some(Err(_)) => Err(()),
            None => self.end(line).map(|()| true),
        })
    }

    /// The same without reading it; `None` where it has to be read.
    fn poll_pipe(&mut self, line: &RefCell<Line>, cx: &mut Context<'_>) -> Poll<Option<Result<bool, ()>>> {
        let (Some(left), Some(mut pipe)) = (self.left, Pipe::lend()) else { return Poll::Ready(None) };
        let Some(moved) = ready!(self.content.as_mut().poll_pipe(&mut pipe, cx)) else {
            return Poll::Ready(None);
        };
        let left = moved.ok().and_then(|some| left.checked_sub(some as u64));
        self.left = left;
        let mut line = line.borrow_mut();
        line.moved += 1;
        Poll::Ready(Some(left.ok_or(()).map(|left| {
            line.outbox.put_pipe(pipe);
            left == 0
        })))
    }

    /// Nothing has come: what is there goes out, and the application may be gone.
    fn poll_waiting(&self, line: &RefCell<Line>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let mut line = line.borrow_mut();
        if let Poll::Ready(Err(_)) = line.poll_flush(cx) {
            return Poll::Ready(Err(()));
        }
        line.poll_gone(cx).map(|_gone| Err(()))
    }

    /// Whether this was the last of it.
    fn put(&mut self, frame: Frame<Bytes>, line: &RefCell<Line>) -> Result<bool, ()> {
        let mut line = line.borrow_mut();
        let content = match frame.into_data() {
            Ok(content) => content,
            Err(frame) => {
                if self.framing == Framing::Chunked {
                    line.moved += 1;
                    chunked::end(frame.trailers_ref(), line.outbox.gathered());
                    return Ok(true);
                }
                return Ok(false);
            }
        };
        if content.is_empty() {
            return Ok(false);
        }
        if let Some(left) = &mut self.left {
            // More than was told would be taken for the next answer.
            *left = left.checked_sub(content.len() as u64).ok_or(())?;
        }
        line.moved += 1;
        line.outbox.put(content, self.framing == Framing::Chunked);
        if self.left == Some(0) {
            return Ok(true);
        }
        let ended = self.left.is_none() && self.content.is_end_stream();
        if ended && self.framing == Framing::Chunked {
            line.outbox.put_last_chunk();
        }
        Ok(ended)
    }

    fn end(&self, line: &RefCell<Line>) -> Result<(), ()> {
        match self.framing {
            Framing::Length(_) => self.left.filter(|left| *left == 0).map(|_| ()).ok_or(()),
            Framing::Chunked => {
                let mut line = line.borrow_mut();
                line.moved += 1;
                line.outbox.put_last_chunk();
                Ok(())
            }
            Framing::Close | Framing::Nothing => Ok(()),
        }
    }
}
