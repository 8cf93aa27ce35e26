//! The limits of a token endpoint, shared by every source that asks there.
//!
//! Knows 403 and 429: they close the endpoint for all of its sources; when it opens again one of them probes and the
//! others follow its success. Does not know what is asked, or who waits for the answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::schedule;
use crate::{
    clock::{Clock, Deadline, Moment},
    oauth::{Failure, Fault},
};

/// Token requests under way at one endpoint, at most: ten thousand subjects must not become ten thousand connections.
const PLACES: usize = 8;

/// The endpoints that were asked so far, by URL. There are as many as the configuration names.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<String, Arc<Limit>>>);

impl Limits {
    pub(super) fn endpoint(&self, url: &str) -> Arc<Limit> {
        let mut endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(endpoints.entry(url.to_owned()).or_default())
    }
}

/// One endpoint's limit.
#[derive(Debug)]
pub(super) struct Limit {
    gate: Mutex<Gate>,
    probed: Notify,
    places: Arc<Semaphore>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { gate: Mutex::default(), probed: Notify::new(), places: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl Limit {
    /// A place for one token request; waits for one, and for the outcome of a probe.
    ///
    /// # Errors
    /// The endpoint limits us until then.
    pub(super) async fn enter(self: &Arc<Self>, clock: &Clock) -> Result<Place, Deadline> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            let probed = self.probed.notified();
            tokio::pin!(probed);
            probed.as_mut().enable();
            let admission = self.gate().admit(clock.now());
            match admission {
                Admission::Pass { probe } => {
                    return Ok(Place { limit: Arc::clone(self), probe, settled: false, _permit: permit });
                }
                Admission::Until(reopened) => return Err(reopened),
                Admission::AfterProbe => probed.await,
            }
        }
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send one token request. Dropped without a verdict (a panic), a probe counts as failed.
#[derive(Debug)]
pub(super) struct Place {
    limit: Arc<Limit>,
    probe: bool,
    settled: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Tells how the request ended. Returns until when the endpoint is closed, if it limited this request.
    pub(super) fn settle<T>(
        mut self,
        now: Moment,
        result: &Result<T, Failure>,
        chance: f64,
    ) -> Option<Deadline> {
        self.settled = true;
        let mut gate = self.limit.gate();
        let closed = match result {
            Ok(_) => {
                gate.succeeded(self.probe);
                None
            }
            Err(failure) if failure.fault == Fault::Limited => {
                Some(gate.limited(now, failure, self.probe, chance))
            }
            Err(_) => {
                gate.failed(now, self.probe);
                None
            }
        };
        drop(gate);
        self.limit.probed.notify_waiters();
        closed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.probe && !self.settled {
            let mut gate = self.limit.gate();
            if let Gate::Probing { times, opened } = *gate {
                *gate = Gate::Closed { until: opened, times };
            }
            drop(gate);
            self.limit.probed.notify_waiters();
        }
    }
}

/// Whether requests may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Gate {
    #[default]
    Open,
    /// Limited `times` in a row.
    Closed { until: Deadline, times: u32 },
    /// The time is over and one request is finding out.
    Probing { times: u32, opened: Deadline },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Admission {
    Pass { probe: bool },
    AfterProbe,
    Until(Deadline),
}

impl Gate {
    fn admit(&mut self, now: Moment) -> Admission {
        match *self {
            Self::Open => Admission::Pass { probe: false },
            Self::Probing { .. } => Admission::AfterProbe,
            Self::Closed { until, .. } if !now.reached(until) => Admission::Until(until),
            Self::Closed { times, until } => {
                *self = Self::Probing { times, opened: until };
                Admission::Pass { probe: true }
            }
        }
    }

    /// One that was sent before the endpoint was closed says nothing about its opening.
    fn succeeded(&mut self, probe: bool) {
        if probe {
            *self = Self::Open;
        }
    }

    /// Another fault than a limit: the next one that comes probes again.
    fn failed(&mut self, now: Moment, probe: bool) {
        if let (true, Self::Probing { times, .. }) = (probe, *self) {
            *self = Self::Closed { until: now.after(std::time::Duration::ZERO), times };
        }
    }

    fn limited(&mut self, now: Moment, failure: &Failure, probe: bool, chance: f64) -> Deadline {
        let before = match *self {
            Self::Open => 0,
            // Requests that were under way together are limited together: that is one time.
            Self::Closed { times, .. } => times.saturating_sub(1),
            Self::Probing { times, .. } if probe => times,
            Self::Probing { opened, .. } => return opened,
        };
        let times = before.saturating_add(1);
        let mut until = now.after(schedule::backoff(times, failure.retry_after, chance));
        if let Self::Closed { until: known, .. } = *self
            && now.until(known) > now.until(until)
        {
            until = known;
        }
        *self = Self::Closed { until, times };
        until
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn limited(retry_after: Option<u64>) -> Failure {
        let mut failure = Failure::new(Fault::Limited, "429");
        failure.retry_after = retry_after.map(Duration::from_secs);
        failure
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_closes_the_endpoint_and_one_probe_opens_it() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let limit = Limits::default().endpoint("https://id.example/token");
        let place = limit.enter(&clock).await.unwrap();
        place.settle(clock.now(), &Err::<(), _>(limited(Some(20))), 0.0);
        assert_eq!(clock.now().until(limit.enter(&clock).await.unwrap_err()), Duration::from_secs(20));

        tokio::time::advance(Duration::from_secs(20)).await;
        let probe = limit.enter(&clock).await.unwrap();
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (limit, clock) = (Arc::clone(&limit), clock.clone());
                tokio::spawn(async move { limit.enter(&clock).await.is_ok() })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(others.iter().all(|other| !other.is_finished()), "they wait for the probe");
        probe.settle(clock.now(), &Ok(()), 0.0);
        for other in others {
            assert!(other.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r132_limits_in_a_row_last_longer_and_limits_together_count_once() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let limit = Arc::new(Limit::default());
        let places = [limit.enter(&clock).await.unwrap(), limit.enter(&clock).await.unwrap()];
        for place in places {
            let until = place.settle(clock.now(), &Err::<(), _>(limited(None)), 0.0).unwrap();
            assert_eq!(clock.now().until(until), Duration::from_millis(500));
        }
        tokio::time::advance(Duration::from_millis(500)).await;
        let probe = limit.enter(&clock).await.unwrap();
        let until = probe.settle(clock.now(), &Err::<(), _>(limited(None)), 0.0).unwrap();
        assert_eq!(clock.now().until(until), Duration::from_millis(1500));
    }

    #[tokio::test(start_paused = true)]
    async fn r150_a_probe_that_vanishes_lets_the_next_one_probe() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let limit = Arc::new(Limit::default());
        let place = limit.enter(&clock).await.unwrap();
        place.settle(clock.now(), &Err::<(), _>(limited(None)), 0.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(limit.enter(&clock).await.unwrap());
        assert!(limit.enter(&clock).await.unwrap().probe);
    }
}
