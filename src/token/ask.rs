//! Asking the authorization server, within its limits: one token request, or two where the parent's token was refused.
//!
//! Knows the endpoint's limit and the parent. Does not know stores or refresh tokens' fate (`attempt`).

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{Held, limit::Limit, shared::Shared, state::Setback};
use crate::{
    clock::Moment,
    oauth::{Failure, Fault, Granted, Start},
    secret::Secret,
    telemetry::Outcome,
};

/// How long a chained attempt waits for its parent's token. The parent's own attempts have their time limits.
const PARENT_PATIENCE: Duration = Duration::from_secs(60);

/// Gets a token afresh; with the parent's token where there is a parent.
pub(super) async fn start(
    shared: &Shared,
    limit: &Arc<Limit>,
    rejected: Option<&Secret>,
) -> Result<(Granted, Moment), Setback> {
    let subject = shared.subject.as_deref();
    let Some(parent) = &shared.parent else {
        return ask(shared, limit, || shared.grant.start(Start { subject, parent: None, rejected })).await;
    };
    let with = |held: &Held| {
        let authorization = held.authorization().clone();
        async move {
            let parent = Some(&authorization);
            ask(shared, limit, || shared.grant.start(Start { subject, parent, rejected })).await
        }
    };
    let held = parent.lend(PARENT_PATIENCE).await.map_err(Setback::Parent)?;
    let outcome = with(&held).await;
    let refused = matches!(&outcome, Err(Setback::Failed(failure)) if failure.fault == Fault::ParentRefused);
    let (outcome, held) = if refused && may_blame(shared, &held) {
        let newer = parent.replace(&held, PARENT_PATIENCE).await.map_err(Setback::Parent)?;
        (with(&newer).await, newer)
    } else {
        (outcome, held)
    };
    if outcome.is_ok() {
        held.accept();
    }
    outcome
}

/// Whether a refused chained request may cost the parent its token: once until the next success.
fn may_blame(shared: &Shared, held: &Held) -> bool {
    let may = shared.parent.as_ref().is_some_and(|parent| parent.may_be_doubted(held));
    may && !std::mem::replace(&mut shared.course().parent_blamed, true)
}

/// One token request, within the endpoint's limit. Returns the moment before it was sent too: the lifetime is counted from
/// there, so that the server's ends later than ours.
pub(super) async fn ask<'a>(
    shared: &'a Shared,
    limit: &Arc<Limit>,
    request: impl FnOnce() -> BoxFuture<'a, Result<Granted, Failure>>,
) -> Result<(Granted, Moment), Setback> {
    let limited = |until, detail: &str| Setback::Limited { until, detail: detail.to_owned() };
    // What was not sent yet need not be: a queue of subjects does not hold a shutdown up.
    let place = tokio::select! {
        entered = limit.enter(&shared.parts.clock) => {
            entered.map_err(|until| limited(until, "the authorization server limits token requests"))?
        }
        () = shared.parts.stopping.cancelled() => {
            return Err(limited(shared.now().after(Duration::ZERO), "bearward is stopping"));
        }
    };
    let asked = shared.now();
    let outcome = request().await;
    shared.metrics.requested(match &outcome {
        Ok(_) => Outcome::Granted,
        Err(failure) if failure.fault == Fault::Limited => Outcome::Limited,
        Err(failure) if failure.fault.is_final() => Outcome::Refused,
        Err(_) => Outcome::Failed,
    });
    let closed = place.settle(shared.now(), &outcome, fastrand::f64());
    match (outcome, closed) {
        (Ok(granted), _) => Ok((granted, asked)),
        (Err(failure), Some(until)) => Err(Setback::Limited { until, detail: failure.detail }),
        (Err(failure), None) => Err(Setback::Failed(failure)),
    }
}
