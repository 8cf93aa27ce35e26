//! One sending of a request: how long its answer is waited for, and what a broken connection means.
//!
//! Knows patience, whose fault a failed sending is, and what goes out again, once, if its body is wholly held: after a connection error
//! an idempotent request, and any that the upstream says it has not begun with. Does not know tokens or rejections.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Poll, ready},
};

use http::Method;
use tokio::time::Instant;

use super::{
    body::{AnswerBody, Streamed},
    failure::{Failure, Kind},
    fields::{self, Outgoing},
    patience::Patience,
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
    let settings = route.settings();
    let go_on = |head| fields::go_on(replay.interim(), head);
    let mut outcome = {
        // Pinned where it begins: it is large, and moved whole by each of these otherwise.
        let answer = pin!(outgoing.send(body, &go_on));
        once(route, answer, replay).await
    };
    let again = match &outcome {
        // RFC 9113 section 8.7: nobody has acted on it.
        Err(Unanswered::Error(SendError::NotBegun(_))) => replay.whole(settings.response_timeout).await,
        // RFC 9110 section 9.2.2: sending it twice means the same as sending it once.
        Err(Unanswered::Error(SendError::Cut(_))) if is_idempotent(method) => replay.again(),
        _ => None,
    };
    if let Some(body) = again {
        // Where one kept connection has ended, the others may have too.
        let answer = pin!(outgoing.send_afresh(body, &go_on));
        outcome = once(route, answer, replay).await;
    }
    outcome.map_err(|unanswered| unanswered.told(settings, replay))
}

enum Unanswered {
    Error(SendError),
    TimedOut,
}

async fn once(
    route: &Route,
    answer: Pin<&mut impl Future<Output = Result<Answer<AnswerBody>, SendError>>>,
    replay: &Replay,
) -> Result<Answer<Streamed>, Unanswered> {
    let answer = patiently(route.response_patience(), replay, answer).await;
    let response = answer.ok_or(Unanswered::TimedOut)?.map_err(Unanswered::Error)?;
    Ok(response.map(|body| Streamed::new(body, route.body_patience())))
}

/// Waits for an answer until `patience` has passed since the last of the request went out.
async fn patiently<T>(
    patience: &Rc<Patience>,
    replay: &Replay,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let begun = Instant::now();
    let (mut timer, mut end) = (patience.timer(), begun + patience.span());
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        loop {
            ready!(timer.poll_until(end, cx));
            let later = replay.patient_until(begun, patience.span());
            if later <= end {
                return Poll::Ready(None);
            }
            end = later;
        }
    })
    .await
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
