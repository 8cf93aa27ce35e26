//! A login's result: how it gets into the store, and out of it again.
//!
//! Knows the order under the chain's lock. A running source, of this process or another one, notices the newer record by
//! itself. Does not know how a person logged in.

use std::time::Duration;

use super::{Store, StoreError};
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
}

/// What is held of a chain.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The access token.
    pub access_token: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
}

/// Puts what a person's login granted, asked for at `asked`, in the place of what was there. What was there stays where this
/// fails.
///
/// # Errors
/// The store cannot be locked or written.
pub async fn keep(store: &Store, chain: &Chain, granted: &Granted, asked: Moment) -> Result<(), StoreError> {
    let _ = (store, chain, granted, asked);
    todo!()
}

/// Takes the chain's tokens out of the store, so that no process on it uses them any more, and returns them.
///
/// # Errors
/// The store cannot be locked or written.
pub async fn forget(store: &Store, chain: &Chain) -> Result<Tokens, StoreError> {
    let _ = (store, chain);
    todo!()
}
