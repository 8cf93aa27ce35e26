//! What the handles and the task of one source have in common.
//!
//! Knows the held token, the source's course, and who has to hear of a change. Every change of the held token happens here,
//! under the course's lock, so that no waiter sees a token that was just rejected or misses one that just came. Does not
//! know how a token is got.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Held, Policy, Refreshing, Status, TokenSource, Unavailable,
    attempt::{LOGGED_OUT, Want, Won},
    engine::{Parts, Recipe},
    limit::Limit,
    lookout::Seen,
    schedule,
    source::Cause,
    state::{Course, Due, Setback, Standing, State, View},
    store::Record,
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
    /// What was last seen in the store, or put there.
    seen: Mutex<Option<Seen>>,
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
            seen: Mutex::default(),
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
        let mut told = course.prospect(now, grace)?;
        if matches!(course.standing, Standing::LoginRequired { .. }) {
            told.detail = self.ask_a_person(&told.detail);
        }
        Some(told)
    }

    /// Makes a refresh due now, where that can lead to anything.
    pub(super) fn refresh_now(&self) -> Refreshing {
        let now = self.now();
        let mut course = self.course();
        if self.ended.is_cancelled() && !course.running {
            return Refreshing::Stopping;
        }
        let fresh = self.usable(now).is_some_and(|held| now.since(held.obtained) < schedule::FRESH);
        let refreshing = course.refresh_now(now, fresh);
        if refreshing == Refreshing::Begun {
            self.demand.notify_one();
        }
        refreshing
    }

    /// Whether the store is looked at all the time. Not for each of many subjects, who log in nowhere.
    pub(super) fn is_watched(&self) -> bool {
        self.limit.is_some() && self.subject.is_none()
    }

    /// Notes what is in the store; whether that is news.
    pub(super) fn saw(&self, record: &Record) -> bool {
        let seen = Some(Seen::of(record));
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *last != seen;
        *last = seen;
        news
    }

    /// Somebody logged out, which left a record of this generation.
    pub(super) fn logged_out(&self, generation: u64) {
        let mut course = self.course();
        course.generation = course.generation.max(generation);
        course.logged_out(self.grant.can_start(), LOGGED_OUT);
        let dropped = self.held.swap(None).is_some();
        self.measure(None);
        let now = self.now();
        self.count_login(now, &mut course);
        let detail = self.last_error(now, &course);
        drop(course);
        if dropped || detail.is_some() {
            tracing::warn!(token = %self.name, dropped, detail, "somebody logged out");
        }
        self.changed.notify_waiters();
    }

    /// The task ends.
    pub(super) fn ends(&self) {
        self.measure_login(&mut self.course(), false);
        self.changed.notify_waiters();
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
        self.count_login(now, &mut course);
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
        self.course().began();
        self.known()
    }

    /// What is held, and was last.
    pub(super) fn known(&self) -> Want {
        let now = self.now();
        let course = self.course();
        let held = self.held.load_full();
        let usable = held.as_ref().is_some_and(|held| !now.reached(held.expires));
        let rejected = course.rejected.clone();
        Want { generation: course.generation, asked_at_ms: course.asked_at_ms, held, usable, rejected }
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
                course.asked_at_ms = held.asked_at_ms;
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
        self.count_login(now, &mut course);
        drop(course);
        self.changed.notify_waiters();
    }

    /// Time has passed: a token that served while a login was due may have expired.
    pub(super) fn look_at_expiry(&self) {
        let now = self.now();
        let mut course = self.course();
        let before = course.counted_login;
        self.count_login(now, &mut course);
        if course.counted_login && !before {
            self.report(now, &course, None);
        }
    }

    /// One gauge serves a recipe, so a token of one subject among many is not in it.
    fn measure(&self, held: Option<&Held>) {
        if self.subject.is_none() {
            self.metrics.expires_at(held.map(|held| held.expires.wall()));
        }
    }

    /// A login that is due is not required before the held token has expired.
    fn count_login(&self, now: Moment, course: &mut Course) {
        let due = matches!(course.standing, Standing::LoginRequired { .. });
        self.measure_login(course, due && self.usable(now).is_none());
    }

    fn measure_login(&self, course: &mut Course, required: bool) {
        if std::mem::replace(&mut course.counted_login, required) != required {
            self.metrics.login_required(required);
        }
    }

    /// What only a person can do, and why.
    fn ask_a_person(&self, reason: &str) -> String {
        let name = &self.name;
        if self.grant.login().is_none() {
            return format!(
                "a person has to make a new refresh token and set `refresh_token` of [tokens.{name}] to it: {reason}"
            );
        }
        let page = self.parts.login_page.load();
        let page = page.as_ref().map(|url| format!(" or open {url}")).unwrap_or_default();
        format!("a person has to log in: run `bearward login {name}`{page} ({reason})")
    }

    /// The last failure's words, until a success.
    fn last_error(&self, now: Moment, course: &Course) -> Option<String> {
        let detail = course.last_error()?;
        Some(match &course.standing {
            Standing::LoginRequired { .. } if self.usable(now).is_some() => {
                format!("the held token serves until it expires; before then {}", self.ask_a_person(detail))
            }
            Standing::LoginRequired { .. } => self.ask_a_person(detail),
            _ => detail.to_owned(),
        })
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
                let detail = self.ask_a_person(detail);
                match serves_on {
                    true => tracing::warn!(token = %self.name, detail, serves_on, "a login is due"),
                    false => tracing::error!(token = %self.name, detail, serves_on, "login required"),
                }
            }
            Standing::Empty | Standing::Usable { .. } => {}
        }
    }

    pub(super) fn status(&self) -> Status {
        let now = self.now();
        let course = self.course();
        let held = self.held.load_full();
        let state = course.state(held.as_ref().map(|held| !now.reached(held.expires)));
        let (refresh, next_try) = match &course.standing {
            Standing::Usable { refresh } if self.limit.is_some() => (Some(refresh.wall()), None),
            Standing::BackingOff { until: next, .. } | Standing::Refused { probe: next, .. } => {
                (Some(next.wall()), Some(next.wall()))
            }
            Standing::Usable { .. } | Standing::Empty | Standing::LoginRequired { .. } => (None, None),
        };
        let held = held.filter(|_| state == State::Valid);
        let obtained = |held: &Arc<Held>| SystemTime::UNIX_EPOCH + Duration::from_millis(held.asked_at_ms);
        Status {
            state,
            obtained_at: held.as_ref().map(obtained),
            lifetime: held.as_ref().map(|held| held.lifetime),
            scope: held.as_ref().and_then(|held| held.scope.clone()),
            expires_at: held.map(|held| held.expires.wall()),
            refresh_at: refresh,
            next_try,
            generation: course.generation,
            last_error: self.last_error(now, &course),
        }
    }
}
