//! What a simulated party saw.
//!
//! Knows how to count and keep. Does not judge.

use std::collections::VecDeque;

use http::StatusCode;

use super::wire::{Call, Parameters};
use crate::clock::Moment;

/// How many requests of each kind are kept; the counts go on.
const KEPT: usize = 10_000;

/// A request for a token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// When it had come.
    pub at: Moment,
    /// The path it went to.
    pub endpoint: String,
    /// Its `grant_type`; empty where it had none.
    pub grant: String,
    /// Everything it sent in its body.
    pub parameters: Parameters,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request for a token ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this access token, for this subject (empty where nobody is named).
    Granted {
        /// The access token.
        token: String,
        /// Whom it acts for.
        subject: String,
    },
    /// With this error code.
    Refused(&'static str),
    /// It came too often.
    Limited,
    /// With an answer that a script gave.
    Scripted,
}

/// A request to the API, or to a page or endpoint of the authorization server that grants no token.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// As it came.
    pub call: Call,
    /// The answer's status; `None` where raw octets were the answer.
    pub status: Option<StatusCode>,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for tokens, however they ended.
    pub token_requests: u64,
    /// Tokens granted.
    pub granted: u64,
    /// Token requests turned away as too many.
    pub limited: u64,
    /// Token requests refused with an OAuth error.
    pub refused: u64,
    /// Refresh tokens that had been used before, or whose chain was dead.
    pub dead_refresh_tokens_seen: u64,
    /// Refresh tokens that were never issued.
    pub unknown_refresh_tokens_seen: u64,
    /// Times that a person allowed what a client asked for.
    pub logins: u64,
    /// Authorization codes presented a second time.
    pub used_codes_seen: u64,
    /// Device code requests that came before their interval was over.
    pub hasty_polls: u64,
    /// Requests to the API.
    pub api_requests: u64,
    /// Access tokens presented after their end.
    pub expired_tokens_seen: u64,
    /// Access tokens presented after they were taken back.
    pub revoked_tokens_seen: u64,
    /// Access tokens presented that were never issued.
    pub unknown_tokens_seen: u64,
    /// Requests to the API without a Bearer token.
    pub bare_requests_seen: u64,
}

/// The requests, the last ten thousand of each kind.
#[derive(Debug, Default)]
pub struct Record {
    /// How often what happened, from the first request on.
    pub counts: Counts,
    tokens: VecDeque<TokenRequest>,
    endpoints: VecDeque<ApiRequest>,
    api: VecDeque<ApiRequest>,
}

impl Record {
    /// Keeps a request for a token.
    pub fn token_request(&mut self, request: TokenRequest) {
        self.counts.token_requests += 1;
        match request.outcome {
            Outcome::Granted { .. } => self.counts.granted += 1,
            Outcome::Refused(_) => self.counts.refused += 1,
            Outcome::Limited => self.counts.limited += 1,
            Outcome::Scripted => {}
        }
        keep(&mut self.tokens, request);
    }

    /// Keeps a request to the authorization server that was not for a token.
    pub fn endpoint_request(&mut self, request: ApiRequest) {
        keep(&mut self.endpoints, request);
    }

    /// Keeps a request to the API.
    pub fn api_request(&mut self, request: ApiRequest) {
        self.counts.api_requests += 1;
        keep(&mut self.api, request);
    }

    /// The requests for tokens, the oldest first.
    pub fn token_requests(&self) -> impl DoubleEndedIterator<Item = &TokenRequest> {
        self.tokens.iter()
    }

    /// The requests to the authorization server that were not for a token, the oldest first.
    pub fn endpoint_requests(&self) -> impl DoubleEndedIterator<Item = &ApiRequest> {
        self.endpoints.iter()
    }

    /// The requests to the API, the oldest first.
    pub fn api_requests(&self) -> impl DoubleEndedIterator<Item = &ApiRequest> {
        self.api.iter()
    }
}

fn keep<T>(kept: &mut VecDeque<T>, item: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(item);
}
