//! Asking about a token (RFC 7662).
//!
//! Knows the introspection request and its answer. Does not know why somebody asks.

use std::time::SystemTime;

use super::{Failure, token_endpoint::TokenEndpoint};
use crate::secret::Secret;

/// What the server says of a token (RFC 7662 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspected {
    /// Whether it is good.
    pub active: bool,
    /// Its scope.
    pub scope: Option<String>,
    /// When it expires.
    pub expires_at: Option<SystemTime>,
    /// The client it was given to.
    pub client_id: Option<String>,
    /// Whom it acts for, in words for people.
    pub username: Option<String>,
}

impl TokenEndpoint {
    /// Asks about `access_token`. `None` where the server has no introspection endpoint that is known. `refresh_token` is sent
    /// along only where `introspection_refresh_token` says so.
    ///
    /// # Errors
    /// The server did not say.
    pub async fn introspect(
        &self,
        access_token: &Secret,
        refresh_token: Option<&Secret>,
    ) -> Result<Option<Introspected>, Failure> {
        let _ = (access_token, refresh_token);
        todo!()
    }
}
