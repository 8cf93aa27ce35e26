//! What of the store's is worth having: newer than what is held, got by our recipe, and not the token that was rejected.
//!
//! Knows what another process, a person's login or a run before a restart may have left there. Makes no token request and
//! writes nothing.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    Held,
    attempt::{Want, Won},
    schedule,
    shared::Shared,
    state::Setback,
    store::Record,
};
use crate::{
    oauth::{Failure, Fault},
    secret::Secret,
};

/// The configured first refresh token as it was read, once: a file may change meanwhile.
pub(super) type First = Result<Option<Secret>, Setback>;

/// Reads the configured first refresh token, off the thread that others wait for.
pub(super) async fn first_refresh_token(shared: &Shared) -> First {
    let grant = Arc::clone(&shared.grant);
    match tokio::task::spawn_blocking(move || grant.first_refresh_token()).await {
        Ok(Ok(first)) => Ok(first),
        Ok(Err(unread)) => Err(Setback::Failed(Failure::new(Fault::Secret, unread.to_string()))),
        Err(_) => Err(Setback::Panicked),
    }
}

/// A first refresh token that is not the one the chain began with: a person put it there, perhaps for another account.
pub(super) fn another<'f>(first: &'f First, record: Option<&Record>) -> Option<&'f Secret> {
    let first = first.as_ref().ok()?.as_ref()?;
    let began = record?.first.as_ref()?;
    (*began != first.fingerprint()).then_some(first)
}

/// The stored token, where it is worth having.
pub(super) fn adopted(shared: &Shared, want: &Want, record: &Record, first: &First) -> Option<Won> {
    if another(first, Some(record)).is_some() {
        return None;
    }
    let (token, left) = newer(shared, want, record)?;
    let lifetime = Duration::from_millis(record.lifetime_ms);
    let refresh = schedule::refresh_after(lifetime, shared.policy.refresh_at, fastrand::f64());
    let refresh = refresh.saturating_sub(lifetime.saturating_sub(left));
    if want.usable && refresh.is_zero() {
        return None;
    }
    let now = shared.now();
    let authorization = bearer(&token)?;
    // Where a lost or swept record began the count anew, ours goes on: who waits wants a higher one.
    let generation =
        if record.generation > want.generation { record.generation } else { want.generation + 1 };
    let held = Held::new(generation, (token, authorization), now, lifetime, now.after(left));
    let held = Held { asked_at_ms: record.obtained_at_ms, scope: record.scope.clone(), ..held };
    tracing::info!(token = %shared.name, generation, expires_in = ?left, "token taken from the store");
    Some(Won { held: Some(held), refresh: now.after(refresh) })
}

/// What is left of `record`'s token, where that is newer than the one last held, not the rejected one, and got by our recipe.
fn newer(shared: &Shared, want: &Want, record: &Record) -> Option<(Secret, Duration)> {
    let token = record.access_token.as_ref()?;
    let same = record.recipe == shared.identity.recipe;
    let later = record.generation > want.generation || record.obtained_at_ms > want.asked_at_ms;
    let news = later && want.rejected.as_ref().is_none_or(|rejected| rejected.token != *token);
    let left = record.remaining(shared.now().wall())?;
    (same && news).then(|| (token.clone(), left))
}

#[expect(clippy::disallowed_methods, reason = "a stored token becomes the Authorization value that is sent")]
fn bearer(token: &Secret) -> Option<HeaderValue> {
    let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
