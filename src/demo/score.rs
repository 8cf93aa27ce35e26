//! One look at everything: what the application saw, what bearward says, what the providers recorded.
//!
//! Knows how the three are put side by side. Does not judge and does not draw.

use std::time::Duration;

use super::{
    load::{Load, Seen},
    outlook::Status,
    simulator::{Counts, Outcome, Simulator, cybrid::CUSTOMER_TOKENS},
    stage::{PARTS, Part, Stage},
};
use crate::clock::Moment;

/// One look.
#[derive(Debug)]
pub(super) struct Score {
    /// The lines of the table.
    pub(super) lines: Vec<Line>,
    /// What the providers counted, all together.
    pub(super) counts: Counts,
    /// The longest that the application waited for an answer.
    pub(super) slowest: Duration,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) label: &'static str,
    /// What the application saw; `None` for a token that it does not use itself.
    pub(super) seen: Option<Seen>,
    pub(super) token: TokenLine,
    /// Requests that bearward sent a second time; told once per upstream.
    pub(super) replays: Option<u64>,
}

/// One token's life so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenLine {
    /// Which token it is: bearward's generation, or the provider's count where bearward says none.
    pub(super) number: u64,
    /// How long ago the provider issued it.
    pub(super) age: Option<Duration>,
    /// How often the provider was asked for one.
    pub(super) requests: u64,
    /// How many it granted.
    pub(super) granted: u64,
    /// How many requests it turned away as too many.
    pub(super) limited: u64,
}

impl Score {
    /// Looks.
    pub(super) fn new(stage: &Stage, load: &Load, status: &Status, now: Moment) -> Self {
        let part = |(index, part): (usize, &Part)| {
            let first = PARTS[..index].iter().all(|earlier| earlier.upstream != part.upstream);
            let upstream = status.upstreams.get(part.upstream).copied().unwrap_or_default();
            Line {
                label: part.label,
                seen: Some(load.seen(index)),
                token: token_of(stage, *part, status, now),
                replays: first.then_some(upstream.replays),
            }
        };
        let mut lines: Vec<_> = PARTS.iter().enumerate().map(part).collect();
        let slowest = lines.iter().filter_map(|line| line.seen.as_ref()).map(|seen| seen.slowest).max();
        let bank = bank(stage, status, now);
        lines.insert(4, Line { label: "Cybrid's bank", seen: None, token: bank, replays: None });
        Self { lines, counts: total(stage), slowest: slowest.unwrap_or_default() }
    }

    /// The application's requests, and those of them that failed.
    pub(super) fn requests_and_errors(&self) -> (u64, u64) {
        let seen = self.lines.iter().filter_map(|line| line.seen.as_ref());
        seen.fold((0, 0), |(requests, errors), seen| (requests + seen.requests, errors + seen.errors))
    }

    /// Requests that bearward sent a second time.
    pub(super) fn replays(&self) -> u64 {
        self.lines.iter().filter_map(|line| line.replays).sum()
    }

    /// Whether no part still uses its first token.
    pub(super) fn everyone_changed_tokens(&self) -> bool {
        self.lines.iter().all(|line| line.token.number >= 2 && line.token.granted >= 2)
    }

    /// The line of this name.
    pub(super) fn line(&self, label: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.label == label)
    }
}

fn token_of(stage: &Stage, part: Part, status: &Status, now: Moment) -> TokenLine {
    let line = token_line(stage.simulator(part.upstream), part.subject, now);
    match part.subject {
        Some(_) => line,
        None => numbered(line, part.token, status),
    }
}

fn bank(stage: &Stage, status: &Status, now: Moment) -> TokenLine {
    numbered(token_line(&stage.cybrid, None, now), "bank", status)
}

fn numbered(line: TokenLine, token: &str, status: &Status) -> TokenLine {
    let generation = status.tokens.get(token).and_then(|token| token.generation);
    TokenLine { number: generation.unwrap_or(line.number), ..line }
}

/// What the provider recorded of the tokens for `subject`, or of those for nobody in particular.
fn token_line(simulator: &Simulator, subject: Option<&str>, now: Moment) -> TokenLine {
    let mut line = TokenLine::default();
    for request in simulator.token_requests() {
        let asked_for =
            (request.endpoint == CUSTOMER_TOKENS).then(|| request.parameters.one("customer_guid"));
        if asked_for.flatten() != subject {
            continue;
        }
        line.requests += 1;
        match request.outcome {
            Outcome::Granted { .. } => {
                line.granted += 1;
                line.number += 1;
                line.age = Some(now.since(request.at));
            }
            Outcome::Limited => line.limited += 1,
            Outcome::Refused(_) | Outcome::Scripted => {}
        }
    }
    line
}

fn total(stage: &Stage) -> Counts {
    let mut total = Counts::default();
    for counts in stage.simulators().map(Simulator::counts) {
        total.logins += counts.logins;
        total.token_requests += counts.token_requests;
        total.granted += counts.granted;
        total.limited += counts.limited;
        total.refused += counts.refused;
        total.dead_refresh_tokens_seen += counts.dead_refresh_tokens_seen;
        total.unknown_refresh_tokens_seen += counts.unknown_refresh_tokens_seen;
        total.api_requests += counts.api_requests;
        total.expired_tokens_seen += counts.expired_tokens_seen;
        total.revoked_tokens_seen += counts.revoked_tokens_seen;
        total.unknown_tokens_seen += counts.unknown_tokens_seen;
        total.bare_requests_seen += counts.bare_requests_seen;
    }
    total
}
