//! The two things that go wrong in the middle of the tour, on purpose.
//!
//! Knows when a token is taken back and when a token endpoint turns requests away, and when each is overcome. Does not
//! know how it is shown.

use std::time::Duration;

use super::{score::Score, stage::Stage};

/// Not before this, so that the beginning can be read.
const REVOKE_AFTER: Duration = Duration::from_secs(5);
/// Not before this, and not before the first event is over.
const LIMIT_AFTER: Duration = Duration::from_millis(8500);
/// A token's middle age: neither just issued nor about to be refreshed anyway.
const MIDDLE_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3);
/// After so many requests turned away the limit is lifted.
const TURNED_AWAY: u64 = 2;
/// Or after this and a single one, so that the held token does not run out: then the provider would be down, not busy.
const LONGEST_LIMIT: Duration = Duration::from_secs(6);

/// The course of both.
#[derive(Debug, Default)]
pub(super) struct Events {
    revocation: Revocation,
    limit: Limiting,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Revocation {
    #[default]
    Ahead,
    Begun {
        granted: u64,
        errors: u64,
    },
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Limiting {
    #[default]
    Ahead,
    Begun {
        at: Duration,
        errors: u64,
    },
    Lifted {
        granted: u64,
        errors: u64,
    },
    Over,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// When, from the beginning on.
    pub(super) at: Duration,
    /// What, in lines of at most 70 characters.
    pub(super) lines: Vec<String>,
}

impl Events {
    /// Lets happen what is due, and says what is new.
    pub(super) fn advance(&mut self, stage: &Stage, score: &Score, elapsed: Duration) -> Vec<News> {
        let told = [self.revoke(stage, score, elapsed), self.limit(stage, score, elapsed)];
        told.into_iter().flatten().map(|lines| News { at: elapsed, lines }).collect()
    }

    /// Whether both happened and were overcome.
    pub(super) fn over(&self) -> bool {
        self.revoked() && self.limited()
    }

    /// Whether a token in use was taken back, rejected, and replaced.
    pub(super) fn revoked(&self) -> bool {
        self.revocation == Revocation::Over
    }

    /// Whether token requests were turned away, and one succeeded afterwards.
    pub(super) fn limited(&self) -> bool {
        self.limit == Limiting::Over
    }

    fn revoke(&mut self, stage: &Stage, score: &Score, elapsed: Duration) -> Option<Vec<String>> {
        let line = score.line("Inventorum")?;
        let errors = line.seen.as_ref()?.errors;
        match self.revocation {
            Revocation::Ahead => {
                let due =
                    elapsed >= REVOKE_AFTER && line.token.age.is_some_and(|age| MIDDLE_AGE.contains(&age));
                // None alive: it has just run out, so the next one will do.
                if !due || stage.inventorum.revoke_all() == 0 {
                    return None;
                }
                self.revocation = Revocation::Begun { granted: line.token.granted, errors };
                Some(vec![format!("Inventorum revokes token #{}, which is in use.", line.token.number)])
            }
            Revocation::Begun { granted, errors: before } => {
                let rejected = stage.inventorum.counts().revoked_tokens_seen;
                if rejected == 0 || line.token.granted <= granted {
                    return None;
                }
                self.revocation = Revocation::Over;
                Some(vec![
                    format!(
                        "The API said 401 token.invalid, {}. bearward fetched token #{}",
                        times(rejected),
                        line.token.number
                    ),
                    format!("and sent the request again. The application saw {}.", outcome(errors - before)),
                ])
            }
            Revocation::Over => None,
        }
    }

    fn limit(&mut self, stage: &Stage, score: &Score, elapsed: Duration) -> Option<Vec<String>> {
        let bank = score.line("Cybrid's bank")?.token;
        let errors = score.requests_and_errors().1;
        match self.limit {
            Limiting::Ahead => {
                let due = elapsed >= LIMIT_AFTER && self.revoked();
                if !due || !bank.age.is_some_and(|age| MIDDLE_AGE.contains(&age)) {
                    return None;
                }
                stage.cybrid.limit_token_endpoint(Duration::from_secs(60), None);
                self.limit = Limiting::Begun { at: elapsed, errors };
                Some(vec!["Cybrid's token endpoint answers 403 from now on: too many requests.".to_owned()])
            }
            Limiting::Begun { at, errors } => {
                let limited = stage.cybrid.counts().limited;
                let enough = limited >= TURNED_AWAY || (limited > 0 && elapsed - at >= LONGEST_LIMIT);
                if !enough {
                    return None;
                }
                stage.cybrid.lift_limit();
                self.limit = Limiting::Lifted { granted: bank.granted, errors };
                None
            }
            Limiting::Lifted { granted, errors: before } => {
                let limited = stage.cybrid.counts().limited;
                if limited == 0 || bank.granted <= granted {
                    return None;
                }
                self.limit = Limiting::Over;
                Some(vec![
                    format!(
                        "It turned bearward away {}; bearward used the token it had, asked",
                        times(limited)
                    ),
                    format!(
                        "later and got #{}. The application saw {}.",
                        bank.number,
                        outcome(errors - before)
                    ),
                ])
            }
            Limiting::Over => None,
        }
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// What the application saw meanwhile.
fn outcome(errors: u64) -> String {
    match errors {
        0 => "nothing of it".to_owned(),
        1 => "1 error".to_owned(),
        more => format!("{more} errors"),
    }
}

#[cfg(test)]
impl Events {
    /// As if both had happened and were over.
    pub(super) fn overcome() -> Self {
        Self { revocation: Revocation::Over, limit: Limiting::Over }
    }
}
