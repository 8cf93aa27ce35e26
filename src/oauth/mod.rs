//! Getting a token: how each grant asks an authorization server, and what its answer means.
//!
//! Knows RFC 6749: grants, client authentication, token requests and responses, and which failures are final. Does
//! not know who wants the token, what is held or stored, when to try again, or where configuration comes from.
//! Adding a grant is one file in `grant/` and three lines in its `mod.rs`; so is adding a client authentication.

mod authorization;
pub mod client_auth;
mod device_authorization;
pub mod discovery;
pub mod failure;
pub mod grant;
pub mod introspection;
pub mod keys;
pub mod login;
mod pkce;
pub mod place;
pub mod redirect_uri;
mod refusal;
pub mod response;
pub mod revocation;
#[cfg(test)]
mod testing;
pub mod token_endpoint;
pub mod token_request;

pub use failure::{Failure, Fault};
pub use grant::{GRANTS, Grant, Identity, Start};
pub use keys::Keys;
pub use login::Login;
pub use response::Granted;
