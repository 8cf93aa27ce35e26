//! A login's result: how it gets into the store, and out of it again.
//!
//! Knows the order under the chain's lock. A running source, of this process or another one, notices the newer record by
//! itself. Does not know how a person logged in.

use std::time::Duration;

use super::{
    Store, StoreError, schedule,
    store::{Locked, Record},
};
use crate::{
    clock::Moment,
    oauth::{Granted, Identity},
    secret::Secret,
};

/// Which record a login belongs to.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The recipe's name in the configuration.
    pub name: String,
    /// What identifies the token.
    pub identity: Identity,
    /// The lifetime where the answer says none.
    pub default_lifetime: Duration,
    /// The fingerprint of the configured first refresh token as it is now: a login or a logout is newer than that one.
    pub first: Option<String>,
}

/// What is held of a chain.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The access token.
    pub access_token: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
}

/// Puts what a person's login granted, asked for at `asked`, in the place of what was there, damage included. What was there
/// stays where this fails. Waits for a refresh under way, whose result is then replaced too.
///
/// # Errors
/// The store cannot be locked or written.
pub async fn keep(store: &Store, chain: &Chain, granted: &Granted, asked: Moment) -> Result<(), StoreError> {
    let mut locked = store.lock(&chain.identity.chain).await?;
    let lifetime = schedule::lifetime(granted.lifetime, chain.default_lifetime);
    // Without an old refresh token to go on with: RFC 6749 section 6 leaves one valid where a *refresh* brings none. This is
    // another authorization, of another account perhaps, and the old one would silently bring that back.
    // Nor for a configured refresh token that was there before.
    let record = before(&locked, chain).followed_by(&chain.identity.recipe, granted, asked, lifetime);
    locked.save(record).await
}

/// Takes the chain's tokens out of the store, so that no process on it uses them any more, and returns them. A process that
/// runs drops the one it holds; where no person is needed for it, it gets a new one.
///
/// # Errors
/// The store cannot be locked or written.
pub async fn forget(store: &Store, chain: &Chain) -> Result<Tokens, StoreError> {
    let mut locked = store.lock(&chain.identity.chain).await?;
    let nothing = locked.record().is_none_or(Record::is_logged_out) && locked.damage().is_none();
    if nothing {
        return Ok(Tokens::default());
    }
    let before = before(&locked, chain);
    locked.save_alone(before.logged_out()).await?;
    Ok(Tokens { access_token: before.access_token, refresh_token: before.refresh_token })
}

fn before(locked: &Locked, chain: &Chain) -> Record {
    let Chain { name, identity, first, .. } = chain;
    let before = locked.record().cloned();
    let before = before.unwrap_or_else(|| Record::blank(name, &identity.chain, &identity.recipe));
    let first = first.clone().or(before.first);
    Record { name: name.clone(), first, ..before }
}
