//! A tunnel to a destination that nobody configured: its octets pass as they are.
//!
//! Knows how it is reached and how it ends. Does not look inside.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::Response;
use tokio_util::sync::CancellationToken;

use crate::{
    proxy::{Failure, ResponseBody, origins::Others},
    upstream::{Guard, Origin, connect::dial_guarded},
    wire::{Stream, splice},
};

/// Connects to `origin` and answers with a tunnel to it.
///
/// # Errors
/// It cannot be reached, or may not be.
pub(super) async fn open(
    origin: &Origin,
    others: &Others,
    idle: Option<Duration>,
    drain: CancellationToken,
) -> Result<Response<ResponseBody>, Failure> {
    let there = reach(origin, others.guard(), others.connect_timeout()).await?;
    let name = origin.authority();
    let carried = move |here: Stream| -> futures_util::future::LocalBoxFuture<'static, ()> {
        Box::pin(async move { carry(here, there, &name, idle, drain).await })
    };
    Ok(Response::new(ResponseBody::taken_over(Box::new(carried))))
}

/// A connection to `origin`, whatever its scheme.
///
/// # Errors
/// It cannot be reached, or may not be.
pub(super) async fn reach(origin: &Origin, guard: &Guard, timeout: Duration) -> Result<Stream, Failure> {
    dial_guarded(origin, guard, timeout).await.map_err(|error| Failure::unreachable(&error))
}

/// Our end of a tunnel to where a redirected connection was going. If the rules redirect bearward's own connections too, that end
/// comes back as an application's: known again, it is not led back to us for ever.
#[derive(Debug)]
pub(super) struct OwnEnd(SocketAddr);

/// The ends of all tunnels of this process: an address and port is one process's alone.
static OWN_ENDS: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

impl OwnEnd {
    /// The end of `stream` that is ours, until dropped.
    pub(super) fn of(stream: &Stream) -> Option<Self> {
        let own = stream.tcp()?.local_addr().ok()?;
        OWN_ENDS.lock().unwrap_or_else(PoisonError::into_inner).insert(own);
        Some(Self(own))
    }

    /// Whether `peer` is such an end.
    pub(super) fn is(peer: SocketAddr) -> bool {
        OWN_ENDS.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }
}

impl Drop for OwnEnd {
    fn drop(&mut self) {
        OWN_ENDS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Carries octets both ways until both sides have ended, `idle` has passed in silence, or bearward stops and they have become silent.
pub(super) async fn carry(
    here: Stream,
    there: Stream,
    name: &str,
    idle: Option<Duration>,
    drain: CancellationToken,
) {
    let ended = splice::splice_until(here, there, idle, drain.cancelled()).await;
    tracing::debug!(destination = name, sent = ended.there, received = ended.back, end = %ended.end, "a tunnel ended");
}
