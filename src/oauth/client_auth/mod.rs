//! Client authentication at a token endpoint (RFC 6749 section 2.3): one file each.
//!
//! Knows what every method has in common: it adds itself to a token request, and exactly one does (section 2.3). A new
//! method is one file here and one line in [`METHODS`].

mod basic;
mod none;
mod post;

use std::{fmt, sync::Arc};

use super::{Keys, grant::Recipe, token_request::TokenRequest};
use crate::secret::SecretError;

/// Reads a method's keys from the table of its token; `None` where problems were reported.
pub type FromKeys = fn(&mut dyn Keys) -> Option<Arc<dyn ClientAuthentication>>;

/// Every method of this version, as `token_endpoint_auth_method` names it (RFC 7591 section 2). The first is the default.
pub const METHODS: &[(&str, FromKeys)] = &[
    ("client_secret_basic", basic::from_keys),
    ("client_secret_post", post::from_keys),
    ("none", none::from_keys),
];

/// How a client proves who it is.
pub trait ClientAuthentication: Send + Sync + fmt::Debug {
    /// Adds itself to a request. Secrets are read anew each time.
    ///
    /// # Errors
    /// A secret cannot be read.
    fn authenticate(&self, request: &mut TokenRequest) -> Result<(), SecretError>;

    /// Writes down what it sends.
    fn describe(&self, recipe: &mut Recipe);
}

/// The method that `token_endpoint_auth_method` names.
pub fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn ClientAuthentication>> {
    const KEY: &str = "token_endpoint_auth_method";
    let (default, default_from_keys) = METHODS[0];
    let Some(wanted) = keys.text(KEY) else { return default_from_keys(keys) };
    if let Some((_, method_from_keys)) = METHODS.iter().find(|(name, _)| *name == wanted) {
        return method_from_keys(keys);
    }
    let names: Vec<_> = METHODS.iter().map(|(name, _)| *name).collect();
    keys.wrong(
        KEY,
        &format!("no client authentication is called {wanted:?}"),
        &format!("one of {}; without the key it is {default}", names.join(", ")),
    );
    None
}
