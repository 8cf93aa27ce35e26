//! The body of what the application is answered.
//!
//! Knows how to stream an upstream's answer on unchanged, also where its beginning was already looked at, and that a
//! cut one must look cut. Does not know what the answer means.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::{fields, patience::Patience, replay::RequestBody, room::Place, stall::Stall};
use crate::wire::{self, Pipe, Takeover};

/// How long the end of an answer that is held may take.
const HOLD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read though nobody wants it, in octets.
const DRAIN_AT_MOST: usize = 64 << 10;

/// An answer's body as the client brings it.
pub(super) type AnswerBody = crate::upstream::client::AnswerBody<RequestBody>;

/// A body of our own, or an upstream's.
#[derive(Debug)]
pub struct ResponseBody {
    kind: Kind,
    /// Its request is under way as long as this is there.
    place: Option<Place>,
}

#[derive(Debug)]
enum Kind {
    Whole(Bytes),
    Own(Own),
    TakenOver(Option<After>),
    Upstream {
        body: Streamed,
        /// It has no octets, and its head says so by a Content-Length.
        told_empty: bool,
        /// The HTTP that it was received in.
        received: Version,
    },
}

/// What is done with the connection.
struct After(Takeover);

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("After(..)")
    }
}

/// A body of our own that comes bit by bit.
struct Own(Pin<Box<dyn Stream<Item = Bytes>>>);

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own(..)")
    }
}

/// An upstream's body: what was looked at already, then what still comes.
#[derive(Debug)]
pub(super) struct Streamed {
    /// Boxed: hardly any answer is looked at, and each is handed on by value.
    seen: Option<Box<Seen>>,
    rest: Option<AnswerBody>,
    /// What is still to be handed on of a content whose length the upstream told: framing is passed on as it came.
    left: Option<u64>,
    /// None for content of unknown length: an event stream may be silent for as long as it likes.
    stall: Option<Stall>,
}

/// What was looked at and is still to be handed on.
#[derive(Debug, Default)]
struct Seen {
    frames: VecDeque<Frame<Bytes>>,
    length: u64,
    failed: Option<BodyError>,
}

/// Why an answer's body ended early. The application's connection is cut, so that it cannot take it for whole.
#[derive(Debug)]
pub enum BodyError {
    /// The upstream's connection or framing failed.
    Upstream(wire::BodyError),
    /// The upstream stood still for too long.
    Stalled,
}

impl ResponseBody {
    /// A body of our own.
    pub fn whole(content: Bytes) -> Self {
        Self::of(Kind::Whole(content))
    }

    /// A body of our own that comes bit by bit; none of them is empty.
    pub fn own(content: impl Stream<Item = Bytes> + 'static) -> Self {
        Self::of(Kind::Own(Own(Box::pin(content))))
    }

    /// None: the connection is taken over once the head is written.
    pub fn taken_over(takeover: Takeover) -> Self {
        Self::of(Kind::TakenOver(Some(After(takeover))))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, place: None }
    }

    /// With the place that its request takes until the end.
    pub fn in_place(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// An upstream's body. `told`: it belongs to a head with a Content-Length that counts this very content.
    pub(super) fn streamed(body: Streamed, told: bool, received: Version) -> Self {
        Self::of(Kind::Upstream { told_empty: told && body.is_end_stream(), body, received })
    }

    /// The HTTP in which an upstream answered; none where the answer is our own.
    pub fn received(&self) -> Option<Version> {
        match &self.kind {
            Kind::Upstream { received, .. } => Some(*received),
            _ => None,
        }
    }
}

impl Streamed {
    pub(super) fn new(rest: AnswerBody, patience: &Rc<Patience>) -> Self {
        let left = rest.size_hint().exact();
        Self { seen: None, rest: Some(rest), left, stall: left.map(|_| Stall::new(patience)) }
    }

    /// Reads on until the end, for ten seconds at most or until more than `most` octets are held; whether it is all
    /// there. Nothing is lost: what was read comes out again, in order.
    pub(super) async fn hold(&mut self, most: usize) -> bool {
        if self.left.is_some_and(|left| left > most as u64) {
            return false;
        }
        tokio::time::timeout(HOLD_TIMEOUT, self.read_on(most)).await.unwrap_or(false)
    }

    /// Reads a short answer that nobody wants to its end, so that its connection can be used again.
    pub(super) fn drain(mut self) {
        tokio::task::spawn_local(async move { self.hold(DRAIN_AT_MOST).await });
    }

    async fn read_on(&mut self, most: usize) -> bool {
        while self.rest.is_some() && self.is_sound_up_to(most) {
            let Some(next) = std::future::poll_fn(|cx| self.poll_rest(cx)).await else { break };
            let seen = self.seen.get_or_insert_default();
            match next {
                Ok(frame) => {
                    seen.length += length_of(&frame);
                    seen.frames.push_back(frame);
                }
                Err(error) => seen.failed = Some(error),
            }
        }
        self.rest.is_none() && self.is_sound_up_to(most)
    }

