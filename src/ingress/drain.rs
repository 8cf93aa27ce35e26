//! The end of a listener on one worker, and the look-out for the connections that it has taken.
//!
//! Knows who has to hear of it: who waits for [`Drain::cancelled`], and the HTTP/1.1 connections, which wait for nothing of the kind and
//! are told. Does not know what ends a connection.

use std::rc::Rc;

use tokio_util::sync::CancellationToken;

use super::http1::Lookout;

/// Ends a listener, and each of its connections at its next rest. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Drain {
    token: CancellationToken,
    http1: Rc<Lookout>,
}

impl Drain {
    /// Of a listener that does not end yet.
    pub fn new() -> Self {
        Self::when(CancellationToken::new())
    }

    /// Of one that ends when `token` is cancelled.
    pub fn when(token: CancellationToken) -> Self {
        Self { http1: Lookout::new(token.clone()), token }
    }

    /// Lets it end.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Returns once it is to end.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Who looks after its connections that speak HTTP/1.1.
    pub(super) fn http1(&self) -> &Rc<Lookout> {
        &self.http1
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}
