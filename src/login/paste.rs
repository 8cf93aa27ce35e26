//! A login whose code a person copies, in this process or in one that begins later.
//!
//! Knows that a typing error costs nothing, and that a code is redeemed once. Does not know where the text comes from.

use super::{
    Account, LoggedIn, LoginError,
    pending::{self, Pending},
};
use crate::{
    oauth::grant::authorization_code::{AuthorizationRequest, Code},
    token::StoreError,
};

/// A login whose code a person copies.
#[derive(Debug)]
pub struct Paste {
    account: Account,
    request: AuthorizationRequest,
    /// Where it lies in the store, for another process.
    pending: Option<Pending>,
}

impl Paste {
    pub(super) fn new(account: Account, request: AuthorizationRequest) -> Self {
        Self { account, request, pending: None }
    }

    pub(super) fn taken_up(account: Account, request: AuthorizationRequest, pending: Pending) -> Self {
        Self { account, request, pending: Some(pending) }
    }

    /// Where the browser is sent.
    pub fn url(&self) -> &str {
        self.request.url()
    }

    /// Whether what the person pasted can be redeemed at all, so that a typing error does not end the login.
    ///
    /// # Errors
    /// It is no code, or belongs to another login.
    pub fn check(&self, pasted: &str) -> Result<(), LoginError> {
        self.code(pasted).map(drop)
    }

    /// Puts the login into the store, so that another process can finish it ([`Account::resume`]): `state` and the PKCE
    /// verifier are good for [`super::PATIENCE`] there, and once. One that was set aside before is replaced.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn set_aside(&self) -> Result<(), StoreError> {
        pending::set_aside(&self.account, &self.request).await
    }

    /// Redeems what the person pasted, at once, and keeps what was granted.
    ///
    /// # Errors
    /// It is no code, a used or late one, or nothing usable came.
    pub async fn finish(self, pasted: &str) -> Result<LoggedIn, LoginError> {
        let code = self.code(pasted)?;
        if let Some(pending) = &self.pending {
            let ours = pending.take(&self.account).await.map_err(LoginError::Store)?;
            if !ours {
                let words = "this login was finished by another process meanwhile: begin again";
                return Err(LoginError::Refused(words.to_owned()));
            }
        }
        self.account.redeem(self.request, code).await
    }

    fn code(&self, pasted: &str) -> Result<Code, LoginError> {
        self.request.pasted(pasted).map_err(|refused| LoginError::Refused(refused.to_string()))
    }
}
