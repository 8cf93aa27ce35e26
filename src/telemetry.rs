//! What is counted and logged. Knows names and units of metrics; does not know when to count.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;

/// Every metric of this process.
#[derive(Clone, Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// The counters of one upstream; the same ones for the same name.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        let _ = name;
        Arc::default()
    }

    /// The counters of one token recipe; the same ones for the same name.
    pub fn token(&self, name: &str) -> Arc<TokenMetrics> {
        let _ = name;
        Arc::default()
    }
}

/// Counters of one upstream.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {}

impl UpstreamMetrics {
    /// One exchange ended with `status`, `took` after its head was read.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let _ = (status, took);
    }

    /// One request was sent a second time with a newer token.
    pub fn replayed(&self) {}
}

/// Counters of one token recipe.
#[derive(Debug, Default)]
pub struct TokenMetrics {}

/// How a token request ended, as the metric's label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A token.
    Granted,
    /// 403 or 429.
    Limited,
    /// A final OAuth error.
    Refused,
    /// Anything else.
    Failed,
}

impl TokenMetrics {
    /// One token request ended.
    pub fn requested(&self, outcome: Outcome) {
        let _ = outcome;
    }

    /// The held token's expiry; `None` where none is held.
    pub fn expires_at(&self, at: Option<SystemTime>) {
        let _ = at;
    }
}
