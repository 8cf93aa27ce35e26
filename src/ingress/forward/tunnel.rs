//! A tunnel to a destination that nobody configured: its octets pass as they are.
//!
//! Knows how it is reached and how it ends. Does not look inside.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    ingress::drain::Drain,
    proxy::{Failure, ResponseBody, origins::Others},
    telemetry::UpstreamMetrics,
    upstream::Origin,
    wire::{Answer, Request, Stream, splice},
};

/// Connects to `origin` and answers `request` with a tunnel to it, in which there may be silence for `idle`.
///
/// # Errors
/// It cannot be reached, or may not be.
pub(super) async fn open<B>(
    origin: &Origin,
    others: &Others,
    request: &Request<B>,
    idle: Option<Duration>,
    drain: Drain,
) -> Result<Answer<ResponseBody>, Failure> {
    let there = others.dial(origin, &request.head.fields, request.head.version).await?;
    let tunnel = Tunnel { there, name: origin.authority(), idle, metrics: others.metrics().clone() };
    let carried = move |here: Stream| -> futures_util::future::LocalBoxFuture<'static, ()> {
        Box::pin(tunnel.carry(here, drain))
    };
    Ok(Answer::new(ResponseBody::taken_over(Box::new(carried))))
}

/// The far end of a tunnel, and what is told of it.
pub(super) struct Tunnel {
    pub(super) there: Stream,
    pub(super) name: String,
    pub(super) idle: Option<Duration>,
    pub(super) metrics: Arc<UpstreamMetrics>,
}

impl Tunnel {
    /// Carries octets both ways until both sides have ended, `idle` has passed in silence, or bearward stops and they have become
    /// silent.
    pub(super) async fn carry(self, here: Stream, drain: Drain) {
        let open = self.metrics.tunnel();
        let ended = splice::splice_until(here, self.there, self.idle, drain.cancelled()).await;
        drop(open);
        let (sent, received, end) = (ended.there, ended.back, ended.end);
        tracing::debug!(destination = self.name, sent, received, %end, "a tunnel ended");
    }
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
