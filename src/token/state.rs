//! The states of a source and what moves it from one to the next: pure, without clock, chance or waiting.
//!
//! Knows what a grant, a failure or a rejection means for the next attempt, and what a waiter is told. Does not know how
//! an attempt is made (`attempt`), who sleeps (`refresher`) or which token is held (`shared`).

use std::time::Duration;

use super::{
    schedule,
    source::{Cause, Refreshing, Unavailable},
};
use crate::{
    clock::{Deadline, Moment},
    oauth::{Failure, Fault},
    secret::Secret,
};

/// Tokens that were accepted and then rejected are replaced at once this often in a row; afterwards once per
/// [`REPLACEMENT_EVERY`]. An API that takes a token here and rejects it there must not hammer the token endpoint.
const REPLACEMENTS_AT_ONCE: u32 = 5;
const REPLACEMENT_EVERY: Duration = Duration::from_secs(10);
/// The bucket's level above which no more fit in.
const REPLACEMENTS_FULL: Duration = Duration::from_secs(10 * (REPLACEMENTS_AT_ONCE as u64 - 1));

/// How far apart the tokens of a parent may be doubted that nobody accepted: children alone must not keep it in backoff.
const UNACCEPTED_DOUBT_EVERY: Duration = Duration::from_secs(60);

/// How often a child asks for its parent's token, besides when the parent has one: a lazy parent needs the asking.
const PARENT_LOOK: Duration = Duration::from_secs(30);

/// The states that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None held yet, or being replaced.
    Acquiring,
    /// One is held and usable; or its source rests, and the next request gets one.
    Valid,
    /// The held one ran out while attempts fail.
    Expired,
    /// A person has to log in.
    LoginRequired,
    /// Refused for good.
    Failed,
}

/// Where a source stands between two attempts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// No token, and no reason to wait: the next attempt is due as soon as one is wanted.
    Empty,
    /// A token was got; it is refreshed from `refresh` on.
    Usable { refresh: Deadline },
    /// The last attempt failed, or a token was rejected before it was accepted. A held token serves on.
    BackingOff { until: Deadline, why: Why },
    /// Refused for good; tried at `probe`, or when a secret has changed.
    Refused { probe: Deadline, detail: String },
    /// Only a person can help.
    LoginRequired { detail: String },
}

/// Why a source backs off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Why {
    pub cause: Cause,
    pub detail: String,
    /// The parent's failure: over as soon as the parent has a token.
    pub parent: bool,
}

/// What stood in the way of a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Setback {
    /// The grant failed.
    Failed(Failure),
    /// The endpoint is closed for all its sources until then.
    Limited { until: Deadline, detail: String },
    /// The parent has no token.
    Parent(Unavailable),
    /// The store could not be read or locked.
    Store(String),
    /// Only a person can help.
    LoginRequired(String),
    /// A bug of ours or of a grant.
    Panicked,
}

/// The token that was rejected last.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    pub token: Secret,
    pub at: Moment,
}

/// What the next attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Due {
    Now,
    At(Deadline),
    /// Only a change of secrets or store can help: look for one now and then, and try anyway at `probe`.
    Look {
        probe: Option<Deadline>,
    },
    OnDemand,
}

/// What is known from outside when the next attempt is planned.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub now: Moment,
    /// The usable token's expiry and whether it was accepted.
    pub held: Option<(Deadline, bool)>,
    /// Kept fresh though nobody asks.
    pub eager: bool,
}

