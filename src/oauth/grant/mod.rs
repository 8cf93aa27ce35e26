//! The grants: one file each.
//!
//! Knows what every grant has in common: what identifies the token it yields, and the two ways of getting one (afresh,
//! or with a refresh token). A new grant is one file here and two lines below.

pub mod authorization_code;
mod client_credentials;
pub mod device_code;
mod fixed;
mod password;
mod recipe;
mod refresh_token;
mod request;

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use http::HeaderValue;

pub use recipe::Recipe;

use super::{Failure, Fault, Granted, Keys, Login, token_endpoint::TokenEndpoint};
use crate::secret::{self, Secret, SecretError};

/// What a grant says whose every chain begins with a login.
const A_PERSON_IS_NEEDED: &str = "a person has to log in: run `bearward login` for this token";

/// Reads a grant's keys from its table; `None` where problems were reported.
pub type FromKeys = fn(&mut dyn Keys) -> Option<Arc<dyn Grant>>;

/// Every grant type of this version, as `grant_type` names it, and what reads its keys.
pub const GRANTS: &[(&str, FromKeys)] = &[
    ("authorization_code", authorization_code::from_keys),
    ("client_credentials", client_credentials::from_keys),
    ("device_code", device_code::from_keys),
    ("password", password::from_keys),
    ("refresh_token", refresh_token::from_keys),
    ("request", request::from_keys),
    ("static", fixed::from_keys),
];

/// A recipe for getting an access token. Implementations hold their token endpoint and credentials.
pub trait Grant: Send + Sync + fmt::Debug {
    /// What identifies the token that this recipe yields for `subject`: everything that is sent.
    fn identity(&self, subject: Option<&str>) -> Identity;

    /// The token endpoint's name (its URL, or the issuer that names it), which rate limits are shared by; `None` where no
    /// request is made.
    fn endpoint(&self) -> Option<&str>;

    /// How a person logs in, where this grant begins with one.
    fn login(&self) -> Option<Login<'_>> {
        None
    }

    /// The authorization server that tokens are introspected and revoked at, where there is one.
    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        None
    }

    /// Whether [`Grant::start`] can be called at all. False where only a refresh token helps.
    fn can_start(&self) -> bool {
        true
    }

    /// The configured first refresh token, where the recipe has one. One in the store wins over it.
    ///
    /// # Errors
    /// Its file cannot be read.
    fn first_refresh_token(&self) -> Result<Option<Secret>, SecretError> {
        Ok(None)
    }

    /// A digest of the current values of all secrets, files read anew, by which a refused source notices that one was
    /// rotated. `None` where they cannot change while this grant lives, or cannot be read now.
    fn secrets_stamp(&self) -> Option<String> {
        secret::stamp(&self.identity(None).secret_files)
    }

    /// Gets a token afresh.
    fn start<'a>(&'a self, with: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>>;

    /// Gets a token with a refresh token (RFC 6749 section 6). Called only where a response brought one or
    /// [`Grant::first_refresh_token`] has one. The caller holds the store's lock.
    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        let _ = refresh_token;
        Box::pin(async { Err(Failure::new(Fault::Refused, "this grant knows no refresh token")) })
    }
}

/// What a fresh start may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start<'a> {
    /// Whom the token is for, where one recipe serves many.
    pub subject: Option<&'a str>,
    /// The parent token's `Authorization` value, for a chained token.
    pub parent: Option<&'a HeaderValue>,
    /// The access token that was rejected, where that is why a new one is wanted.
    pub rejected: Option<&'a Secret>,
}

/// What identifies a held token: everything that is sent to get it (CHECKLIST 19).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Names the chain of refresh tokens: everything sent, the first refresh token included, but neither the secrets that
    /// may rotate (client secret, password) nor the manner of sending (client authentication, encoding). Of a given
    /// refresh token it is one chain whatever scope is asked for. The store's key: a readable label (the token endpoint's host, `[a-z0-9.-]`), `-`
    /// and 32 hexadecimal digits of a SHA-256.
    pub chain: String,
    /// SHA-256 of everything that is sent, in hexadecimal; secrets read from files are told apart by their path.
    /// A stored access token is used only where this is the same.
    pub recipe: String,
    /// The files that secrets are read from.
    pub secret_files: Vec<PathBuf>,
}
