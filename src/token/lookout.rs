//! Noticing what others put into the store: a person's login or logout, another process's refresh.
//!
//! Knows that looking has to cost next to nothing, since it is done twice a second as long as bearward runs: the record is
//! read only when its stamp changed. What this source itself wrote or read is no news. Makes no token request.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{
    adopt,
    attempt::Want,
    shared::Shared,
    store::{Record, Stamp},
};
use crate::secret::Secret;

/// A login is used within a second: half of one until it is looked for, and what reading it takes.
const EVERY: Duration = Duration::from_millis(500);

/// What one source's task remembers of its looks.
#[derive(Debug)]
pub(super) struct Lookout {
    every: Interval,
    stamp: Option<Stamp>,
}

/// What names a stored token: a lost record may begin its generations anew.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    generation: u64,
    access_token: Option<Secret>,
}

impl Seen {
    pub(super) fn of(record: &Record) -> Self {
        Self { generation: record.generation, access_token: record.access_token.clone() }
    }
}

impl Lookout {
    pub(super) fn new() -> Self {
        let mut every = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { every, stamp: None }
    }

    /// Returns when the next look is due.
    pub(super) async fn due(&mut self, shared: &Shared) {
        if shared.is_watched() {
            self.every.tick().await;
        } else {
            pending().await
        }
    }

    /// Looks, and has the source follow what others did. Only its own task calls this, between two attempts.
    pub(super) async fn look(&mut self, shared: &Shared) {
        let (store, chain) = (&shared.parts.store, &shared.identity.chain);
        // Taken before the record is read: what is written in between is seen the next time.
        let stamp = store.stamp(chain).await;
        if stamp.is_none() || stamp == self.stamp {
            return;
        }
        match store.load(chain).await {
            Ok(Some(record)) => notice(shared, &record).await,
            Ok(None) => {}
            // It says what is wrong, and once is enough.
            Err(problem) if problem.is_damage() => {}
            // Attempts speak of it; the next look tries again.
            Err(_) => return,
        }
        self.stamp = stamp;
    }
}

async fn notice(shared: &Shared, record: &Record) {
    if !shared.saw(record) {
        return;
    }
    if record.is_logged_out() {
        shared.logged_out(record.generation);
        return;
    }
    let first = adopt::first_refresh_token(shared).await;
    // Also in the place of one that is usable, and where it is due for its refresh: another account may have logged in.
    let want = Want { usable: false, ..shared.known() };
    match adopt::adopted(shared, &want, record, &first) {
        Some(won) => shared.conclude(Ok(won)),
        None if record.refresh_token.is_some() => shared.course().mended(),
        None => {}
    }
}
