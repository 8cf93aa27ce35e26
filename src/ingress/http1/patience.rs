//! How long a connection may stand where it stands.
//!
//! Knows the limit of each phase, and that what moves is counted: a count that has not changed for a limit's time is what the limit is
//! about. Does not know when somebody looks (`lookout`).

use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;
use crate::{
    ingress::connection::{LAST_CALL, Limits},
    wire::Ending,
};

/// How long an answer may stand still after the application said that it sends no more: most are gone then.
const AFTER_THE_END: Duration = Duration::from_secs(30);
/// The clock's grain, so that nobody looks again and again.
const GRAIN: Duration = Duration::from_millis(1);

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

/// How long one connection may stand still, and how long it does.
#[derive(Debug)]
pub(super) struct Patience {
    idle: Duration,
    head: Duration,
    body: Duration,
    /// What the count was when it was seen to have changed, and when that was.
    seen: Option<(u64, Instant)>,
}

impl Patience {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { idle: limits.idle_timeout, head: limits.head_timeout, body: limits.body_timeout, seen: None }
    }

    /// The longest time from one look to the next: half of the shortest limit. So a limit may be overstepped by that, and is never
    /// undercut.
    pub(super) fn pace(&self, draining: bool) -> Duration {
        let shortest = self.head.min(self.idle).min(self.body).min(AFTER_THE_END);
        if draining { shortest.min(LAST_CALL) / 2 } else { shortest / 2 }
    }

    /// From now on it counts how long the connection stands as it does.
    pub(super) fn begin_anew(&mut self, line: &Line, now: Instant) {
        self.seen = Some((line.moved, now));
    }

    /// How long it may still stand as it does, or until somebody should look again; none where it has for too long.
    pub(super) fn left(&mut self, line: &Line, now: Instant) -> Option<Duration> {
        // While content is unread nobody reads, who would notice the end.
        let end = if line.phase == Phase::Busy && !line.is_whole() { line.end() } else { None };
        if end == Some(Ending::Gone) {
            return None;
        }
        let pace = self.pace(line.draining);
        let since = match self.seen {
            Some((moved, since)) if moved == line.moved => since,
            _ => {
                self.begin_anew(line, now);
                now
            }
        };
        let Some(limit) = self.limit(line, end) else { return Some(pace) };
        let left = (since + limit).checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(left.max(GRAIN).min(pace))
    }

    /// How long the connection may stand as it does; `None` where that is nobody's limit here.
    fn limit(&self, line: &Line, end: Option<Ending>) -> Option<Duration> {
        match line.phase {
            // What was on its way when it was told to end has come by then.
            Phase::Idle if line.draining => Some(self.idle.min(LAST_CALL)),
            Phase::Idle => Some(self.idle),
            Phase::Head | Phase::Discarding => Some(self.head),
            Phase::Busy if !line.outbox.is_empty() => Some(self.body),
            Phase::Busy if line.has_ended() || end == Some(Ending::Said) => Some(AFTER_THE_END),
            // The answer has ended, and its sender may never read on.
            Phase::Upload => Some(self.body),
            Phase::Busy | Phase::TakenOver => None,
        }
    }
}
