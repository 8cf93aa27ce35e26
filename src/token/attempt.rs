//! One attempt to get a newer token: from the store, with a refresh token, or afresh.
//!
//! Knows the order that loses nothing: lock, read again, mark, spend, save, only then hand out. Does not know when it is
//! made or what follows from its failure. Nothing cancels it.

use std::{sync::Arc, time::Duration};

use super::{
    Held, StoreError,
    adopt::{First, adopted, another, first_refresh_token},
    ask::{ask, start},
    limit::Limit,
    schedule,
    shared::Shared,
    state::{Rejected, Setback},
    store::{Locked, Record},
};
use crate::{
    clock::{Deadline, Moment},
    oauth::{Failure, Fault, Granted, Start},
    secret::Secret,
};

/// What is said after a logout.
pub(super) const LOGGED_OUT: &str = "somebody has logged out";

/// What an attempt has to know of the course so far.
pub(super) struct Want {
    /// The generation last held: a higher one is newer.
    pub generation: u64,
    /// When that was asked for, in milliseconds since 1970: a later one is newer.
    pub asked_at_ms: u64,
    pub held: Option<Arc<Held>>,
    /// The held one serves on meanwhile.
    pub usable: bool,
    pub rejected: Option<Rejected>,
}

impl Want {
    /// The rejected token, where that is why there is none.
    fn rejected(&self) -> Option<&Secret> {
        self.rejected.as_ref().filter(|_| self.held.is_none()).map(|rejected| &rejected.token)
    }
}

/// What an attempt brought.
pub(super) struct Won {
    /// `None`: a static token is still the same.
    pub held: Option<Held>,
    pub refresh: Deadline,
}

/// Makes one attempt.
pub(super) async fn run(shared: Arc<Shared>, want: Want) -> Result<Won, Setback> {
    let shared = &*shared;
    let Some(limit) = &shared.limit else { return read_static(shared, &want).await };
    let chain = &shared.identity.chain;
    let first = first_refresh_token(shared).await;
    // A look without the lock: after a restart a stored token serves even while another process is refreshing.
    if let Ok(Some(record)) = shared.parts.store.load(chain).await
        && let Some(won) = taken(shared, &want, &record, &first)
    {
        return Ok(won);
    }
    match shared.parts.store.lock(chain).await {
        Ok(mut locked) => under_lock(shared, limit, &want, &mut locked, first).await,
        Err(problem) if shared.grant.can_start() => without_store(shared, limit, &want, &problem).await,
        Err(problem) => Err(Setback::Store(problem.to_string())),
    }
}

/// The stored token, where it is worth having.
fn taken(shared: &Shared, want: &Want, record: &Record, first: &First) -> Option<Won> {
    // A logout is for the look to find: that drops what is held.
    if !record.is_logged_out() {
        shared.saw(record);
    }
    let won = adopted(shared, want, record, first)?;
    if let (0, Some(held)) = (want.generation, &won.held) {
        // It served before the restart: its first rejection is news, not a broken API.
        held.accept();
    }
    Some(won)
}

async fn under_lock(
    shared: &Shared,
    limit: &Arc<Limit>,
    want: &Want,
    locked: &mut Locked,
    first: First,
) -> Result<Won, Setback> {
    if let Some(won) = locked.record().and_then(|record| taken(shared, want, record, &first)) {
        return Ok(won);
    }
    let can_start = shared.grant.can_start();
    let began = first.as_ref().ok().and_then(Option::as_ref).map(Secret::fingerprint);
    if let Some(damage) = locked.damage().map(ToString::to_string) {
        if !can_start {
            note_loss(shared, locked, began).await;
            return Err(Setback::LoginRequired(damage));
        }
        tracing::error!(token = %shared.name, problem = damage, "starting afresh");
    }
    let (granted, asked) = match refresh_token(shared, locked, first)? {
        Some(token) => match spend(shared, limit, locked, &token, began).await {
            Err(Setback::Failed(failure)) if failure.fault == Fault::InvalidGrant => {
                bury(shared, locked).await;
                if !can_start {
                    let detail = format!("the refresh token was refused: {}", failure.detail);
                    return Err(Setback::LoginRequired(detail));
                }
                tracing::warn!(token = %shared.name, detail = failure.detail, "the refresh token was refused; starting afresh");
                start(shared, limit, want.rejected()).await?
            }
            Err(Setback::Store(problem)) if can_start => {
                tracing::error!(token = %shared.name, problem, "the refresh token is not spent; starting afresh");
                start(shared, limit, want.rejected()).await?
            }
            outcome => outcome?,
        },
        None if can_start => start(shared, limit, want.rejected()).await?,
        None => {
            if locked.record().is_some_and(|record| record.is_logged_out() && record.first.is_none()) {
                note_loss(shared, locked, began).await;
            }
            return Err(Setback::LoginRequired(why_there_is_none(locked.record()).to_owned()));
        }
    };
    keep(shared, want, locked, granted, asked).await
}

