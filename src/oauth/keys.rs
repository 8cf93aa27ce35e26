//! What a grant or a client authentication reads from its configuration table.
//!
//! Knows which questions a kind may ask; does not know where the answers are written down. `config` implements it and
//! turns what is missing or wrong into problems with a line.

use std::{sync::Arc, time::Duration};

use super::discovery::Issuer;
use crate::{secret::SecretSource, upstream::Endpoint};

/// The keys of one `[tokens.NAME]` table, the preset's values underneath. A method whose name begins with `needed_`
/// reports a problem where the key is missing; every method does where the value is wrong. `None` then; the caller goes
/// on asking, so that all problems are found, and gives up at the end.
pub trait Keys {
    /// A text.
    fn text(&mut self, key: &'static str) -> Option<String>;
    /// A text that has to be there.
    fn needed_text(&mut self, key: &'static str) -> Option<String>;
    /// A secret.
    fn secret(&mut self, key: &'static str) -> Option<SecretSource>;
    /// A secret that has to be there.
    fn needed_secret(&mut self, key: &'static str) -> Option<SecretSource>;
    /// A text or a list of texts, joined by spaces (`scope`).
    fn words(&mut self, key: &'static str) -> Option<String>;
    /// A table of any values (`parameters`, `body`), as JSON.
    fn object(&mut self, key: &'static str) -> Option<serde_json::Map<String, serde_json::Value>>;
    /// A duration.
    fn duration(&mut self, key: &'static str) -> Option<Duration>;
    /// Whether it is `true`.
    fn flag(&mut self, key: &'static str) -> bool;
    /// A URL that has to be there, and how to reach it: made absolute by the preset's `base_url`; https, or loopback, or
    /// `allow_cleartext`; the table's `tls` settings apply.
    fn needed_url(&mut self, key: &'static str) -> Option<(http::Uri, Arc<Endpoint>)>;
    /// The same where the key is there; `Some(None)` where it is absent, `None` where it is wrong.
    fn url(&mut self, key: &'static str) -> Option<Option<(http::Uri, Arc<Endpoint>)>>;
    /// The issuer, one however often it is asked for, so that its metadata is fetched once; `Some(None)` where there is
    /// none, `None` where it is wrong.
    fn issuer(&mut self) -> Option<Option<Arc<Issuer>>>;
    /// Reports that a key is missing, and what may be written.
    fn missing(&mut self, key: &'static str, fix: &str);
    /// Reports that a key's value is wrong, and what would be right.
    fn wrong(&mut self, key: &'static str, problem: &str, fix: &str);
}