/// The course of one source so far.
#[derive(Debug)]
pub(super) struct Course {
    pub standing: Standing,
    /// The generation last held; 0 before the first.
    pub generation: u64,
    /// When that one was asked for, in milliseconds since 1970.
    pub asked_at_ms: u64,
    /// An attempt is under way.
    pub running: bool,
    /// The attempt under way has a token, but the store does not take it: nobody should wait for that.
    pub unsaved: Option<String>,
    /// Somebody found no token since the last attempt began.
    pub wanted: bool,
    pub rejected: Option<Rejected>,
    /// A chained request was refused since the last success and has cost the parent its token already.
    pub parent_blamed: bool,
    /// That only a person can help is in the metrics.
    pub counted_login: bool,
    /// Failures since the last grant.
    failures: u32,
    /// Tokens rejected before acceptance, since the last accepted one.
    strikes: u32,
    replacements: Option<(Moment, Duration)>,
    /// Tokens of the shortest lifetime that nobody used, in a row; until when the next such refresh is put off.
    unused: u32,
    rest: Option<Deadline>,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            standing: Standing::Empty,
            generation: 0,
            asked_at_ms: 0,
            running: false,
            unsaved: None,
            wanted: false,
            rejected: None,
            parent_blamed: false,
            counted_login: false,
            failures: 0,
            strikes: 0,
            replacements: None,
            unused: 0,
            rest: None,
        }
    }

    pub(super) fn began(&mut self) {
        self.running = true;
        self.wanted = false;
    }

    pub(super) fn granted(&mut self, refresh: Deadline) {
        self.ended();
        self.failures = 0;
        self.parent_blamed = false;
        // Who came in the middle of the attempt has a token now.
        self.wanted = false;
        self.standing = Standing::Usable { refresh };
    }

    /// Puts refreshes off that serve nobody where tokens live for a second only, as they seem to where a server says
    /// `expires_in: 0`. `unused`: nobody used the last one, and the one just granted is no longer lived.
    pub(super) fn rests(&mut self, now: Moment, unused: bool, chance: f64) {
        self.unused = if unused { self.unused.saturating_add(1) } else { 0 };
        self.rest = unused.then(|| now.after(schedule::backoff(self.unused, None, chance)));
    }

    /// `asks` is false for a token that is read from a file: looking there again costs nobody anything.
    pub(super) fn set_back(&mut self, now: Moment, setback: Setback, asks: bool, chance: f64) {
        self.ended();
        self.standing = match setback {
            Setback::Limited { until, detail } => backing_off(until, detail),
            Setback::Parent(Unavailable { cause, detail, retry_after }) => {
                let span = retry_after.unwrap_or(PARENT_LOOK).clamp(Duration::from_secs(1), PARENT_LOOK);
                Standing::BackingOff { until: now.after(span), why: Why { cause, detail, parent: true } }
            }
            Setback::LoginRequired(detail) => Standing::LoginRequired { detail },
            Setback::Failed(failure) if failure.fault.is_final() => {
                Standing::Refused { probe: now.after(schedule::REFUSED_PROBE), detail: failure.detail }
            }
            Setback::Failed(failure) => {
                self.failures = self.failures.saturating_add(1);
                let unchanged = failure.fault == Fault::Unchanged;
                let span = if asks && !unchanged {
                    schedule::backoff(self.failures + self.strikes, failure.retry_after, chance)
                } else {
                    schedule::STATIC_LOOK
                };
                backing_off(now.after(span), failure.detail)
            }
            Setback::Store(detail) => self.failed_inside(now, detail, chance),
            Setback::Panicked => {
                self.failed_inside(now, "a bug in bearward ended the attempt".to_owned(), chance)
            }
        };
    }

    fn failed_inside(&mut self, now: Moment, detail: String, chance: f64) -> Standing {
        self.failures = self.failures.saturating_add(1);
        backing_off(now.after(schedule::backoff(self.failures + self.strikes, None, chance)), detail)
    }

    fn ended(&mut self) {
        self.running = false;
        self.unsaved = None;
    }

    /// The held token was rejected. One that was accepted before is replaced at once; any other counts as a failure.
    pub(super) fn rejected(&mut self, now: Moment, token: Secret, accepted: bool, asks: bool, chance: f64) {
        self.rejected = Some(Rejected { token, at: now });
        self.wanted = true;
        if accepted && self.replacements_lately(now).is_zero() {
            self.strikes = 0;
        }
        if accepted && self.takes_replacement(now) {
            // A refresh that is backing off already goes on doing so: its failure has nothing to do with this token.
            if matches!(self.standing, Standing::Usable { .. }) {
                self.standing = Standing::Empty;
            }
            return;
        }
        self.strikes = self.strikes.saturating_add(1);
        let span = if asks {
            schedule::backoff(self.failures + self.strikes, None, chance)
        } else {
            schedule::STATIC_LOOK
        };
        if matches!(self.standing, Standing::Usable { .. } | Standing::Empty) {
            let detail = if accepted {
                "the upstream rejects tokens that it accepted before, time and again"
            } else {
                "the upstream rejected a token that it had not accepted before"
            };
            self.standing = backing_off(now.after(span), detail.to_owned());
        }
    }

    /// Whether a child that was refused may cost this source its token: not where others than the token are the likelier
    /// cause, and not where no new one could be had.
    pub(super) fn may_be_doubted(&self, now: Moment, accepted: bool) -> bool {
        matches!(self.standing, Standing::Usable { .. })
            && self.replacements_lately(now) <= REPLACEMENTS_FULL
            && (accepted
                || self.rejected.as_ref().is_none_or(|last| now.since(last.at) >= UNACCEPTED_DOUBT_EVERY))
    }

    /// Whether one more token may be replaced at once, and takes that right: a leaky bucket.
    fn takes_replacement(&mut self, now: Moment) -> bool {
        let level = self.replacements_lately(now);
        let fits = level <= REPLACEMENTS_FULL;
        self.replacements = Some((now, if fits { level + REPLACEMENT_EVERY } else { level }));
        fits
    }

    fn replacements_lately(&self, now: Moment) -> Duration {
        self.replacements.map_or(Duration::ZERO, |(at, level)| level.saturating_sub(now.since(at)))
    }

    /// The parent has a token again.
    pub(super) fn parent_returned(&mut self) {
        if self.waits_for_parent() {
            self.standing = Standing::Empty;
        }
    }

    pub(super) fn waits_for_parent(&self) -> bool {
        matches!(&self.standing, Standing::BackingOff { why, .. } if why.parent)
    }

    /// A secret changed, or somebody else put a refresh token into the store.
    pub(super) fn mended(&mut self) {
        if self.is_stuck() {
            self.standing = Standing::Empty;
            self.wanted = true;
        }
    }

    /// Whether only a change of secrets or store can help.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.standing, Standing::Refused { .. } | Standing::LoginRequired { .. })
    }

    /// Somebody logged out, and the held token is gone. A grant that `can_start` without a person gets another when it would
    /// have got one anyway.
    pub(super) fn logged_out(&mut self, can_start: bool, detail: &str) {
        if !can_start {
            self.standing = Standing::LoginRequired { detail: detail.to_owned() };
        } else if matches!(self.standing, Standing::Usable { .. }) {
            self.standing = Standing::Empty;
        }
    }

    /// A person wants a newer token now. `fresh`: the held one has only just been got.
    pub(super) fn refresh_now(&mut self, now: Moment, fresh: bool) -> Refreshing {
        if self.running {
            return Refreshing::UnderWay;
        }
        match &self.standing {
            Standing::BackingOff { until, .. } if !now.reached(*until) => {
                Refreshing::BackingOff { next_try: now.until(*until) }
            }
            // A lazy one that nobody has asked since.
            Standing::BackingOff { .. } => {
                self.wanted = true;
                Refreshing::Begun
            }
            Standing::Refused { .. } => Refreshing::Refused,
            Standing::LoginRequired { .. } => Refreshing::LoginRequired,
            Standing::Usable { .. } if fresh => Refreshing::Fresh,
            Standing::Usable { .. } | Standing::Empty => {
                self.standing = Standing::Empty;
                self.wanted = true;
                Refreshing::Begun
            }
        }
    }

    /// When the next attempt is due.
    pub(super) fn due(&self, view: View) -> Due {
        let used = view.held.is_some_and(|(_, accepted)| accepted);
        let keen = view.eager || used || self.wanted;
        let at = |deadline| match (view.now.reached(deadline), keen) {
            (false, _) => Due::At(deadline),
            (true, true) => Due::Now,
            (true, false) => Due::OnDemand,
        };
        if let (Standing::Usable { refresh }, Some(rest)) = (&self.standing, self.rest)
            && (view.held.is_none() || view.now.reached(*refresh))
            && !(used || self.wanted || view.now.reached(rest))
        {
            return Due::At(rest);
        }
        match (&self.standing, view.held) {
            (Standing::Empty, _) | (Standing::Usable { .. }, None) if view.eager || self.wanted => Due::Now,
            (Standing::Empty, _) | (Standing::Usable { .. }, None) => Due::OnDemand,
            (Standing::Usable { refresh }, Some(_)) if !view.now.reached(*refresh) => Due::At(*refresh),
            (Standing::Usable { .. }, Some(_)) if view.eager || used => Due::Now,
            (Standing::Usable { .. }, Some((expires, _))) => {
                Due::At(view.now.after(schedule::look_again(view.now.until(expires))))
            }
            (Standing::BackingOff { until, .. }, _) => at(*until),
            (Standing::Refused { probe, .. }, _) if view.now.reached(*probe) && keen => Due::Now,
            (Standing::Refused { probe, .. }, _) if keen => Due::Look { probe: Some(*probe) },
            (Standing::LoginRequired { .. }, _) => Due::Look { probe: None },
            (Standing::Refused { .. }, _) => Due::OnDemand,
        }
    }

    /// What somebody who found no token does: wait (`None`), or be told. Who may wait for the end of a short backoff
    /// says so by `grace`.
    pub(super) fn prospect(&self, now: Moment, grace: Duration) -> Option<Unavailable> {
        if self.running {
            let detail = self.unsaved.clone()?;
            return Some(Unavailable {
                cause: Cause::BackingOff,
                detail,
                retry_after: Some(Duration::from_secs(1)),
            });
        }
        let (cause, detail, until) = match &self.standing {
            Standing::Empty | Standing::Usable { .. } => return None,
            Standing::BackingOff { until, .. } if now.until(*until) <= grace => return None,
            // A parent that needs a person: no time is known.
            Standing::BackingOff { why, .. } if why.cause == Cause::LoginRequired => {
                (why.cause, &why.detail, None)
            }
            Standing::BackingOff { until, why } => (why.cause, &why.detail, Some(*until)),
            Standing::Refused { probe, detail } => (Cause::Refused, detail, Some(*probe)),
            Standing::LoginRequired { detail } => (Cause::LoginRequired, detail, None),
        };
        Some(Unavailable { cause, detail: detail.clone(), retry_after: until.map(|until| now.until(until)) })
    }

    /// The state that users see. `held`: none, or whether the held one is usable.
    pub(super) fn state(&self, held: Option<bool>) -> State {
        match (&self.standing, held) {
            (_, Some(true)) => State::Valid,
            (Standing::LoginRequired { .. }, _) => State::LoginRequired,
            (Standing::Refused { .. }, _) => State::Failed,
            (Standing::BackingOff { .. }, Some(false)) => State::Expired,
            (Standing::Usable { .. }, Some(false)) if self.rest.is_some() => State::Valid,
            (Standing::Empty | Standing::Usable { .. } | Standing::BackingOff { .. }, _) => State::Acquiring,
        }
    }

    /// The last failure's words, until a success.
    pub(super) fn last_error(&self) -> Option<&str> {
        match &self.standing {
            Standing::Empty | Standing::Usable { .. } => self.unsaved.as_deref(),
            Standing::BackingOff { why: Why { detail, .. }, .. }
            | Standing::Refused { detail, .. }
            | Standing::LoginRequired { detail } => Some(detail),
        }
    }
}

fn backing_off(until: Deadline, detail: String) -> Standing {
    Standing::BackingOff { until, why: Why { cause: Cause::BackingOff, detail, parent: false } }
}
