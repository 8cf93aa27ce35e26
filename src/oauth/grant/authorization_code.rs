//! `authorization_code`: a person's browser brings a code (RFC 6749 section 4.1), always with PKCE (RFC 7636, S256) and a
//! `state` of one use; then refresh tokens. There is no way to start afresh without the person.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Grant, Identity, Start};
use crate::{
    oauth::{Failure, Granted, Keys, Login, token_endpoint::TokenEndpoint},
    secret::Secret,
};

/// The recipe.
#[derive(Debug)]
pub struct AuthorizationCode {
    token_endpoint: TokenEndpoint,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    Some(Arc::new(AuthorizationCode { token_endpoint: token_endpoint? }))
}

impl AuthorizationCode {
    /// The configured redirect URI, exactly as written (RFC 8252 section 7.3: a loopback one may have port 0).
    pub fn redirect_uri(&self) -> Option<&str> {
        todo!()
    }

    /// Begins a login that ends at `redirect_uri`, which is the configured one with its port filled in; `None` where none
    /// is configured.
    ///
    /// # Errors
    /// The authorization endpoint could not be discovered.
    pub async fn begin(&self, redirect_uri: Option<String>) -> Result<AuthorizationRequest, Failure> {
        let _ = redirect_uri;
        todo!()
    }

    /// Redeems the code that a browser or a person brought for `request`, whose verifier goes with it.
    ///
    /// # Errors
    /// The authorization server refused it ([`super::super::Fault::InvalidGrant`]: too old, used, or another verifier), or no
    /// usable token came.
    pub async fn redeem(&self, request: AuthorizationRequest, code: Code) -> Result<Granted, Failure> {
        let _ = (request, code);
        todo!()
    }
}

/// A login under way: the URL for the browser, and what only we know of it.
#[derive(Debug)]
pub struct AuthorizationRequest {
    url: String,
}

impl AuthorizationRequest {
    /// Where the browser is sent. Holds `state` and the challenge, which are no secrets of the token's.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Judges the query that the browser brought to the redirect URI.
    ///
    /// # Errors
    /// It belongs to another login, comes from another issuer (RFC 9207), or says that the person refused.
    pub fn judge(&self, query: &str) -> Result<Code, Refused> {
        let _ = query;
        todo!()
    }

    /// Reads what a person pasted: the code alone, or the whole address or query it stands in, whose `state` and `iss` are
    /// then checked as well.
    ///
    /// # Errors
    /// As [`AuthorizationRequest::judge`].
    pub fn pasted(&self, text: &str) -> Result<Code, Refused> {
        let _ = text;
        todo!()
    }
}

/// An authorization code (RFC 6749 section 1.3.1).
#[derive(Debug)]
pub struct Code(Secret);

/// Why what came back is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No `state`, or not this login's (RFC 6749 section 10.12): somebody else's doing, or an old page. The wait goes on.
    WrongState,
    /// `iss` is missing where the server promises it, or another issuer's (RFC 9207 section 2.4).
    WrongIssuer(String),
    /// The authorization server answered with an error (RFC 6749 section 4.1.2.1), in words that hold no secret.
    Error(String),
    /// There is no code in it.
    NoCode,
}

impl Grant for AuthorizationCode {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let _ = subject;
        todo!()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.name())
    }

    fn login(&self) -> Option<Login<'_>> {
        Some(Login::Browser(self))
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
    }

    fn can_start(&self) -> bool {
        false
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        todo!()
    }
}
