//! The handle of a token source: what a request may ask for.
//!
//! Knows how to read the held token, to wait for one and to reject one. Never makes a token request: an application that
//! hangs up must not cancel what may be rotating a refresh token.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tokio_util::sync::DropGuard;

use super::{Held, schedule, shared::Shared, state::State};
use crate::{clock::Moment, oauth::Identity};

/// Those who wait for one source at once, at most.
const MOST_WAITING: usize = 10_000;

/// A named, configured supply of one token. Cloning shares it; the last one dropped ends its task, a refresh under way
/// excepted.
#[derive(Clone)]
pub struct TokenSource {
    shared: Arc<Shared>,
    _ends_the_task: Arc<DropGuard>,
}

impl TokenSource {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let guard = Arc::new(shared.ended.clone().drop_guard());
        Self { shared, _ends_the_task: guard }
    }

    /// The recipe's name in the configuration.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The token, if one is usable at `now`. No lock, no I/O, no waiting.
    pub fn usable(&self, now: Moment) -> Option<Arc<Held>> {
        self.shared.usable(now)
    }

    /// A usable token; waits for one that is being got, at most `patience`.
    ///
    /// # Errors
    /// There is none for now. While attempts are backing off that is said at once.
    pub async fn token(&self, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        if let Some(held) = self.usable(self.shared.now()) {
            return Ok(held);
        }
        self.wait(0, Duration::ZERO, patience).await
    }

    /// [`TokenSource::token`] for a chained attempt, which waits for the end of a short backoff too.
    pub(super) async fn lend(&self, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        self.wait(0, schedule::REPLACEMENT_GRACE, patience).await
    }

    /// Drops exactly `rejected`, and nothing if a newer one is held.
    pub fn reject(&self, rejected: &Held) {
        self.shared.reject(rejected);
    }

    /// Drops exactly `rejected` and waits for a newer one, at most `patience`.
    ///
    /// # Errors
    /// No new one can be had for now.
    pub async fn replace(&self, rejected: &Held, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        self.shared.reject(rejected);
        self.wait(rejected.generation, schedule::REPLACEMENT_GRACE, patience).await
    }

    /// Makes a refresh due now, for a person who asks for one. Says what comes of it: while attempts back off, or only a
    /// person can help, nothing does.
    pub fn refresh_now(&self) -> Refreshing {
        self.shared.refresh_now()
    }

    /// What an operator may see. Never a token.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// What identifies its token.
    pub(super) fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Returns when there is a usable token, however long that takes.
    pub(super) async fn until_usable(&self) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.usable(self.shared.now()).is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Whether a child that was refused with `held` may have it replaced. One that is gone already costs nothing.
    pub(super) fn may_be_doubted(&self, held: &Held) -> bool {
        self.shared.may_be_doubted(held)
    }

    async fn wait(&self, above: u64, grace: Duration, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        let _waiting = Waiting::join(&self.shared)?;
        match tokio::time::timeout(patience, self.newer(above, grace)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Unavailable {
                cause: Cause::TimedOut,
                detail: format!("no token came within {patience:?}"),
                retry_after: Some(Duration::from_secs(1)),
            }),
        }
    }

    async fn newer(&self, above: u64, grace: Duration) -> Result<Arc<Held>, Unavailable> {
        loop {
            // Enabled before the look, so that a change between look and wait is not missed.
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.shared.now();
            if let Some(held) = self.usable(now).filter(|held| held.generation > above) {
                return Ok(held);
            }
            if let Some(unavailable) = self.shared.want(now, grace) {
                return Err(unavailable);
            }
            changed.await;
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// A place among those who wait.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn join(shared: &'a Shared) -> Result<Self, Unavailable> {
        let before = shared.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(shared);
        if before < MOST_WAITING {
            return Ok(place);
        }
        Err(Unavailable {
            cause: Cause::BackingOff,
            detail: format!("{MOST_WAITING} requests wait for this token already"),
            retry_after: Some(Duration::from_secs(1)),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// No token for now: why, and when it is worth asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// What kind.
    pub cause: Cause,
    /// In words; holds no secret.
    pub detail: String,
    /// How long until the next try, where one is known.
    pub retry_after: Option<Duration>,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Attempts failed and back off, or the endpoint limits us: 503.
    BackingOff,
    /// The authorization server refused the credentials for good: 502.
    Refused,
    /// A person has to log in: 503.
    LoginRequired,
    /// The authorization server took too long: 504.
    TimedOut,
    /// bearward is stopping: 503.
    Stopping,
}

/// What comes of a wish for a newer token now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshing {
    /// A token is being asked for.
    Begun,
    /// One was being asked for already.
    UnderWay,
    /// The one that is held has only just been got.
    Fresh,
    /// Attempts fail or are limited: the next one is made by itself, that much later.
    BackingOff {
        /// How much later.
        next_try: Duration,
    },
    /// The authorization server refuses what is configured; that has to be mended first.
    Refused,
    /// Only a person can help.
    LoginRequired,
    /// bearward is stopping.
    Stopping,
}

impl fmt::Display for Refreshing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begun => "a new token is being asked for",
            Self::UnderWay => "a new token was being asked for already",
            Self::Fresh => "the token has only just been got",
            Self::BackingOff { next_try } => {
                return write!(
                    f,
                    "attempts are failing; the next one is made in {} s",
                    next_try.as_secs() + 1
                );
            }
            Self::Refused => {
                "the authorization server refuses what is configured; that has to be mended first"
            }
            Self::LoginRequired => "a refresh does not help: a person has to log in",
            Self::Stopping => "bearward is stopping",
        })
    }
}

/// What a source says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// When the held token was asked for.
    pub obtained_at: Option<SystemTime>,
    /// For how long it is held from then on.
    pub lifetime: Option<Duration>,
    /// Its scope, where the server said it.
    pub scope: Option<String>,
    /// When it stops being sent.
    pub expires_at: Option<SystemTime>,
    /// When it is refreshed next.
    pub refresh_at: Option<SystemTime>,
    /// When the next try is made, where attempts fail.
    pub next_try: Option<SystemTime>,
    /// The generation last held; 0 before the first.
    pub generation: u64,
    /// The last failure's words, until a success.
    pub last_error: Option<String>,
}

impl Status {
    /// When the token expires, where anybody said so: a static one without an `exp` is held until its file changes, and no
    /// date of ours is its end.
    pub fn known_end(&self) -> Option<SystemTime> {
        self.expires_at.filter(|_| self.lifetime != Some(schedule::STATIC_LIFETIME))
    }
}
