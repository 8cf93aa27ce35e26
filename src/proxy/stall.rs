//! A body that stands still: how long that is borne.
//!
//! Knows since when it is waited for. Does not know whose body it is.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::patience::{Patience, Timer};

/// Watches one body for standing still.
#[derive(Debug)]
pub(super) struct Stall {
    waiting_since: Option<Instant>,
    timer: Timer,
}

impl Stall {
    pub(super) fn new(patience: &Rc<Patience>) -> Self {
        Self { waiting_since: None, timer: patience.timer() }
    }

    /// The body moved.
    pub(super) fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// The body is waited for; ready once it has stood still for too long.
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        self.timer.poll_until(since + self.timer.span(), cx)
    }
}
