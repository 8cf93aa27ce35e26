//! A body that stands still: how long that is borne.
//!
//! Knows one timer per body, armed when the body is first waited for and moved only when it fires. Does not know whose
//! body it is.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// Watches one body for standing still.
#[derive(Debug)]
pub(super) struct Stall {
    patience: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, waiting_since: None, timer: None }
    }

    /// The body moved.
    pub(super) fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// The body is waited for; ready once it has stood still for too long.
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let end = since + self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}
