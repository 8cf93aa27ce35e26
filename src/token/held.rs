//! A token that is held in memory.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::HeaderValue;

use crate::{
    clock::{Deadline, Moment},
    secret::Secret,
};

/// One held token. Its generation names it: what is rejected is this one, never "the current one".
#[derive(Debug)]
pub struct Held {
    pub(crate) generation: u64,
    pub(crate) authorization: HeaderValue,
    pub(crate) access_token: Secret,
    pub(crate) obtained: Moment,
    pub(crate) lifetime: Duration,
    pub(crate) expires: Deadline,
    pub(crate) accepted: AtomicBool,
}

impl Held {
    /// The counter that names this token; grows with every newer one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// `Bearer …`, built once per generation and marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// The token itself, for `bearward token`.
    pub fn access_token(&self) -> &Secret {
        &self.access_token
    }

    /// When it stops being sent.
    pub fn expires(&self) -> Deadline {
        self.expires
    }

    /// Notes that an upstream answered a request with this token with something other than a rejection.
    pub fn accept(&self) {
        if !self.accepted.load(Ordering::Relaxed) {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }
}
