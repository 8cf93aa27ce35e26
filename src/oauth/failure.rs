//! Why a token could not be had, and whether asking again can help.
//!
//! Knows kinds of fault at a token endpoint. Does not know when the next try is due (`token::schedule`) or what the
//! application is told (`proxy::failure`).

use std::{fmt, time::Duration};

use crate::secret::Secret;

/// One token request that brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of fault it is.
    pub fault: Fault,
    /// What happened, in words for an operator. Never holds a secret.
    pub detail: String,
    /// What `Retry-After` said (RFC 9110 section 10.2.3), already capped.
    pub retry_after: Option<Duration>,
    /// A refresh token that came all the same, with an access token that cannot be used: the one that was sent for it may
    /// be dead.
    pub refresh_token: Option<Secret>,
}

/// The kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A parsed OAuth error that only a change of the configuration or a secret can mend: `invalid_client`,
    /// `unauthorized_client`, `invalid_scope`, `unsupported_grant_type` (RFC 6749 section 5.2).
    Refused,
    /// A parsed `invalid_grant`: the refresh token or the user's credentials are dead.
    InvalidGrant,
    /// 403 or 429 that is no parsed OAuth error: a rate limit, for every token of the endpoint.
    Limited,
    /// The authorization server could not be reached, or the connection was cut.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// It answered something that holds no usable token: HTML, an empty 200, a 5xx, a redirect, a `token_type` that is
    /// not Bearer, a token outside b64token (RFC 6750 section 2.1).
    Unusable,
    /// The parent's token was refused on a chained token request (401 or 403).
    ParentRefused,
    /// A static token is still the one that was rejected.
    Unchanged,
    /// A secret could not be read.
    Secret,
}

impl Failure {
    /// A failure with its words.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into(), retry_after: None, refresh_token: None }
    }
}

impl Fault {
    /// Whether trying again without a change is pointless.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Refused | Self::InvalidGrant)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}
