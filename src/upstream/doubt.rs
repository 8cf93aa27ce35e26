//! What an upstream's closed connections have taught about kept ones.
//!
//! A request that must not be sent twice (RFC 9110 section 9.2.2) is lost where the upstream closes the connection in the moment in
//! which it is written. So what was found closed is remembered for a while: such a request goes out on a kept connection only if that
//! has idled for less than half as long as any that was found closed. Knows times alone.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

/// How long a lesson is remembered at least. An upstream that was restarted is trusted again soon.
const REMEMBERED: Duration = Duration::from_secs(10);
/// And as a multiple of the time that the lesson is about: many connections have to idle that long for another lesson.
const TIMES_ITS_OWN: u32 = 10;

/// The shortest time that a connection of this upstream lived on after an answer, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Doubt(Cell<Option<Lesson>>);

#[derive(Clone, Copy, Debug)]
struct Lesson {
    idled: Duration,
    until: Instant,
}

impl Doubt {
    /// A connection that had idled for so long was found closed; or it ended, instead of an answer, when it was used again.
    pub(super) fn learn(&self, idled: Duration, now: Instant) {
        let idled = self.lesson(now).map_or(idled, |known| known.idled.min(idled));
        let until = now + REMEMBERED.max(idled * TIMES_ITS_OWN);
        self.0.set(Some(Lesson { idled, until }));
    }

    /// Whether a connection that has idled for so long is good enough for a request that must not be sent twice.
    pub(super) fn spares(&self, idled: Duration, now: Instant) -> bool {
        self.lesson(now).is_none_or(|lesson| idled < lesson.idled / 2)
    }

    fn lesson(&self, now: Instant) -> Option<Lesson> {
        self.0.get().filter(|lesson| now < lesson.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn r118_the_shortest_life_counts_and_is_halved() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        assert!(doubt.spares(ms(1_000_000), now), "nothing is known");
        doubt.learn(ms(100), now);
        doubt.learn(ms(4), now);
        doubt.learn(ms(50), now);
        assert!(doubt.spares(ms(1), now) && !doubt.spares(ms(2), now));
        doubt.learn(Duration::ZERO, now);
        assert!(!doubt.spares(Duration::ZERO, now), "no kept connection at all");
    }

    #[test]
    fn r118_a_lesson_is_forgotten_in_time_and_a_long_one_later() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        doubt.learn(ms(1), now);
        assert!(!doubt.spares(ms(5), now + REMEMBERED - ms(1)));
        assert!(doubt.spares(ms(5), now + REMEMBERED));
        doubt.learn(ms(60_000), now + REMEMBERED);
        assert!(!doubt.spares(ms(30_000), now + ms(500_000)));
        assert!(doubt.spares(ms(29_999), now + ms(500_000)), "the shorter one is forgotten, not prolonged");
    }
}
