//! A request's body that streams on and, while it is short, is kept for a second sending.
//!
//! Knows how to take over the reading of a body whose first sending was answered early, and whose fault it is where a
//! body breaks. Does not know when a second sending is right.

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{
    fields,
    kept::{Budget, Kept},
    patience::Patience,
    stall::Stall,
};
use crate::wire::{self, Incoming, Interim};

/// An application that says nothing for so long, and has not said how much it will, may well wait for its answer.
const MOMENT: Duration = Duration::from_secs(1);

/// Why the application's body could not be read to its end. Its fault, not the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It was cut, or broke its framing.
    Cut,
    /// It stood still for too long.
    TooSlow,
}

/// The exchange's hold on its request's body. Dropped, it keeps nothing; a sending under way goes on.
pub(super) struct Replay {
    state: Option<Rc<RefCell<State>>>,
    interim: Option<Interim>,
}

/// What one sending sends.
pub struct RequestBody(Sending);

enum Sending {
    Empty,
    Streaming(Rc<RefCell<State>>),
    Held { content: Bytes, trailers: Option<HeaderMap>, sized: bool },
}

#[derive(Debug)]
struct State {
    incoming: Incoming,
    sized: bool,
    ended: bool,
    fault: Option<BodyFault>,
    taken_over: bool,
    first_sending: Option<Waker>,
    kept: Option<Kept>,
    waits_for_application: bool,
    moved: Instant,
    stall: Stall,
}

impl Replay {
    /// Takes a request's body; it is kept as long as it stays under `limit` octets and the budget lasts.
    pub(super) fn of(
        body: Incoming,
        limit: usize,
        budget: &Budget,
        patience: &Rc<Patience>,
    ) -> (Self, RequestBody) {
        let interim = body.interim();
        if body.is_end_stream() {
            return (Self { state: None, interim }, RequestBody(Sending::Empty));
        }
        let length = body.size_hint().exact();
        let short = limit > 0 && length.is_none_or(|length| length <= limit as u64);
        let kept = short.then(|| Kept::new(limit, budget));
        let state = Rc::new(RefCell::new(State {
            incoming: body,
            sized: length.is_some(),
            ended: false,
            fault: None,
            taken_over: false,
            first_sending: None,
            kept,
            waits_for_application: false,
            moved: Instant::now(),
            stall: Stall::new(patience),
        }));
        (Self { state: Some(Rc::clone(&state)), interim }, RequestBody(Sending::Streaming(state)))
    }

    /// Where interim answers go.
    pub(super) fn interim(&self) -> Option<&Interim> {
        self.interim.as_ref()
    }

    /// What the application did wrong with its body, if it did.
    pub(super) fn fault(&self) -> Option<BodyFault> {
        self.state.as_ref().and_then(|state| state.borrow().fault)
    }

    /// Whether all that has passed so far is held.
    pub(super) fn is_kept(&self) -> bool {
        self.state.as_ref().is_none_or(|state| state.borrow().kept.is_some())
    }

    /// The whole body once more; `None` unless all of it was read and kept.
    pub(super) fn again(&self) -> Option<RequestBody> {
        let Some(state) = &self.state else { return Some(RequestBody(Sending::Empty)) };
        let state = state.borrow();
        let kept = state.kept.as_ref().filter(|_| state.ended && state.fault.is_none())?;
        Some(RequestBody(Sending::Held {
            content: Bytes::copy_from_slice(kept.content()),
            trailers: kept.trailers().cloned(),
            sized: state.sized,
        }))
    }

    /// The whole body once more, after a first sending that is over; where it is still being sent to us, its rest is read first, for
    /// so long at most.
    pub(super) async fn whole(&self, patience: Duration) -> Option<RequestBody> {
        if self.again().is_none() && self.is_kept() {
            // What goes wrong is kept as the body's fault.
            let _late = tokio::time::timeout(patience, self.read_to_end()).await;
        }
        self.again()
    }

