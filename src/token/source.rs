//! The handle of a token source: what a request may ask for.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderName;

use super::Held;
use crate::{clock::Moment, oauth::Grant, telemetry::TokenMetrics};

/// How a source keeps its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The share of the lifetime after which it is refreshed in the background, 0.1 to 0.95.
    pub refresh_at: f64,
    /// Whether it is got at start and kept fresh though nobody asks; false: at the first request, and not while idle.
    pub eager: bool,
    /// The lifetime where the answer says none.
    pub default_lifetime: Duration,
}

/// Builds sources; owns the runtime their tasks run on, the store, the clock and the endpoints' limits.
#[derive(Clone, Debug)]
pub struct Engine {}

impl Engine {
    /// A source for `grant`. `parent` is the source whose token authorizes this one's requests.
    pub fn source(
        &self,
        name: Arc<str>,
        grant: Arc<dyn Grant>,
        policy: Policy,
        parent: Option<TokenSource>,
        metrics: Arc<TokenMetrics>,
    ) -> TokenSource {
        let _ = (name, grant, policy, parent, metrics);
        todo!()
    }
}

/// A named, configured supply of one token. Cloning shares it; the last one dropped ends its task, a refresh under way
/// excepted.
#[derive(Clone, Debug)]
pub struct TokenSource {}

impl TokenSource {
    /// The recipe's name in the configuration.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The token, if one is usable at `now`. No lock, no I/O, no waiting.
    pub fn usable(&self, now: Moment) -> Option<Arc<Held>> {
        let _ = now;
        todo!()
    }

    /// A usable token; waits for one that is being got, at most `patience`.
    ///
    /// # Errors
    /// There is none for now. While attempts are backing off that is said at once.
    pub async fn token(&self, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        let _ = patience;
        todo!()
    }

    /// Drops exactly `rejected`, and nothing if a newer one is held.
    pub fn reject(&self, rejected: &Held) {
        let _ = rejected;
        todo!()
    }

    /// Drops exactly `rejected` and waits for a newer one, at most `patience`.
    ///
    /// # Errors
    /// No new one can be had for now.
    pub async fn replace(&self, rejected: &Held, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        let _ = (rejected, patience);
        todo!()
    }

    /// What an operator may see. Never a token.
    pub fn status(&self) -> Status {
        todo!()
    }
}

/// One recipe, one token per subject.
#[derive(Clone, Debug)]
pub struct Subjects {}

impl Subjects {
    /// The field that names the subject of a request.
    pub fn header(&self) -> &HeaderName {
        todo!()
    }

    /// The source for `subject`, made at its first use; the least recently used goes when there are too many.
    pub fn source(&self, subject: &str) -> TokenSource {
        let _ = subject;
        todo!()
    }
}

/// What a route takes its tokens from.
#[derive(Clone, Debug)]
pub enum Supply {
    /// One token for every request.
    One(TokenSource),
    /// One per subject.
    PerSubject(Subjects),
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

/// What a source says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// When the held token stops being sent.
    pub expires_at: Option<SystemTime>,
    /// When it is refreshed next.
    pub refresh_at: Option<SystemTime>,
    /// The generation last held; 0 before the first.
    pub generation: u64,
    /// The last failure's words, until a success.
    pub last_error: Option<String>,
}

/// The states that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None held yet, or being replaced.
    Acquiring,
    /// One is held and usable.
    Valid,
    /// The held one ran out while attempts fail.
    Expired,
    /// A person has to log in.
    LoginRequired,
    /// Refused for good.
    Failed,
}
