//! Does this answer say that the token is no longer good?
//!
//! Knows the rules of `token_invalid`. Does not know what follows from a rejection.

use http::StatusCode;

/// One entry of `token_invalid`. An answer that fits any of a route's rules is a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `{ status, pointer, equals }`: the JSON body's value at an RFC 6901 pointer.
    Body {
        /// The status it needs.
        status: StatusCode,
        /// The JSON pointer.
        pointer: String,
        /// The text that stands there.
        equals: String,
    },
    /// 401 with `WWW-Authenticate: Bearer … error="invalid_token"` (RFC 6750 section 3.1).
    Challenge,
    /// `"any-401"`.
    Any401,
}

impl Rule {
    /// The rules where the configuration names none.
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::Body {
                status: StatusCode::UNAUTHORIZED,
                pointer: "/error/key".to_owned(),
                equals: "token.invalid".to_owned(),
            },
            Self::Challenge,
        ]
    }
}
