//! Taking a token back (RFC 7009).
//!
//! Knows the revocation request and its answer. Does not know what is forgotten on our side.

use super::{Failure, token_endpoint::TokenEndpoint};
use crate::secret::Secret;

/// What `token_type_hint` says (RFC 7009 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `refresh_token`.
    Refresh,
    /// `access_token`.
    Access,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The server says that it is no longer good.
    Yes,
    /// The server does not revoke this kind (`unsupported_token_type`).
    Unsupported,
    /// No revocation endpoint is known.
    NoEndpoint,
}

impl TokenEndpoint {
    /// Revokes `token`.
    ///
    /// # Errors
    /// The server did not say that it did.
    pub async fn revoke(&self, token: &Secret, kind: TokenKind) -> Result<Revoked, Failure> {
        let _ = (token, kind);
        todo!()
    }
}
