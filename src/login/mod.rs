//! A person logs in, out, and looks at what is held: the course of it, whoever asks (a terminal or the page).
//!
//! Knows that a browser comes back to a loopback listener of ours (RFC 8252 section 7.3) or a person pastes a code, that a
//! device is waited for, and that what was granted goes into the store. Does not know how it is shown, and opens no browser.
//!
//! In reading order: here (beginning), [`redirect`] (with `listener` and `page`), [`paste`] (with `pending`), [`device`],
//! [`outcome`].

pub mod device;
mod listener;
pub mod outcome;
mod page;
pub mod paste;
mod pending;
pub mod redirect;

use std::{sync::Arc, time::Duration};

use self::listener::Listener;
pub use self::{
    device::Device,
    outcome::{LoggedIn, LoggedOut, LoginError, Remedy},
    paste::Paste,
    redirect::{Pasted, Redirect},
};
pub use crate::oauth::introspection::Introspected;
use crate::{
    clock::{Clock, Moment},
    oauth::{
        Fault, Grant, Granted, Login,
        grant::authorization_code::{AuthorizationCode, AuthorizationRequest, Code},
        revocation::{Revoked, TokenKind},
    },
    secret::Secret,
    token::{
        Store, StoreError,
        login::{self, Chain},
    },
};

/// How long a login may take.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A token that a person logs in for. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its recipe.
    pub grant: Arc<dyn Grant>,
    /// Its place in the store.
    pub chain: Chain,
    /// The store.
    pub store: Store,
    /// The clocks.
    pub clock: Clock,
}

/// A login under way.
#[derive(Debug)]
pub enum Begun {
    /// The browser comes back to a listener of ours.
    Redirect(Redirect),
    /// The person copies a code.
    Paste(Paste),
    /// The person enters a code elsewhere.
    Device(Device),
}

impl Account {
    /// Begins a login.
    ///
    /// # Errors
    /// The recipe needs no person, the authorization server did not answer, or the redirect URI cannot be listened on.
    pub async fn begin(&self) -> Result<Begun, LoginError> {
        match self.grant.login() {
            None => Err(LoginError::NoPerson),
            Some(Login::Device(device)) => {
                let authorization = device.begin().await.map_err(LoginError::Failed)?;
                Ok(Begun::Device(Device::new(self.clone(), authorization)))
            }
            Some(Login::Browser(browser)) => self.begin_in(browser).await,
        }
    }

    /// Takes up the login that another process began and set aside ([`Paste::set_aside`]); `None` where there is none, it is
    /// too old, was used, or the recipe was changed since.
    ///
    /// # Errors
    /// The recipe needs no person, or the store cannot be read.
    pub async fn resume(&self) -> Result<Option<Paste>, LoginError> {
        self.browser()?;
        let request = pending::look(self).await.map_err(LoginError::Store)?;
        Ok(request.map(|(request, pending)| Paste::taken_up(self.clone(), request, pending)))
    }

    /// Revokes what is held where the server can, and forgets it whether it could or not.
    ///
    /// # Errors
    /// The store cannot be written: nothing was revoked then.
    pub async fn log_out(&self) -> Result<LoggedOut, StoreError> {
        // First what holds no token: were it to fail after the tokens are gone, nobody could revoke them.
        pending::forget(self).await?;
        let held = login::forget(&self.store, &self.chain_now().await).await?;
        // RFC 7009 section 2.1: a server that revokes the refresh token may take the access tokens of that grant along, but
        // need not.
        let mut out = LoggedOut { refresh_token: None, access_token: None };
        if let Some(token) = held.refresh_token {
            out.refresh_token = Some(self.revoke(&token, TokenKind::Refresh).await);
        }
        if let Some(token) = held.access_token {
            out.access_token = Some(match &out.refresh_token {
                // Nobody is there: a person need not wait for that twice.
                Some(Err(failure)) if matches!(failure.fault, Fault::Unreachable | Fault::TimedOut) => {
                    Err(failure.clone())
                }
                _ => self.revoke(&token, TokenKind::Access).await,
            });
        }
        Ok(out)
    }

