//! What a grant reads from a `[tokens.NAME]` table, and the notes of what it asked for.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{missing, tls, url};
use crate::{
    config::{
        problems::Problem,
        reader::{Reader, Table},
        values::Value,
    },
    oauth::Keys,
    secret::SecretSource,
    upstream::{Endpoint, Protocol, tls::Settings},
};

/// What is needed of a client depends on it.
const METHOD: &str = "token_endpoint_auth_method";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of one table, preset values underneath.
pub(super) struct TokenKeys<'k, 'r> {
    reader: &'k mut Reader<'r>,
    table: &'k Table,
    asked: BTreeSet<&'static str>,
    tls: Settings,
}

impl<'k, 'r> TokenKeys<'k, 'r> {
    pub fn new(reader: &'k mut Reader<'r>, table: &'k Table) -> Self {
        Self { reader, table, asked: BTreeSet::new(), tls: Settings::default() }
    }

    /// What was asked for, and the content of the TLS files.
    pub fn into_asked(self) -> (BTreeSet<&'static str>, Settings) {
        (self.asked, self.tls)
    }

    fn ask(&mut self, key: &'static str) -> Option<&'k Value> {
        self.asked.insert(key);
        self.table.value(key)
    }

    fn need(&mut self, key: &'static str, fix: &str) {
        let undecided = self.table.has(METHOD) && self.table.text(METHOD).is_none();
        let credential = matches!(key, "client_id" | "client_secret");
        if !(self.table.has(key) || credential && undecided) {
            missing(self.reader, self.table, key, fix);
        }
    }
}

impl Keys for TokenKeys<'_, '_> {
    fn text(&mut self, key: &'static str) -> Option<String> {
        match self.ask(key)? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn needed_text(&mut self, key: &'static str) -> Option<String> {
        self.need(key, &format!("add {key} = \"…\""));
        self.text(key)
    }

    fn secret(&mut self, key: &'static str) -> Option<SecretSource> {
        match self.ask(key)? {
            Value::Secret(secret) => Some(secret.clone()),
            _ => None,
        }
    }

    fn needed_secret(&mut self, key: &'static str) -> Option<SecretSource> {
        self.need(key, &format!("add {key} = {{ env = \"NAME\" }} or {{ file = \"/path\" }}"));
        self.secret(key)
    }

    fn words(&mut self, key: &'static str) -> Option<String> {
        self.text(key)
    }

    fn object(&mut self, key: &'static str) -> Option<serde_json::Map<String, serde_json::Value>> {
        match self.ask(key)? {
            Value::Object(object) => Some(object.clone()),
            _ => None,
        }
    }

    fn duration(&mut self, key: &'static str) -> Option<Duration> {
        match self.ask(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    fn needed_url(&mut self, key: &'static str) -> Option<(http::Uri, Arc<Endpoint>)> {
        self.asked.extend([key, "base_url", "allow_cleartext", "tls", "connect_timeout"]);
        let parsed = url::needed(self.reader, self.table, key);
        let tls = tls::settings(self.reader, self.table);
        self.tls = tls?;
        let (url, origin) = parsed?;
        let patience = self.table.duration("connect_timeout").unwrap_or(CONNECT_TIMEOUT);
        let endpoint = tls::endpoint(self.reader, self.table, &origin, &self.tls, Protocol::Auto, patience)?;
        Some((url, endpoint))
    }

    fn wrong(&mut self, key: &'static str, problem: &str, fix: &str) {
        self.asked.insert(key);
        let problem = Problem::error(format!("`{key}` in [{}]: {problem}", self.table.name));
        self.reader.report(problem.fix(fix), self.table.at(key), "");
    }
}
