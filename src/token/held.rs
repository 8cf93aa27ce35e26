//! A token that is held in memory.
//!
//! Knows one token, the generation that names it and when it stops being sent. Does not know how it was got or what
//! follows it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::HeaderValue;

use super::store::unix_ms;
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
    /// When it was asked for, by whichever process, in milliseconds since 1970.
    pub(crate) asked_at_ms: u64,
    pub(crate) scope: Option<String>,
    pub(crate) lifetime: Duration,
    pub(crate) expires: Deadline,
    pub(crate) accepted: AtomicBool,
}

impl Held {
    /// A token got at `obtained` (the moment before it was asked for) that is sent until `expires`, of no known scope.
    pub(crate) fn new(
        generation: u64,
        (access_token, authorization): (Secret, HeaderValue),
        obtained: Moment,
        lifetime: Duration,
        expires: Deadline,
    ) -> Self {
        let accepted = AtomicBool::new(false);
        let asked_at_ms = unix_ms(obtained.wall());
        let scope = None;
        Self {
            generation,
            authorization,
            access_token,
            obtained,
            asked_at_ms,
            scope,
            lifetime,
            expires,
            accepted,
        }
    }

    /// Whether an upstream is known to have taken it.
    pub(crate) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

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
