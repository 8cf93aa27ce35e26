//! What the operator is told of failures at one place: a broken upstream, or an application before a shut door, must not flood the log.
//!
//! Knows one warning a second for each kind of failure, and how many it speaks for; where the operator has to do something about each
//! destination, for each destination. Does not know what they mean.

use std::{cell::RefCell, time::Duration};

use tokio::time::Instant;

use super::failure::{Failure, Kind};

/// The shortest time between two warnings of one kind.
const ONE_EVERY: Duration = Duration::from_secs(1);
/// The most that are told apart, and so the most warnings within that time.
const MOST: usize = 64;

/// The failures of one upstream, or at one door, on one worker.
#[derive(Debug, Default)]
pub struct Complaints(RefCell<Vec<Complaint>>);

#[derive(Debug)]
struct Complaint {
    kind: Kind,
    /// What it is about, where that makes it another one.
    about: String,
    last: Instant,
    unsaid: u64,
}

impl Complaints {
    /// Logs `failure`, or counts it for the next one that is logged.
    pub fn tell(&self, failure: &Failure) {
        let about = if failure.is_unconfigured() { failure.detail() } else { "" };
        if let Some(unsaid) = self.turn(failure.kind(), about, Instant::now()) {
            failure.log_with(unsaid);
        }
    }

    /// How many were left unsaid, if it is time to say so.
    fn turn(&self, kind: Kind, about: &str, now: Instant) -> Option<u64> {
        let mut all = self.0.borrow_mut();
        let is_due = |known: &Complaint| now.duration_since(known.last) >= ONE_EVERY;
        let Some(known) = all.iter_mut().find(|known| known.kind == kind && known.about == about) else {
            if all.len() >= MOST {
                let gone = all.iter().position(is_due)?;
                all.swap_remove(gone);
            }
            all.push(Complaint { kind, about: about.to_owned(), last: now, unsaid: 0 });
            return Some(0);
        };
        if !is_due(known) {
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
        assert_eq!(complaints.turn(Kind::Refused, "", begun), Some(0));
        for after in 0..999 {
            assert_eq!(complaints.turn(Kind::Refused, "", begun + Duration::from_millis(after)), None);
        }
        assert_eq!(complaints.turn(Kind::Cut, "", begun), Some(0), "another kind is another matter");
        assert_eq!(complaints.turn(Kind::Refused, "", begun + ONE_EVERY), Some(999));
        assert_eq!(complaints.turn(Kind::Refused, "", begun + ONE_EVERY * 2), Some(0));
    }

    #[test]
    fn each_destination_is_named_but_a_flood_of_them_is_not() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.turn(Kind::Unlisted, "a.example", begun), Some(0));
        assert_eq!(complaints.turn(Kind::Unlisted, "b.example", begun), Some(0));
        assert_eq!(complaints.turn(Kind::Unlisted, "a.example", begun), None);
        let flood = |now| {
            let names = (0..1000).map(|number| format!("{number}.example"));
            names.filter(|name| complaints.turn(Kind::Unlisted, name, now).is_some()).count()
        };
        assert_eq!(flood(begun), MOST - 2);
        assert_eq!(flood(begun + ONE_EVERY), MOST);
    }
}
