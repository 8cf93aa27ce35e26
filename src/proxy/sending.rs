//! One sending of a request: how long its answer is waited for, and what a broken connection means.
//!
//! Knows patience, whose fault a failed sending is, and what goes out again, once, if its body is wholly held: after a connection error
//! an idempotent request, and any that the upstream says it has not begun with. Does not know tokens or rejections.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Poll, ready},
};

use http::Method;
use tokio::time::Instant;

use super::{
    body::{AnswerBody, Streamed},
    failure::{Failure, Kind},
    fields::{self, Outgoing},
    replay::{BodyFault, Replay, RequestBody},
    routes::{Route, Settings},
};
use crate::{
    upstream::client::{SendError, is_idempotent},
    wire::Answer,
};

/// Sends a request on `route` and returns the answer's head, its body still streaming.
///
/// # Errors
/// The application's body failed, or the upstream gave no answer.
pub(super) async fn send(
    route: &Route,
    method: &Method,
    outgoing: &Outgoing<'_>,
    body: RequestBody,
    replay: &Replay,
) -> Result<Answer<Streamed>, Failure> {
    let go_on = |head| fields::go_on(replay.interim(), head);
    let mut outcome = {
        let mut answer = outgoing.send(body, &go_on);
        patiently(route, Pin::new(&mut answer), replay).await
    };
    if let Err(unanswered) = &outcome
        && let Some(body) = Box::pin(again(route, method, unanswered, replay)).await
    {
        // Where one kept connection has ended, the others may have too.
        let mut answer = outgoing.send_afresh(body, &go_on);
        outcome = patiently(route, answer.as_mut(), replay).await;
    }
    outcome.map_err(|unanswered| unanswered.told(route.settings(), replay))
}

enum Unanswered {
    Error(SendError),
    TimedOut,
}

/// The body for sending it again, where that may be done and all of it can be had.
async fn again(
    route: &Route,
    method: &Method,
    unanswered: &Unanswered,
    replay: &Replay,
) -> Option<RequestBody> {
    match unanswered {
        // RFC 9113 section 8.7: nobody has acted on it.
        Unanswered::Error(SendError::NotBegun(_)) => replay.whole(route.settings().response_timeout).await,
        // RFC 9110 section 9.2.2: sending it twice means the same as sending it once.
        Unanswered::Error(SendError::Cut(_)) if is_idempotent(method) => replay.again(),
        _ => None,
    }
}

/// Waits for an answer until the route's patience has passed since the last of the request went out. No future in futures: each would
/// hand the answer on.
fn patiently<'a>(
    route: &'a Route,
    mut answer: Pin<&'a mut (impl Future<Output = Result<Answer<AnswerBody>, SendError>> + ?Sized)>,
    replay: &'a Replay,
) -> impl Future<Output = Result<Answer<Streamed>, Unanswered>> {
    let patience = route.response_patience();
    let begun = Instant::now();
    let (mut timer, mut end) = (patience.timer(), begun + patience.span());
    poll_fn(move |cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            let streamed = |body| Streamed::new(body, route.body_patience());
            return Poll::Ready(answer.map(|answer| answer.map(streamed)).map_err(Unanswered::Error));
        }
        loop {
            ready!(timer.poll_until(end, cx));
            let later = replay.patient_until(begun, patience.span());
            if later <= end {
                return Poll::Ready(Err(Unanswered::TimedOut));
            }
            end = later;
        }
    })
}

impl Unanswered {
    fn told(self, settings: &Settings, replay: &Replay) -> Failure {
        let failure = match (replay.fault(), self) {
            (Some(fault), _) => body_failed(fault),
            (None, Self::TimedOut) => Failure::new(
                Kind::ResponseTimeout,
                format!("no answer within {:?} (response_timeout)", settings.response_timeout),
            ),
            (None, Self::Error(error)) => Failure::unanswered(&error),
        };
        failure.at(&settings.name)
    }
}

/// The application's body failed while no answer had begun.
pub(super) fn body_failed(fault: BodyFault) -> Failure {
    match fault {
        BodyFault::Cut => Failure::new(Kind::Malformed, "the request's body was cut or broke its framing"),
        BodyFault::TooSlow => Failure::new(Kind::BodyTooSlow, "the request's body stood still for too long"),
    }
}
