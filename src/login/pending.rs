//! A login that one process began and another will finish.
//!
//! Knows that it lies in the store as a record of its own, beside the chain's: that gives it mode 0600, a lock, a checksum, a
//! lifetime, and somebody who sweeps it out. It is good for one use. Does not know what a request for authorization holds.

use super::{Account, PATIENCE};
use crate::{
    oauth::grant::authorization_code::AuthorizationRequest,
    secret::Secret,
    token::{
        StoreError,
        store::{Record, unix_ms},
    },
};

/// A login in the store, as it was read.
#[derive(Debug)]
pub(super) struct Pending(Secret);

pub(super) async fn set_aside(account: &Account, request: &AuthorizationRequest) -> Result<(), StoreError> {
    let record = Record {
        access_token: Some(request.set_down()),
        obtained_at_ms: unix_ms(account.clock.now().wall()),
        lifetime_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
        ..nothing(account)
    };
    account.store.lock(&place(account)).await?.save_alone(record).await
}

/// The login that waits for `account`, unless it is too old or began with another recipe.
pub(super) async fn look(account: &Account) -> Result<Option<(AuthorizationRequest, Pending)>, StoreError> {
    let record = account.store.load(&place(account)).await?;
    let record = record.filter(|record| record.recipe == account.chain.identity.recipe);
    let record = record.filter(|record| record.remaining(account.clock.now().wall()).is_some());
    let text = record.and_then(|record| record.access_token);
    let found = text.and_then(|text| Some((AuthorizationRequest::taken_up(&text)?, text)));
    Ok(found.map(|(request, text)| (request, Pending(text))))
}

/// Whatever waits for `account` waits no more.
pub(super) async fn forget(account: &Account) -> Result<(), StoreError> {
    if account.store.load(&place(account)).await.is_ok_and(|record| record.is_none()) {
        return Ok(());
    }
    account.store.lock(&place(account)).await?.save_alone(nothing(account)).await
}

impl Pending {
    /// Takes it out of the store before it is used. False where another process was first.
    pub(super) async fn take(&self, account: &Account) -> Result<bool, StoreError> {
        let mut locked = account.store.lock(&place(account)).await?;
        if locked.record().and_then(|record| record.access_token.as_ref()) != Some(&self.0) {
            return Ok(false);
        }
        locked.save_alone(nothing(account)).await?;
        Ok(true)
    }
}

/// Of no chain of tokens: their names end with hexadecimal digits.
fn place(account: &Account) -> String {
    format!("{}-login", account.chain.identity.chain)
}

fn nothing(account: &Account) -> Record {
    Record::blank(&account.chain.name, &place(account), &account.chain.identity.recipe)
}
