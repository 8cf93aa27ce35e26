//! How long a connection may stand where it stands.
//!
//! Knows one timer a connection, which looks again when it fires and is not touched by a request: what moves is counted, and a count that
//! has not changed for a limit's time is what the limit is about. So a limit may be overstepped by one look, and is never undercut.

use std::{cell::RefCell, time::Duration};

use tokio::time::Instant;

use super::line::Line;
use crate::{ingress::connection::Limits, wire::Ending};

/// How long an answer may stand still after the application said that it sends no more: most are gone then.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests.
    Idle,
    /// Octets of a head have come.
    Head,
    /// From a whole head to the end of its answer.
    Busy,
    /// The answer is written, and somebody still reads the request's content.
    Upload,
    /// What is left of the request's content is thrown away.
    Discarding,
    /// Somebody else has it.
    TakenOver,
}

impl Line {
    /// How long the connection may stand as it does; `None` where that is nobody's limit here.
    fn patience(&self, limits: &Limits, end: Option<Ending>) -> Option<Duration> {
        match self.phase {
            Phase::Idle => Some(limits.idle_timeout),
            Phase::Head | Phase::Discarding => Some(limits.head_timeout),
            Phase::Busy if !self.outbox.is_empty() => Some(limits.body_timeout),
            Phase::Busy if self.has_ended() || end == Some(Ending::Said) => Some(AFTER_THE_END),
            // The answer has ended, and its sender may never read on.
            Phase::Upload => Some(limits.body_timeout),
            Phase::Busy | Phase::TakenOver => None,
        }
    }
}

/// Returns once the connection has stood still for too long.
pub(super) async fn overstayed(line: &RefCell<Line>, limits: &Limits) {
    let look = limits.head_timeout.min(limits.idle_timeout).min(limits.body_timeout).min(AFTER_THE_END) / 2;
    let mut seen = (line.borrow().moved, Instant::now());
    let mut timer = std::pin::pin!(tokio::time::sleep(look));
    loop {
        timer.as_mut().await;
        let now = Instant::now();
        let (moved, patience) = {
            let line = line.borrow();
            // While content is unread nobody reads, who would notice the end.
            let end = if line.phase == Phase::Busy && !line.is_whole() { line.end() } else { None };
            if end == Some(Ending::Gone) {
                return;
            }
            (line.moved, line.patience(limits, end))
        };
        if moved != seen.0 {
            seen = (moved, now);
        } else if patience.is_some_and(|patience| now - seen.1 >= patience) {
            return;
        }
        let left = patience.map_or(look, |patience| patience.saturating_sub(now - seen.1));
        // A millisecond: the clock's grain, so that it does not look again and again.
        timer.as_mut().reset(now + left.clamp(Duration::from_millis(1), look));
    }
}

/// Returns once the connection has been idle for `span` on end.
pub(super) async fn idle_for(line: &RefCell<Line>, span: Duration) {
    loop {
        let before = line.borrow().moved;
        tokio::time::sleep(span).await;
        let line = line.borrow();
        if line.phase == Phase::Idle && line.moved == before {
            return;
        }
    }
}