    /// Takes the reading over from the first sending, which is thereby given up, and reads on to the end or to the
    /// limit. [`Replay::again`] says whether it is all there.
    ///
    /// # Errors
    /// The application's body failed.
    pub(super) async fn read_to_end(&self) -> Result<(), BodyFault> {
        let Some(state) = &self.state else { return Ok(()) };
        let first_sending = {
            let mut state = state.borrow_mut();
            state.taken_over = true;
            state.first_sending.take()
        };
        if let Some(waker) = first_sending {
            waker.wake();
        }
        std::future::poll_fn(|cx| {
            let mut state = state.borrow_mut();
            while !state.ended && state.kept.is_some() {
                match state.poll_incoming(cx) {
                    Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                    Poll::Ready(_) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Returns once nothing of the body has come for [`MOMENT`]. Never where its length was told: the rest will come.
    pub(super) async fn fell_silent(&self) {
        let begun = Instant::now();
        let moved = || match &self.state {
            Some(state) if !state.borrow().sized => Some(state.borrow().moved.max(begun)),
            _ => None,
        };
        while let Some(moved) = moved() {
            if moved.elapsed() >= MOMENT {
                return;
            }
            tokio::time::sleep_until(moved + MOMENT).await;
        }
        std::future::pending().await
    }

    /// Until when an answer may be waited for: `patience` after the last of the body went out. A long upload is not
    /// slowness of the upstream, nor is an application that sends slowly.
    pub(super) fn patient_until(&self, begun: Instant, patience: Duration) -> Instant {
        let since = self.state.as_ref().map_or(begun, |state| {
            let state = state.borrow();
            if state.waits_for_application && !state.ended { Instant::now() } else { state.moved.max(begun) }
        });
        since + patience
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.borrow_mut().kept = None;
        }
    }
}

impl State {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Some(Err(fault)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let outcome = Pin::new(&mut self.incoming).poll_frame(cx);
        self.waits_for_application = outcome.is_pending();
        if let Poll::Ready(outcome) = outcome {
            self.moved = Instant::now();
            self.stall.moved();
            return Poll::Ready(self.arrived(outcome));
        }
        self.stall.poll_waiting(cx).map(|()| Some(Err(self.failed(BodyFault::TooSlow))))
    }

    fn arrived(
        &mut self,
        outcome: Option<Result<Frame<Bytes>, wire::BodyError>>,
    ) -> Option<Result<Frame<Bytes>, BodyFault>> {
        match outcome {
            None => {
                self.ended = true;
                None
            }
            Some(Err(_)) => Some(Err(self.failed(BodyFault::Cut))),
            Some(Ok(frame)) => {
                self.ended = self.incoming.is_end_stream();
                let frame = fields::without_forbidden_trailers(frame);
                if self.kept.as_mut().is_some_and(|kept| !kept.keep(&frame)) {
                    self.kept = None;
                }
                Some(Ok(frame))
            }
        }
    }

    fn failed(&mut self, fault: BodyFault) -> BodyFault {
        self.fault = Some(fault);
        self.kept = None;
        fault
    }
}

/// Why a request's body ended before its end, as the client is told.
#[derive(Debug)]
pub enum Unsent {
    /// The application's body failed.
    Application,
    /// Another sending of the same request reads it now.
    TakenOver,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Unsent;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsent>>> {
        match &mut self.0 {
            Sending::Empty => Poll::Ready(None),
            Sending::Held { content, .. } if !content.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(content)))))
            }
            Sending::Held { trailers, .. } => Poll::Ready(trailers.take().map(Frame::trailers).map(Ok)),
            Sending::Streaming(state) => {
                let mut state = state.borrow_mut();
                if state.taken_over {
                    return Poll::Ready(Some(Err(Unsent::TakenOver)));
                }
                let outcome = state.poll_incoming(cx);
                if outcome.is_pending() {
                    state.first_sending = Some(cx.waker().clone());
                }
                outcome.map(|frame| frame.map(|frame| frame.map_err(|_| Unsent::Application)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Sending::Empty => true,
            Sending::Held { content, trailers, sized } => *sized && content.is_empty() && trailers.is_none(),
            Sending::Streaming(state) => {
                let state = state.borrow();
                !state.taken_over && state.ended
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Sending::Empty => SizeHint::with_exact(0),
            Sending::Held { content, sized: true, .. } => SizeHint::with_exact(content.len() as u64),
            Sending::Held { .. } => SizeHint::default(),
            Sending::Streaming(state) => state.borrow().incoming.size_hint(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "the application's body failed",
            Self::TakenOver => "the request is sent again",
        })
    }
}

impl std::error::Error for Unsent {}
