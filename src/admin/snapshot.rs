//! What the page shows of tokens and upstreams, as JSON: `/status` with what only a person wants to see.
//!
//! Never a token or a secret. What a login asks the person to do is in it only where the page may do something.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Admin, From, Seen, SeenToken, SeenUpstream, actions, logins, status};
use crate::{
    telemetry::{exchanges::Exchange, metrics::BUCKETS},
    token::{State, Status, Supply},
};

/// All that is shown, exchanges aside.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    process: &'a str,
    version: &'static str,
    stopping: bool,
    /// Why the changed configuration is not in force, for who may do something about it.
    not_reloaded: Option<String>,
    /// Why there are no buttons; null where there are.
    no_actions: Option<&'static str>,
    /// Upper bounds of the durations, in seconds.
    bounds: [f64; BUCKETS.len()],
    tokens: Vec<Token<'a>>,
    upstreams: Vec<Upstream<'a>>,
}

/// Times are milliseconds since 1970.
#[derive(Serialize)]
struct Token<'a> {
    name: &'a str,
    state: &'static str,
    eager: bool,
    obtained_at: Option<u64>,
    refresh_at: Option<u64>,
    next_try: Option<u64>,
    expires_at: Option<u64>,
    generation: u64,
    scope: Option<String>,
    last_error: Option<String>,
    /// How many subjects are held, where there is one token for each.
    subjects: Option<usize>,
    /// A person can log in for it.
    person: bool,
    login: Option<logins::Shown>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    name: &'a str,
    url: &'a str,
    token: Option<&'a str>,
    ways: Vec<Way<'a>>,
    requests: u64,
    errors: u64,
    replays: u64,
    durations: [u64; BUCKETS.len() + 1],
}

#[derive(Serialize)]
struct Way<'a> {
    address: &'a str,
    host: Option<&'a str>,
    curl: &'a str,
}

/// One exchange, as the page shows it.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    id: String,
    at: u64,
    method: &'a str,
    path: &'a str,
    upstream: Option<&'a str>,
    status: u16,
    /// In milliseconds.
    took: f64,
    replayed: bool,
}

impl<'a> Snapshot<'a> {
    pub(super) fn of(admin: &'a Admin, seen: &'a Seen, from: From) -> Self {
        let no_actions = actions::refused(from);
        let logins = |token: &SeenToken| admin.logins.shown(&token.name).filter(|_| no_actions.is_none());
        Self {
            process: &admin.process,
            version: env!("CARGO_PKG_VERSION"),
            stopping: admin.stopping.get(),
            not_reloaded: admin.not_reloaded.borrow().clone().filter(|_| no_actions.is_none()),
            no_actions,
            bounds: BUCKETS,
            tokens: seen.tokens.iter().map(|token| Token::of(token, logins(token))).collect(),
            upstreams: seen.upstreams.iter().map(Upstream::of).collect(),
        }
    }
}

impl Snapshot<'_> {
    /// What a page should hear of at once.
    pub(super) fn urgent(&self) -> impl Serialize {
        (self.stopping, &self.not_reloaded, &self.tokens)
    }
}

impl<'a> Token<'a> {
    fn of(token: &'a SeenToken, login: Option<logins::Shown>) -> Self {
        let (now, subjects) = match &token.supply {
            Supply::One(source) => (Some(source.status()), None),
            Supply::PerSubject(subjects) => {
                let (worst, held) = status::of_subjects(subjects);
                (worst, Some(held))
            }
        };
        let now = now.as_ref();
        let at = |time: fn(&Status) -> Option<SystemTime>| now.and_then(time).map(milliseconds);
        Self {
            name: &token.name,
            state: status::word(now.map_or(State::Acquiring, |now| now.state)),
            eager: token.eager,
            obtained_at: at(|now| now.obtained_at),
            refresh_at: at(|now| now.refresh_at),
            next_try: at(|now| now.next_try),
            expires_at: at(Status::known_end),
            generation: now.map_or(0, |now| now.generation),
            scope: now.and_then(|now| now.scope.clone()),
            last_error: now.and_then(|now| now.last_error.clone()),
            subjects,
            person: token.account.is_some(),
            login,
        }
    }
}

impl<'a> Upstream<'a> {
    fn of(upstream: &'a SeenUpstream) -> Self {
        let ways = upstream.ways.iter().map(|way| Way {
            address: &way.address,
            host: way.host.as_deref(),
            curl: &way.curl,
        });
        Self {
            name: &upstream.name,
            url: &upstream.url,
            token: upstream.token.as_deref(),
            ways: ways.collect(),
            requests: upstream.metrics.requests(),
            errors: upstream.metrics.errors(),
            replays: upstream.metrics.replays(),
            durations: upstream.metrics.durations(),
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn of(worker: usize, exchange: &'a Exchange) -> Self {
        Self {
            id: format!("{worker}-{}", exchange.number),
            at: milliseconds(exchange.at),
            method: &exchange.method,
            path: &exchange.path,
            upstream: Some(&*exchange.upstream).filter(|name| !name.is_empty()),
            status: exchange.status,
            took: exchange.took.as_secs_f64() * 1000.0,
            replayed: exchange.replayed,
        }
    }
}

/// Since 1970.
pub(super) fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