    /// Asks the authorization server about the stored access token; `None` where it has no introspection endpoint.
    ///
    /// # Errors
    /// None is stored, or the server did not say.
    pub async fn introspect(&self) -> Result<Option<Introspected>, LoginError> {
        let stored = self.store.load(&self.chain.identity.chain).await.map_err(LoginError::Store)?;
        match stored.and_then(|record| record.access_token) {
            Some(access_token) => self.introspect_token(&access_token).await,
            None => Err(LoginError::NothingStored),
        }
    }

    /// The same about `access_token`, which may come from elsewhere than the store.
    ///
    /// # Errors
    /// The store cannot be read, or the server did not say.
    pub async fn introspect_token(&self, access_token: &Secret) -> Result<Option<Introspected>, LoginError> {
        let Some(server) = self.grant.token_endpoint() else { return Ok(None) };
        let stored = self.store.load(&self.chain.identity.chain).await.map_err(LoginError::Store)?;
        let refresh_token = stored.and_then(|record| record.refresh_token);
        server.introspect(access_token, refresh_token.as_ref()).await.map_err(LoginError::Failed)
    }

    async fn begin_in(&self, browser: &AuthorizationCode) -> Result<Begun, LoginError> {
        let served = browser.redirect().filter(|redirect_uri| redirect_uri.is_loopback());
        let Some(redirect_uri) = served else {
            let redirect_uri = browser.redirect_uri().map(str::to_owned);
            let request = browser.begin(redirect_uri).await.map_err(LoginError::Failed)?;
            return Ok(Begun::Paste(Paste::new(self.clone(), request)));
        };
        let listener = Listener::bind(redirect_uri).await.map_err(LoginError::Listen)?;
        let sent = listener.redirect_uri().to_owned();
        let request = browser.begin(Some(sent)).await.map_err(LoginError::Failed)?;
        Ok(Begun::Redirect(Redirect::new(self.clone(), request, listener)))
    }

    fn browser(&self) -> Result<&AuthorizationCode, LoginError> {
        match self.grant.login() {
            Some(Login::Browser(browser)) => Ok(browser),
            _ => Err(LoginError::NoPerson),
        }
    }

    /// Redeems a code at once, for it may live a minute only, and keeps what it brings: also where whoever asked waits no
    /// longer, for the code is spent.
    async fn redeem(&self, request: AuthorizationRequest, code: Code) -> Result<LoggedIn, LoginError> {
        let account = self.clone();
        let redeemed = tokio::spawn(async move {
            let asked = account.clock.now();
            let granted = account.browser()?.redeem(request, code).await.map_err(LoginError::Failed)?;
            account.keep(granted, asked).await
        });
        redeemed
            .await
            .unwrap_or_else(|ended| Err(LoginError::Refused(format!("the redemption ended early: {ended}"))))
    }

    async fn keep(&self, granted: Granted, asked: Moment) -> Result<LoggedIn, LoginError> {
        let chain = self.chain_now().await;
        login::keep(&self.store, &chain, &granted, asked).await.map_err(LoginError::Store)?;
        let lifetime = granted.lifetime.unwrap_or(self.chain.default_lifetime);
        Ok(LoggedIn {
            scope: granted.scope,
            expires_at: asked.after(lifetime).wall(),
            lasting: granted.refresh_token.is_some(),
        })
    }

    /// The chain, with what is configured at this moment. A file that cannot be read says nothing.
    async fn chain_now(&self) -> Chain {
        let grant = Arc::clone(&self.grant);
        let first = tokio::task::spawn_blocking(move || grant.first_refresh_token().ok().flatten()).await;
        Chain { first: first.ok().flatten().map(|first| first.fingerprint()), ..self.chain.clone() }
    }

    async fn revoke(&self, token: &Secret, kind: TokenKind) -> Result<Revoked, crate::oauth::Failure> {
        match self.grant.token_endpoint() {
            Some(server) => server.revoke(token, kind).await,
            None => Ok(Revoked::NoEndpoint),
        }
    }
}
