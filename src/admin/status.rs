//! `/status`: what runs, as JSON.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;

use super::Seen;
use crate::token::{self, State, Subjects, Supply};

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    tokens: BTreeMap<&'a str, Token>,
    upstreams: BTreeMap<&'a str, Upstream<'a>>,
}

#[derive(Serialize)]
struct Token {
    state: &'static str,
    expires_at: Option<String>,
    refresh_at: Option<String>,
    generation: u64,
    scope: Option<String>,
    last_error: Option<String>,
    /// How many subjects are held, where there is one token for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<usize>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    url: &'a str,
    token: Option<&'a str>,
    addresses: Vec<&'a str>,
    requests: u64,
    errors: u64,
    replays: u64,
}

/// The whole answer.
pub(super) fn json(seen: &Seen) -> String {
    let tokens = seen.tokens.iter().map(|token| (&*token.name, of(&token.supply))).collect();
    let upstreams = seen.upstreams.iter().map(|upstream| {
        let status = Upstream {
            url: &upstream.url,
            token: upstream.token.as_deref(),
            addresses: upstream.ways.iter().map(|way| &*way.address).collect(),
            requests: upstream.metrics.requests(),
            errors: upstream.metrics.errors(),
            replays: upstream.metrics.replays(),
        };
        (&*upstream.name, status)
    });
    let status = Status { version: env!("CARGO_PKG_VERSION"), tokens, upstreams: upstreams.collect() };
    // Maps with text keys and plain values: there is nothing that could fail to be written.
    serde_json::to_string_pretty(&status).unwrap_or_default()
}

/// A state as users see it.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Acquiring => "acquiring",
        State::Valid => "valid",
        State::Expired => "expired",
        State::LoginRequired => "login_required",
        State::Failed => "failed",
    }
}

fn of(supply: &Supply) -> Token {
    match supply {
        Supply::One(source) => shown(source.status(), None),
        Supply::PerSubject(subjects) => match of_subjects(subjects) {
            (Some(worst), held) => shown(worst, Some(held)),
            (None, held) => Token {
                state: word(State::Acquiring),
                expires_at: None,
                refresh_at: None,
                generation: 0,
                scope: None,
                last_error: None,
                subjects: Some(held),
            },
        },
    }
}

/// What one of many says for all, and how many there are. One that is not well says more than the many that are.
pub(super) fn of_subjects(subjects: &Subjects) -> (Option<token::Status>, usize) {
    let each: Vec<token::Status> = subjects.each().map(|source| source.status()).collect();
    let held = each.len();
    let unwell = each.iter().find(|status| status.last_error.is_some()).cloned();
    (unwell.or_else(|| each.into_iter().max_by_key(|status| status.generation)), held)
}

fn shown(now: token::Status, subjects: Option<usize>) -> Token {
    Token {
        state: word(now.state),
        expires_at: now.known_end().map(rfc3339),
        refresh_at: now.refresh_at.map(rfc3339),
        generation: now.generation,
        scope: now.scope,
        last_error: now.last_error,
        subjects,
    }
}

fn rfc3339(at: SystemTime) -> String {
    // Every time that a lifetime cap lets through is within jiff's years -9999 to 9999.
    jiff::Timestamp::try_from(at).map(|at| format!("{at:.3}")).unwrap_or_default()
}
