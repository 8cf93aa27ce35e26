//! How many requests may be under way at once, over every worker.
//!
//! Knows places. Does not know what takes one: a request has it from its head to the end of its answer, or of its tunnel.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many places. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Room(Arc<AtomicUsize>);

/// One of them, free again when this is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Room {
    /// Room for so many requests.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(places)))
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Place> {
        let less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Place(Arc::clone(&self.0)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
