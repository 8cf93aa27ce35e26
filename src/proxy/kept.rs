//! What is held of a request's body for a second sending, and what may be held over all requests.
//!
//! Knows octets and their limits. Does not know where they come from.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// Octets of request bodies that may be held at once, over every request of every worker. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// A budget of so many octets.
    pub fn new(octets: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(octets)))
    }

    /// What is left of it, in octets.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn reserve(&self, octets: usize) -> bool {
        let less = |left: usize| left.checked_sub(octets);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// What has passed so far, all of it.
#[derive(Debug)]
pub(super) struct Kept {
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
    limit: usize,
    budget: Budget,
}

impl Kept {
    /// Nothing yet, and never more than `limit` octets.
    pub(super) fn new(limit: usize, budget: &Budget) -> Self {
        Self { content: Vec::new(), trailers: None, limit, budget: budget.clone() }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Keeps one more frame; false where it is too much.
    pub(super) fn keep(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(data) = frame.data_ref() {
            let room = self.limit - self.content.len();
            if data.len() > room || !self.budget.reserve(data.len()) {
                return false;
            }
            // A copy, because a slice would pin the whole buffer it was read into, and the budget would not see it.
            self.content.extend_from_slice(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        true
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.content.len(), Ordering::Relaxed);
    }
}
