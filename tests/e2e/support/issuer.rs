//! A configuration that knows of the real provider only its issuer and a client, and what people run in its folder.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{
    Process,
    kitchen::Login,
    outside::{Ended, bearward},
    provider::{Decision, Person, Provider},
};

/// The configuration, the token `api`, the upstream `api`, and a store.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
}

impl Place {
    /// With this client of the provider and these further keys of the token.
    pub fn new(provider: &Provider, grant_type: &str, client: &str, keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        let secret = match client {
            "none" => "token_endpoint_auth_method = \"none\"".to_owned(),
            client => format!("client_secret = \"{}\"", Provider::secret(client)),
        };
        let (issuer, store) = (provider.issuer(), folder.path().join("store"));
        let configuration = format!(
            r#"
            store = {{ path = "{}" }}
            log = {{ format = "json" }}
            admin = {{ listen = "127.0.0.1:0" }}

            [tokens.api]
            issuer = "{issuer}"
            grant_type = "{grant_type}"
            client_id = "{client}"
            {secret}
            scope = ["openid", "offline_access", "orders:read"]
            {keys}

            [upstreams.api]
            url = "{issuer}/api"
            token = "api"
            listen = "127.0.0.1:0"
            "#,
            store.display()
        );
        fs::write(&file, configuration).unwrap();
        Self { folder, file }
    }

    /// The binary, running.
    pub fn run(&self) -> Process {
        Process::run(&self.file)
    }

    /// A command, run to its end.
    pub async fn bearward(&self, arguments: &[&str]) -> Ended {
        bearward(self.folder.path(), arguments, &[]).await
    }

    /// Somebody logs in by the loopback redirect.
    pub async fn logged_in(&self) {
        let login = self.log_in().await;
        let mut ada = Person::new("ada");
        let back = ada.visits(&login.url, Decision::Allow).await;
        ada.opens(back.address()).await;
        let ended = login.ended().await;
        assert_eq!(ended.status, 0, "{ended:?}");
    }

    /// `bearward login`, up to where it tells the URL.
    pub async fn log_in(&self) -> Login {
        Login::begin(self.folder.path(), "api", &["--no-browser"]).await
    }

    /// The same where nobody answers.
    pub async fn log_in_without_anybody(&self) -> Unanswered {
        let ended = self.bearward(&["login", "api", "--no-browser"]).await;
        Unanswered { url: ended.out.lines().next().unwrap_or_default().to_owned(), ended }
    }

    fn record(&self) -> Option<Value> {
        let entries = fs::read_dir(self.folder.path().join("store")).ok()?;
        let record = entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension() == Some("json".as_ref()));
        serde_json::from_str(&fs::read_to_string(record?).ok()?).ok()
    }

    /// The stored generation; 0 while nothing is.
    pub fn generation(&self) -> u64 {
        self.record().and_then(|record| record["record"]["generation"].as_u64()).unwrap_or(0)
    }

    /// What the store holds.
    pub fn stored(&self, what: &str) -> String {
        let record = self.record().expect("something is stored");
        record["record"][what].as_str().unwrap_or_else(|| panic!("no {what} is stored")).to_owned()
    }
}

/// A login that ended without an answer.
pub struct Unanswered {
    /// The URL it printed.
    pub url: String,
    pub ended: Ended,
}
