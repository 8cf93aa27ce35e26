//! What time it is, three ways at once: since boot (a suspended machine's sleep counts) and by the calendar.
//!
//! Knows how to read the clocks, and that a deadline has passed as soon as *either* clock says so: a laptop that
//! slept for eight hours and a wall clock that was set a year ahead both end a token; a wall clock set back does
//! not prolong one. Does not know what a deadline is for. Everything else takes a [`Moment`] as a parameter.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// The longest sleep between two looks at the clock: timers stand still while a machine is suspended.
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    boot: Duration,
    wall: SystemTime,
}

/// A point in the future on both clocks; the earlier of the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    boot: Duration,
    wall: SystemTime,
}

impl Moment {
    /// The calendar's time.
    pub fn wall(self) -> SystemTime {
        self.wall
    }

    /// The point `span` after this one.
    pub fn after(self, span: Duration) -> Deadline {
        Deadline {
            boot: self.boot.saturating_add(span),
            wall: self.wall.checked_add(span).unwrap_or(self.wall),
        }
    }

    /// Time passed since `earlier` on the boot clock.
    pub fn since(self, earlier: Moment) -> Duration {
        self.boot.saturating_sub(earlier.boot)
    }

    /// Whether `deadline` is behind us on either clock.
    pub fn reached(self, deadline: Deadline) -> bool {
        self.boot >= deadline.boot || self.wall >= deadline.wall
    }

    /// What is left until `deadline`, on the clock where less is left.
    pub fn until(self, deadline: Deadline) -> Duration {
        let boot = deadline.boot.saturating_sub(self.boot);
        let wall = deadline.wall.duration_since(self.wall).unwrap_or_default();
        boot.min(wall)
    }
}

impl Deadline {
    /// The calendar's time of it, as it looked when it was made.
    pub fn wall(self) -> SystemTime {
        self.wall
    }

    /// The earlier of two.
    pub fn min(self, other: Self) -> Self {
        Self { boot: self.boot.min(other.boot), wall: self.wall.min(other.wall) }
    }
}

/// The clocks of this process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Manual(Arc<Mutex<Offsets>>),
}

/// How far a manual clock was moved away from tokio's (pausable) time.
#[derive(Debug)]
struct Offsets {
    start: tokio::time::Instant,
    epoch: SystemTime,
    slept: Duration,
    stepped_ahead: Duration,
    stepped_back: Duration,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// Clocks that follow tokio's time (which a test may pause) from `epoch` on, and that can be put to sleep and
    /// stepped. Must be called inside a tokio runtime.
    pub fn manual(epoch: SystemTime) -> Self {
        Self(Kind::Manual(Arc::new(Mutex::new(Offsets {
            start: tokio::time::Instant::now(),
            epoch,
            slept: Duration::ZERO,
            stepped_ahead: Duration::ZERO,
            stepped_back: Duration::ZERO,
        }))))
    }

    /// Reads both clocks.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Kind::System => Moment { boot: boot_time(), wall: wall_time() },
            Kind::Manual(offsets) => {
                let offsets = offsets.lock().unwrap_or_else(PoisonError::into_inner);
                let run = tokio::time::Instant::now() - offsets.start + offsets.slept;
                Moment { boot: run, wall: offsets.epoch + run + offsets.stepped_ahead - offsets.stepped_back }
            }
        }
    }

    /// Time passed since `earlier`, for whom the calendar says nothing: one reading less.
    pub fn since(&self, earlier: Moment) -> Duration {
        match &self.0 {
            Kind::System => boot_time().saturating_sub(earlier.boot),
            Kind::Manual(_) => self.now().since(earlier),
        }
    }

    /// Returns once `deadline` is behind us on either clock; wakes at least every five seconds to look, because
    /// timers do not count a suspended machine's sleep.
    pub async fn sleep_until(&self, deadline: Deadline) {
        loop {
            let left = self.now().until(deadline);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }

    /// Suspends a manual machine: both clocks move, timers do not. Nothing happens on the system's clocks.
    pub fn suspend(&self, span: Duration) {
        self.with_offsets(|offsets| offsets.slept += span);
    }

    /// Sets a manual wall clock ahead.
    pub fn step_ahead(&self, span: Duration) {
        self.with_offsets(|offsets| offsets.stepped_ahead += span);
    }

    /// Sets a manual wall clock back.
    pub fn step_back(&self, span: Duration) {
        self.with_offsets(|offsets| offsets.stepped_back += span);
    }

    fn with_offsets(&self, change: impl FnOnce(&mut Offsets)) {
        if let Kind::Manual(offsets) = &self.0 {
            change(&mut offsets.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where the clock is read")]
fn wall_time() -> SystemTime {
    SystemTime::now()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::disallowed_methods, reason = "this is the edge where the clock is read")]
fn boot_time() -> Duration {
    // Elsewhere the wall clock is what sees a suspended machine's sleep.
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    #[tokio::test(start_paused = true)]
    async fn r145_a_suspended_machine_and_a_stepped_clock_end_a_deadline() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + 60 * YEAR);
        let deadline = clock.now().after(HOUR);
        assert!(!clock.now().reached(deadline));
        clock.step_back(YEAR);
        assert_eq!(clock.now().until(deadline), HOUR, "a clock set back prolongs nothing");
        clock.suspend(8 * HOUR);
        assert!(clock.now().reached(deadline));
        let next = clock.now().after(HOUR);
        clock.step_ahead(YEAR);
        assert!(clock.now().reached(next));
    }

    #[tokio::test(start_paused = true)]
    async fn r145_a_sleeper_notices_that_the_machine_slept() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + 60 * YEAR);
        let started = tokio::time::Instant::now();
        let deadline = clock.now().after(8 * HOUR);
        clock.suspend(8 * HOUR - Duration::from_secs(12));
        clock.sleep_until(deadline).await;
        assert!(started.elapsed() <= Duration::from_secs(13));
    }
}
