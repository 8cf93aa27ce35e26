//! What a grant reads from a `[tokens.NAME]` table, and the notes of what it asked for.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::Uri;

use super::{missing, outer, tls, tokens::CHAINED, url};
use crate::{
    config::{
        problems::Problem,
        reader::{Reader, Table},
        values::Value,
    },
    oauth::{Keys, discovery::Issuer, place::Reach},
    secret::SecretSource,
    upstream::{Endpoint, Origin, Outer, Protocol, tls::Settings},
};

/// What is needed of a client depends on it.
const METHOD: &str = "token_endpoint_auth_method";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of one table, preset values underneath.
pub(super) struct TokenKeys<'k, 'r> {
    reader: &'k mut Reader<'r>,
    table: &'k Table,
    asked: BTreeSet<&'static str>,
    /// Read once; `None` in it where a problem was reported.
    tls: Option<Option<Settings>>,
    outer: Option<Option<Outer>>,
    /// Read once, likewise.
    issuer: Option<Option<Option<Arc<Issuer>>>>,
}

impl<'k, 'r> TokenKeys<'k, 'r> {
    pub fn new(reader: &'k mut Reader<'r>, table: &'k Table) -> Self {
        Self { reader, table, asked: BTreeSet::new(), tls: None, outer: None, issuer: None }
    }

    /// What was asked for, and the content of the TLS files.
    pub fn into_asked(self) -> (BTreeSet<&'static str>, Settings) {
        (self.asked, self.tls.flatten().unwrap_or_default())
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

    /// Notes the keys that say where an endpoint is and how it is reached.
    fn ask_place(&mut self, key: &'static str) {
        self.asked.extend([key, "base_url", "allow_cleartext", "tls", "proxy", "connect_timeout"]);
    }

    fn endpoint(&mut self, parsed: Option<(Uri, Origin)>) -> Option<(Uri, Arc<Endpoint>)> {
        let (tls, outer) = (self.tls(), self.outer());
        let (url, origin) = parsed?;
        let (mut tls, outer) = (tls?, outer::towards(self.reader, self.table, &outer?, &origin)?);
        tls.server_name = tls.server_name.filter(|_| Some(origin.host()) == self.host().as_deref());
        let patience = self.connect_timeout();
        let endpoint = tls::endpoint(self.reader, self.table, &origin, &tls, Protocol::Auto, patience, outer);
        if endpoint.is_none() {
            // Said once, whatever else is reached with these settings.
            self.tls = Some(None);
        }
        Some((url, endpoint?))
    }

    fn tls(&mut self) -> Option<Settings> {
        let (reader, table) = (&mut *self.reader, self.table);
        self.tls.get_or_insert_with(|| tls::settings(reader, table)).clone()
    }

    fn outer(&mut self) -> Option<Outer> {
        let (reader, table) = (&mut *self.reader, self.table);
        self.outer.get_or_insert_with(|| outer::outer(reader, table)).clone()
    }

    fn connect_timeout(&self) -> Duration {
        self.table.duration("connect_timeout").unwrap_or(CONNECT_TIMEOUT)
    }

    /// The host that `tls.server_name` is said of.
    fn host(&self) -> Option<String> {
        let keys: &[_] = if self.table.text("grant_type") == Some(CHAINED) {
            &["url"]
        } else {
            &["token_endpoint", "issuer"]
        };
        keys.iter().find_map(|key| url::host(self.table, key))
    }

    fn read_issuer(&mut self) -> Option<Option<Arc<Issuer>>> {
        const KEY: &str = "issuer";
        let Some(identifier) = self.text(KEY) else { return (!self.table.has(KEY)).then_some(None) };
        if identifier.contains(['?', '#']) || identifier.starts_with('/') {
            let problem = "an issuer is a whole URL, without query and fragment (RFC 8414 section 2)";
            self.wrong(KEY, problem, "write it exactly as the authorization server's metadata does");
            return None;
        }
        self.ask_place(KEY);
        let parsed = url::absolute(self.reader, self.table, KEY);
        let (url, endpoint) = self.endpoint(parsed)?;
        let reach = Reach {
            tls: self.tls()?,
            outer: self.outer()?,
            host: self.host()?,
            connect_timeout: self.connect_timeout(),
            allow_cleartext: self.table.flag("allow_cleartext"),
        };
        Some(Some(Arc::new(Issuer::new(identifier, url, endpoint, reach))))
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

    fn flag(&mut self, key: &'static str) -> bool {
        self.asked.insert(key);
        self.table.flag(key)
    }

    fn needed_url(&mut self, key: &'static str) -> Option<(Uri, Arc<Endpoint>)> {
        self.ask_place(key);
        let parsed = url::needed(self.reader, self.table, key);
        self.endpoint(parsed)
    }

    fn url(&mut self, key: &'static str) -> Option<Option<(Uri, Arc<Endpoint>)>> {
        self.ask_place(key);
        if !self.table.has(key) {
            return Some(None);
        }
        let parsed = url::absolute(self.reader, self.table, key);
        self.endpoint(parsed).map(Some)
    }

    fn issuer(&mut self) -> Option<Option<Arc<Issuer>>> {
        if let Some(read) = &self.issuer {
            return read.clone();
        }
        let read = self.read_issuer();
        self.issuer = Some(read.clone());
        read
    }

    fn missing(&mut self, key: &'static str, fix: &str) {
        self.need(key, fix);
    }

    fn wrong(&mut self, key: &'static str, problem: &str, fix: &str) {
        self.asked.insert(key);
        let problem = Problem::error(format!("`{key}` in [{}]: {problem}", self.table.name));
        self.reader.report(problem.fix(fix), self.table.at(key), "");
    }
}