/// Why there is no refresh token to go on with, and no way to begin but a person's.
fn why_there_is_none(record: Option<&Record>) -> &'static str {
    match record {
        None => "nobody has logged in yet",
        Some(record) if record.is_logged_out() => LOGGED_OUT,
        Some(record) if record.dead => "the refresh token is dead",
        Some(_) => "no refresh token came with the access token, which has to be renewed",
    }
}

/// The refresh token to spend: the stored one, else the configured first one, unless the chain is dead. Another first one
/// goes before what is stored.
fn refresh_token(shared: &Shared, locked: &Locked, first: First) -> Result<Option<Secret>, Setback> {
    let record = locked.record();
    if let Some(another) = another(&first, record) {
        tracing::info!(token = %shared.name, "there is another first refresh token; it is used from now on");
        return Ok(Some(another.clone()));
    }
    if record.is_some_and(|record| record.spending) {
        if shared.grant.can_start() {
            tracing::warn!(token = %shared.name, "a crash interrupted a refresh; starting afresh, as its refresh token may be dead");
            return Ok(None);
        }
        tracing::warn!(token = %shared.name, "a crash interrupted a refresh; its refresh token is tried, though it may be dead");
    }
    if let Some(token) = record.and_then(|record| record.refresh_token.clone()) {
        return Ok(Some(token));
    }
    if record.is_some_and(|record| record.dead) || locked.damage().is_some() {
        return Ok(None);
    }
    first
}

/// Spends a refresh token. That it is under way stands in the store first: a crash then does not lead to a dead refresh
/// token being sent, and a store that cannot be written is found out before the server rotates anything.
async fn spend(
    shared: &Shared,
    limit: &Arc<Limit>,
    locked: &mut Locked,
    token: &Secret,
    began: Option<String>,
) -> Result<(Granted, Moment), Setback> {
    let before = current(shared, locked);
    let first = began.or(before.first);
    let marked = Record { refresh_token: Some(token.clone()), first, spending: true, ..before };
    let unmarked = Record { spending: false, ..marked.clone() };
    locked.save(marked).await.map_err(|problem| Setback::Store(problem.to_string()))?;
    let scope = unmarked.scope.clone().filter(|_| unmarked.recipe == shared.identity.recipe);
    let mut outcome = ask(shared, limit, || shared.grant.refresh(token)).await;
    let setback = match &mut outcome {
        Ok((granted, _)) => {
            // RFC 6749 sections 5.1 and 6: an absent one says that it is the same.
            granted.scope = granted.scope.take().or(scope);
            return outcome;
        }
        Err(setback) => setback,
    };
    let rotated = match setback {
        Setback::Failed(failure) => failure.refresh_token.clone(),
        _ => None,
    };
    let only_ours = rotated.is_some() && !shared.grant.can_start();
    let unmarked = Record { refresh_token: rotated.or_else(|| unmarked.refresh_token.clone()), ..unmarked };
    match locked.save(unmarked.clone()).await {
        Ok(()) => {}
        Err(problem) if only_ours => save_at_last(shared, locked, unmarked, problem).await,
        // The mark stays, and the next attempt is careful without need.
        Err(problem) => tracing::warn!(token = %shared.name, %problem, "the store was not updated"),
    }
    outcome
}

/// Remembers that the chain's refresh token is dead, so that it is never sent again. Should that fail, the mark of its
/// spending is still there.
async fn bury(shared: &Shared, locked: &mut Locked) {
    let record = Record { refresh_token: None, dead: true, spending: false, ..current(shared, locked) };
    if let Err(problem) = locked.save(record).await {
        tracing::error!(token = %shared.name, %problem, "the store was not told that the refresh token is dead");
    }
}

/// Notes that the chain was lost that `began` with the configured first refresh token, which may have been spent: only
/// another one begins anew.
async fn note_loss(shared: &Shared, locked: &mut Locked, began: Option<String>) {
    if began.is_none() {
        return;
    }
    let record = Record { dead: true, first: began, ..current(shared, locked) };
    if let Err(problem) = locked.save(record).await {
        tracing::warn!(token = %shared.name, %problem, "the store was not updated");
    }
}

