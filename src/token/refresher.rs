//! The task that owns a source: it decides when to make an attempt, and nobody else makes one.
//!
//! Knows what to wait for. Does not know how a token is got (`attempt`) or what follows from an outcome (`state`). An attempt
//! is a task of its own that nothing cancels; if it panics, that is one failure.

use std::sync::Arc;

use super::{
    attempt,
    lookout::Lookout,
    schedule,
    shared::Shared,
    state::{Due, Setback},
};
use crate::clock::Deadline;

/// Runs until the last handle is dropped or the engine stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut stamp = None;
    let mut lookout = Lookout::new();
    while !shared.ended.is_cancelled() {
        match shared.due() {
            Due::Now => {
                stamp = secrets_stamp(&shared).await;
                if !make_attempt(&shared).await {
                    break;
                }
            }
            Due::At(deadline) => idle(&shared, &mut lookout, Some(deadline)).await,
            Due::OnDemand => idle(&shared, &mut lookout, None).await,
            Due::Look { probe } => {
                let look = shared.now().after(schedule::MENDED_LOOK);
                idle(&shared, &mut lookout, Some(probe.map_or(look, |probe| probe.min(look)))).await;
                shared.look_at_expiry();
                look_for_mending(&shared, &mut lookout, stamp.as_deref()).await;
            }
        }
    }
    shared.ends();
}

/// False where the runtime is going down.
async fn make_attempt(shared: &Arc<Shared>) -> bool {
    let want = shared.begin();
    let attempt = shared.parts.tasks.spawn_on(attempt::run(Arc::clone(shared), want), &shared.parts.runtime);
    match attempt.await {
        Ok(outcome) => shared.conclude(outcome),
        Err(gone) if gone.is_panic() => {
            // The panic's words stay out of the log: they may quote what was being parsed.
            tracing::error!(token = %shared.name, "getting a token panicked: a bug in bearward");
            shared.conclude(Err(Setback::Panicked));
        }
        Err(_) => return false,
    }
    true
}

async fn idle(shared: &Shared, lookout: &mut Lookout, until: Option<Deadline>) {
    let elapsed = async {
        match until {
            Some(deadline) => shared.parts.clock.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let parent = async {
        match &shared.parent {
            Some(parent) if shared.course().waits_for_parent() => parent.until_usable().await,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = shared.ended.cancelled() => {}
        () = shared.demand.notified() => {}
        () = elapsed => {}
        () = parent => shared.course().parent_returned(),
        () = lookout.due(shared) => lookout.look(shared).await,
    }
}

/// A refused recipe is tried again at once when a secret has changed since the attempt began. One of the many subjects' looks
/// at the store only here.
async fn look_for_mending(shared: &Arc<Shared>, lookout: &mut Lookout, stamp: Option<&str>) {
    if !shared.is_watched() {
        lookout.look(shared).await;
    }
    let mended = secrets_stamp(shared).await.as_deref() != stamp;
    let mut course = shared.course();
    if mended {
        course.mended();
    } else if course.is_stuck() {
        // Whoever asked was told; a lazy source looks again when the next one asks.
        course.wanted = false;
    }
}

/// Reads secret files, and thus not on a thread that others wait for.
async fn secrets_stamp(shared: &Arc<Shared>) -> Option<String> {
    let grant = Arc::clone(&shared.grant);
    tokio::task::spawn_blocking(move || grant.secrets_stamp()).await.ok().flatten()
}
