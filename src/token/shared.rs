//! What the handles and the task of one source have in common.
//!
//! Knows the held token, the source's course, and who has to hear of a change. Every change of the held token happens here,
//! under the course's lock, so that no waiter sees a token that was just rejected or misses one that just came. Does not
//! know how a token is got.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Held, Policy, Status, TokenSource, Unavailable,
    attempt::{Want, Won},
    engine::{Parts, Recipe},
    limit::Limit,
    schedule,
    source::Cause,
    state::{Course, Due, Setback, Standing, State, View},
};
use crate::{
    clock::Moment,
    oauth::{Failure, Fault, Grant, Identity},
    telemetry::TokenMetrics,
};

pub(super) struct Shared {
    pub name: Arc<str>,
    pub grant: Arc<dyn Grant>,
    pub policy: Policy,
    pub parent: Option<TokenSource>,
    pub metrics: Arc<TokenMetrics>,
    pub subject: Option<Arc<str>>,
    pub identity: Identity,
    /// `None` where no token request is made: a static token.
    pub limit: Option<Arc<Limit>>,
    pub parts: Arc<Parts>,
    /// The last handle is gone, or the engine stops.
    pub ended: CancellationToken,
    /// Wakes the task.
    pub demand: Notify,
    /// Wakes who waits for a token.
    pub changed: Notify,
    pub waiting: AtomicUsize,
    held: ArcSwapOption<Held>,
    course: Mutex<Course>,
}