/// Saves what was granted, and only then hands it out.
async fn keep(
    shared: &Shared,
    want: &Want,
    locked: &mut Locked,
    granted: Granted,
    asked: Moment,
) -> Result<Won, Setback> {
    let before = current(shared, locked);
    let lifetime = schedule::lifetime(granted.lifetime, shared.policy.default_lifetime);
    let rotated = granted.refresh_token.is_some();
    let followed = before.followed_by(&shared.identity.recipe, &granted, asked, lifetime);
    let record = Record {
        name: shared.name.to_string(),
        generation: before.generation.max(want.generation) + 1,
        // RFC 6749 section 6: an absent one leaves the old one valid.
        refresh_token: followed.refresh_token.clone().or(before.refresh_token),
        // Of what began afresh and with no configured refresh token, none is left that must not be sent.
        dead: before.dead && !rotated && before.first.is_some(),
        ..followed
    };
    let generation = record.generation;
    match locked.save(record.clone()).await {
        Ok(()) => {}
        // The one that came is given up where the grant can do without; the mark of spending still guards the old one.
        Err(problem) if rotated && !shared.grant.can_start() => {
            save_at_last(shared, locked, record, problem).await;
        }
        Err(problem) => {
            tracing::warn!(token = %shared.name, %problem, "the token was not stored; a restart will need a new one");
        }
    }
    if let Some(record) = locked.record() {
        shared.saw(record);
    }
    won(shared, generation, granted, asked, lifetime)
}

/// The server has forgotten the old refresh token, and only this process knows the new one: its access token is not used
/// until that is on disk. The lock stays ours, or another process would send the old one.
async fn save_at_last(shared: &Shared, locked: &mut Locked, record: Record, mut problem: StoreError) {
    for count in 1.. {
        let wait = schedule::backoff(count, None, fastrand::f64());
        tracing::error!(token = %shared.name, %problem, next_try = ?wait, "a rotated refresh token could not be stored; a restart now would lose it");
        shared.unsaved(format!("a rotated refresh token could not be stored: {problem}"));
        tokio::time::sleep(wait).await;
        match locked.save(record.clone()).await {
            Ok(()) => return,
            Err(again) => problem = again,
        }
    }
}

/// The store is of no use, but a token can be had without: the service goes on, and says so.
async fn without_store(
    shared: &Shared,
    limit: &Arc<Limit>,
    want: &Want,
    problem: &StoreError,
) -> Result<Won, Setback> {
    tracing::error!(token = %shared.name, %problem, "a token is got without the store; a restart will need a new one");
    let (granted, asked) = start(shared, limit, want.rejected()).await?;
    let lifetime = schedule::lifetime(granted.lifetime, shared.policy.default_lifetime);
    won(shared, want.generation + 1, granted, asked, lifetime)
}

fn won(
    shared: &Shared,
    generation: u64,
    granted: Granted,
    asked: Moment,
    lifetime: Duration,
) -> Result<Won, Setback> {
    let expires = asked.after(lifetime);
    let now = shared.now();
    if now.reached(expires) {
        let detail = format!("the answer took longer than the {lifetime:?} for which its token is valid");
        return Err(Setback::Failed(Failure::new(Fault::Unusable, detail)));
    }
    tracing::info!(token = %shared.name, generation, ?lifetime, took = ?now.since(asked), scope = granted.scope, "token got");
    let held = Held::new(generation, (granted.access_token, granted.authorization), asked, lifetime, expires);
    let held = Held { scope: granted.scope, ..held };
    Ok(Won { held: Some(held), refresh: asked.after(refresh_after(shared, lifetime)) })
}

/// Looks at a static token's file. The store has no part in it.
async fn read_static(shared: &Shared, want: &Want) -> Result<Won, Setback> {
    let now = shared.now();
    let lately = want.rejected.as_ref().filter(|rejected| now.since(rejected.at) < schedule::STATIC_PROBE);
    let with = Start {
        subject: shared.subject.as_deref(),
        parent: None,
        rejected: lately.map(|rejected| &rejected.token),
    };
    let granted = shared.grant.start(with).await.map_err(Setback::Failed)?;
    let refresh = now.after(schedule::STATIC_LOOK);
    if let Some(held) = want.held.as_ref().filter(|held| held.access_token == granted.access_token) {
        if now.reached(held.expires) {
            let detail = "the static token has expired";
            return Err(Setback::Failed(Failure::new(Fault::Unchanged, detail)));
        }
        return Ok(Won { held: None, refresh });
    }
    let lifetime = granted.lifetime.unwrap_or(schedule::STATIC_LIFETIME);
    let generation = want.generation + 1;
    tracing::info!(token = %shared.name, generation, "static token read");
    let token = (granted.access_token, granted.authorization);
    Ok(Won { held: Some(Held::new(generation, token, now, lifetime, now.after(lifetime))), refresh })
}

fn current(shared: &Shared, locked: &Locked) -> Record {
    let blank = || Record::blank(&shared.name, &shared.identity.chain, &shared.identity.recipe);
    locked.record().cloned().unwrap_or_else(blank)
}

fn refresh_after(shared: &Shared, lifetime: Duration) -> Duration {
    schedule::refresh_after(lifetime, shared.policy.refresh_at, fastrand::f64())
}
