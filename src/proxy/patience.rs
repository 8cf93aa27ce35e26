//! How long something is waited for, and the timers that wait.
//!
//! Knows that a timer costs least where it is left alone: to set one going and to stop it takes the lock of tokio's wheel, and a request
//! has it for the thousandth part of its time. So a timer is handed on as it stands. It fires too early for whoever has it then, who lets
//! it go on to its own end; where nobody has it, it fires in vain, and lets go of the task that had it last. Does not know what is waited
//! for.

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// Timers that are kept for who comes next. More than this wait at once on a busy route, but hardly in one turn of its worker.
const MOST_SPARE: usize = 64;

/// A span that many wait for, on one worker.
pub(super) struct Patience {
    span: Duration,
    spare: RefCell<Vec<Pin<Box<Sleep>>>>,
}

/// The timer of one of them.
#[derive(Debug)]
pub(super) struct Timer {
    patience: Rc<Patience>,
    /// None as long as nothing was waited for.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) fn new(span: Duration) -> Rc<Self> {
        Rc::new(Self { span, spare: RefCell::default() })
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// A timer for who begins to wait.
    pub(super) fn timer(self: &Rc<Self>) -> Timer {
        Timer { patience: Rc::clone(self), sleep: None }
    }

    fn sleep_until(&self, end: Instant) -> Pin<Box<Sleep>> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(end)))
    }
}

impl Timer {
    /// How long it waits, once it is known from when on.
    pub(super) fn span(&self) -> Duration {
        self.patience.span
    }

    /// Ready once `end` is over.
    pub(super) fn poll_until(&mut self, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let patience = &self.patience;
        let sleep = self.sleep.get_or_insert_with(|| patience.sleep_until(end));
        if sleep.deadline() > end {
            sleep.as_mut().reset(end);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(sleep) = self.sleep.take() else { return };
        let mut spare = self.patience.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(sleep);
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("span", &self.span).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    async fn wait(patience: &Rc<Patience>) {
        let (mut timer, end) = (patience.timer(), Instant::now() + patience.span());
        poll_fn(|cx| timer.poll_until(end, cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_another_had_waits_for_the_whole_span() {
        let patience = Patience::new(SPAN);
        for begun_after in [Duration::ZERO, SPAN / 2, SPAN * 2] {
            tokio::time::timeout(SPAN / 4, wait(&patience)).await.unwrap_err();
            assert_eq!(patience.spare.borrow().len(), 1, "one timer serves all");
            tokio::time::sleep(begun_after).await;
            let begun = Instant::now();
            wait(&patience).await;
            assert_eq!(begun.elapsed(), SPAN);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_another_had_fires_earlier_where_it_has_to() {
        let patience = Patience::new(SPAN);
        tokio::time::timeout(SPAN / 4, wait(&patience)).await.unwrap_err();
        let (mut timer, begun) = (patience.timer(), Instant::now());
        poll_fn(|cx| timer.poll_until(begun + SPAN / 4, cx)).await;
        assert_eq!(begun.elapsed(), SPAN / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_at_once_as_want_and_few_timers_are_kept() {
        let patience = Patience::new(SPAN);
        let begun = Instant::now();
        futures_util::future::join_all((0..3 * MOST_SPARE).map(|_| wait(&patience))).await;
        assert_eq!(begun.elapsed(), SPAN);
        assert_eq!(patience.spare.borrow().len(), MOST_SPARE);
    }
}