impl Shared {
    pub(super) fn new(parts: Arc<Parts>, recipe: Recipe) -> Self {
        let Recipe { name, grant, policy, parent, metrics, subject } = recipe;
        let own = grant.identity(subject.as_deref());
        Self {
            identity: parent.as_ref().map_or_else(|| own.clone(), |parent| own.under(parent.identity())),
            limit: grant.endpoint().map(|url| parts.limits.endpoint(url)),
            ended: parts.stopping.child_token(),
            name,
            grant,
            policy,
            parent,
            metrics,
            subject,
            parts,
            demand: Notify::new(),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            held: ArcSwapOption::empty(),
            course: Mutex::new(Course::new()),
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.parts.clock.now()
    }

    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn usable(&self, now: Moment) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| !now.reached(held.expires))
    }

    /// Notes that somebody found no token. Says what to tell them, or nothing where they should wait.
    pub(super) fn want(&self, now: Moment, grace: Duration) -> Option<Unavailable> {
        let mut course = self.course();
        if self.ended.is_cancelled() && !course.running {
            let detail = "bearward is stopping".to_owned();
            return Some(Unavailable { cause: Cause::Stopping, detail, retry_after: None });
        }
        if !std::mem::replace(&mut course.wanted, true) {
            self.demand.notify_one();
        }
        course.prospect(now, grace)
    }

    /// Drops exactly `rejected`.
    pub(super) fn reject(&self, rejected: &Held) {
        let mut course = self.course();
        let current = self.held.load();
        if current.as_ref().is_none_or(|held| held.generation != rejected.generation) {
            return;
        }
        let now = self.now();
        let accepted = rejected.is_accepted();
        self.held.store(None);
        course.rejected(now, rejected.access_token.clone(), accepted, self.limit.is_some(), fastrand::f64());
        drop(course);
        self.measure(None);
        tracing::warn!(
            token = %self.name,
            generation = rejected.generation,
            age = ?now.since(rejected.obtained),
            lifetime = ?rejected.lifetime,
            accepted_before = accepted,
            "the upstream rejected the token"
        );
        self.demand.notify_one();
        self.changed.notify_waiters();
    }

    pub(super) fn may_be_doubted(&self, held: &Held) -> bool {
        let course = self.course();
        let current = self.held.load();
        let gone = current.as_ref().is_none_or(|current| current.generation != held.generation);
        gone || course.may_be_doubted(self.now(), held.is_accepted())
    }

    pub(super) fn due(&self) -> Due {
        let now = self.now();
        let held = self.usable(now).map(|held| (held.expires, held.is_accepted()));
        self.course().due(View { now, held, eager: self.policy.eager })
    }

    /// An attempt begins: what it has to know.
    pub(super) fn begin(&self) -> Want {
        let now = self.now();
        let mut course = self.course();
        course.began();
        let held = self.held.load_full();
        let usable = held.as_ref().is_some_and(|held| !now.reached(held.expires));
        let rejected = course.rejected.clone();
        Want { generation: course.generation, held, usable, rejected }
    }

    /// The attempt under way has a token that the store does not take.
    pub(super) fn unsaved(&self, detail: String) {
        self.course().unsaved = Some(detail);
        self.changed.notify_waiters();
    }

    /// An attempt ended.
    pub(super) fn conclude(&self, outcome: Result<Won, Setback>) {
        let now = self.now();
        let mut course = self.course();
        let setback = match outcome {
            Ok(Won { held: Some(held), refresh }) => {
                self.measure(Some(&held));
                course.generation = held.generation;
                let brief = held.lifetime <= schedule::SHORTEST_LIFETIME;
                let before = self.held.swap(Some(Arc::new(held)));
                let unused = brief && self.policy.eager && before.is_some_and(|last| !last.is_accepted());
                course.granted(refresh);
                course.rests(now, unused, fastrand::f64());
                None
            }
            // A static token that was rejected while its file was looked at.
            Ok(Won { held: None, .. }) if self.held.load().is_none() => Some(Setback::Failed(Failure::new(
                Fault::Unchanged,
                "the static token is still the rejected one",
            ))),
            Ok(Won { held: None, refresh }) => {
                course.granted(refresh);
                None
            }
            Err(setback) => Some(setback),
        };
        if let Some(setback) = setback {
            let known = course.last_error().map(str::to_owned);
            course.set_back(now, setback, self.limit.is_some(), fastrand::f64());
            self.report(now, &course, known.as_deref());
        }
        drop(course);
        self.changed.notify_waiters();
    }

    /// One gauge serves a recipe, so a token of one subject among many is not in it.
    fn measure(&self, held: Option<&Held>) {
        if self.subject.is_none() {
            self.metrics.expires_at(held.map(|held| held.expires.wall()));
        }
    }

    /// One line per failure; where looking again costs nothing (a static file, the parent) the same is said only once.
    fn report(&self, now: Moment, course: &Course, known: Option<&str>) {
        let Some(detail) = course.last_error() else { return };
        if (self.limit.is_none() || course.waits_for_parent()) && known == Some(detail) {
            return;
        }
        let serves_on = self.usable(now).is_some();
        match &course.standing {
            Standing::BackingOff { until, .. } => {
                let next_try = now.until(*until);
                tracing::warn!(token = %self.name, detail, ?next_try, serves_on, "no new token");
            }
            Standing::Refused { .. } => {
                let next_try = schedule::REFUSED_PROBE;
                tracing::error!(token = %self.name, detail, ?next_try, serves_on, "the credentials were refused");
            }
            Standing::LoginRequired { .. } => {
                tracing::error!(token = %self.name, detail, serves_on, "a person has to log in");
            }
            Standing::Empty | Standing::Usable { .. } => {}
        }
    }

    pub(super) fn status(&self) -> Status {
        let now = self.now();
        let course = self.course();
        let held = self.held.load_full();
        let state = course.state(held.as_ref().map(|held| !now.reached(held.expires)));
        let refresh = match &course.standing {
            Standing::Usable { refresh } if self.limit.is_some() => Some(refresh.wall()),
            Standing::BackingOff { until, .. } => Some(until.wall()),
            Standing::Refused { probe, .. } => Some(probe.wall()),
            Standing::Usable { .. } | Standing::Empty | Standing::LoginRequired { .. } => None,
        };
        Status {
            state,
            expires_at: held.filter(|_| state == State::Valid).map(|held| held.expires.wall()),
            refresh_at: refresh,
            generation: course.generation,
            last_error: course.last_error().map(str::to_owned),
        }
    }
}
