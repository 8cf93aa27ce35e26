//! What the operator is told of one upstream's failures: a broken upstream must not flood the log.
//!
//! Knows one warning a second for each kind of failure, and how many it speaks for. Does not know what they mean.

use std::{cell::RefCell, time::Duration};

use tokio::time::Instant;

use super::failure::{Failure, Kind};

/// The shortest time between two warnings of one kind.
const ONE_EVERY: Duration = Duration::from_secs(1);

/// The failures of one upstream on one worker.
#[derive(Debug, Default)]
pub(super) struct Complaints(RefCell<Vec<Complaint>>);

#[derive(Debug)]
struct Complaint {
    kind: Kind,
    last: Instant,
    unsaid: u64,
}

impl Complaints {
    /// Logs `failure`, or counts it for the next one that is logged.
    pub(super) fn tell(&self, failure: &Failure) {
        if let Some(unsaid) = self.turn(failure.kind(), Instant::now()) {
            failure.log_with(unsaid);
        }
    }

    /// How many were left unsaid, if it is time to say so.
    fn turn(&self, kind: Kind, now: Instant) -> Option<u64> {
        let mut all = self.0.borrow_mut();
        let Some(known) = all.iter_mut().find(|known| known.kind == kind) else {
            all.push(Complaint { kind, last: now, unsaid: 0 });
            return Some(0);
        };
        if now.duration_since(known.last) < ONE_EVERY {
            known.unsaid += 1;
            return None;
        }
        known.last = now;
        Some(std::mem::take(&mut known.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_one_line_a_second_that_says_how_many_it_speaks_for() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.turn(Kind::Refused, begun), Some(0));
        for after in 0..999 {
            assert_eq!(complaints.turn(Kind::Refused, begun + Duration::from_millis(after)), None);
        }
        assert_eq!(complaints.turn(Kind::Cut, begun), Some(0), "another kind is another matter");
        assert_eq!(complaints.turn(Kind::Refused, begun + ONE_EVERY), Some(999));
        assert_eq!(complaints.turn(Kind::Refused, begun + ONE_EVERY * 2), Some(0));
    }
}