    fn is_sound_up_to(&self, most: usize) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.failed.is_none() && seen.length <= most as u64)
    }

    /// The connection, where the answer has given it up to another protocol.
    pub(super) fn upgraded(self) -> Option<wire::Stream> {
        self.rest.and_then(AnswerBody::upgraded)
    }

    /// What is held of the content.
    pub(super) fn held(&self) -> Vec<u8> {
        let frames = self.seen.iter().flat_map(|seen| &seen.frames);
        frames.filter_map(Frame::data_ref).flatten().copied().collect()
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        match Pin::new(&mut *rest).poll_frame(cx) {
            Poll::Ready(outcome) => {
                if let Some(stall) = &mut self.stall {
                    stall.moved();
                }
                if outcome.as_ref().is_none_or(Result::is_err) || rest.is_end_stream() {
                    self.rest = None;
                }
                Poll::Ready(
                    outcome.map(|frame| {
                        frame.map(fields::without_forbidden_trailers).map_err(BodyError::Upstream)
                    }),
                )
            }
            Poll::Pending => self.poll_stalled(cx).map(|stalled| Some(Err(stalled))),
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(stall) = &mut self.stall else { return Poll::Pending };
        stall.poll_waiting(cx).map(|()| {
            self.rest = None;
            BodyError::Stalled
        })
    }

    fn poll_pipe(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<Option<Result<usize, BodyError>>> {
        // What was looked at goes out first.
        if self.seen.is_some() {
            return Poll::Ready(None);
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let Poll::Ready(moved) = rest.poll_pipe(pipe, cx) else {
            return self.poll_stalled(cx).map(|stalled| Some(Err(stalled)));
        };
        let Some(moved) = moved else { return Poll::Ready(None) };
        if let Some(stall) = &mut self.stall {
            stall.moved();
        }
        if moved.is_err() || rest.is_end_stream() {
            self.rest = None;
        }
        if let (Some(left), Ok(some)) = (&mut self.left, &moved) {
            *left = left.saturating_sub(*some as u64);
        }
        Poll::Ready(Some(moved.map_err(BodyError::Upstream)))
    }

    fn next_seen(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        let seen = self.seen.as_mut()?;
        let next = seen.frames.pop_front().map(Ok).or_else(|| seen.failed.take().map(Err));
        if seen.frames.is_empty() && seen.failed.is_none() {
            self.seen = None;
        }
        next
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match self.next_seen() {
            Some(seen) => Some(seen),
            None => ready!(self.poll_rest(cx)),
        };
        if let (Some(left), Some(Ok(frame))) = (&mut self.left, &next) {
            *left = left.saturating_sub(length_of(frame));
        }
        Poll::Ready(next)
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_next(cx)
    }

    fn is_end_stream(&self) -> bool {
        // A body of unknown length that was wholly looked at must still go out in chunks, though it be empty.
        self.left == Some(0) && self.seen.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn length_of(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Whole(content) if content.is_empty() => Poll::Ready(None),
            Kind::Whole(content) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(content))))),
            Kind::Own(Own(content)) => {
                content.as_mut().poll_next(cx).map(|next| next.map(|data| Ok(Frame::data(data))))
            }
            Kind::TakenOver(_) => Poll::Ready(None),
            Kind::Upstream { body, .. } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(content) => content.is_empty(),
            Kind::Own(_) => false,
            Kind::TakenOver(_) => true,
            // hyper drops the Content-Length of a body that is over before it begins and writes one of its own behind the
            // other fields; one that has to be asked for keeps its place.
            Kind::Upstream { body, told_empty, .. } => !told_empty && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(content) => SizeHint::with_exact(content.len() as u64),
            Kind::Own(_) => SizeHint::default(),
            Kind::TakenOver(_) => SizeHint::with_exact(0),
            Kind::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl wire::Content for ResponseBody {
    fn poll_pipe(
        mut self: Pin<&mut Self>,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, BodyError>>> {
        match &mut self.kind {
            Kind::Upstream { body, .. } => body.poll_pipe(pipe, cx),
            _ => Poll::Ready(None),
        }
    }

    fn take_over(&mut self) -> Option<Takeover> {
        match &mut self.kind {
            Kind::TakenOver(after) => {
                let After(takeover) = after.take()?;
                let place = self.place.take();
                Some(Box::new(move |stream| {
                    let tunnel = takeover(stream);
                    Box::pin(async move {
                        tunnel.await;
                        drop(place);
                    })
                }))
            }
            _ => None,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upstream(_) => "the upstream's answer was cut",
            Self::Stalled => "the upstream's answer stood still for too long",
        })
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Upstream(error) => Some(error),
            Self::Stalled => None,
        }
    }
}
