//! What a token endpoint's answer grants (RFC 6749 section 5.1).
//!
//! Knows the members of a token response, odd lifetimes and the JWT's `exp`. Does not know who asked.

use std::time::Duration;

use http::HeaderValue;

use crate::secret::Secret;

/// A usable answer.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: Secret,
    /// `Bearer <access token>`, built once and marked sensitive; known to be b64token.
    pub authorization: HeaderValue,
    /// `expires_in`, else the JWT's `exp`, clamped to at least one second; `None` where neither says. Counted from the
    /// moment before the request was sent.
    pub lifetime: Option<Duration>,
    /// A refresh token, where the answer held one.
    pub refresh_token: Option<Secret>,
    /// The granted scope, where the answer said one.
    pub scope: Option<String>,
}
