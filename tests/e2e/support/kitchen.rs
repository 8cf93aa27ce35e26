//! A simulated Apicbase with a configuration for it, and `bearward login` as a person sees it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use bearward::{
    app,
    config::Config,
    demo::simulator::{
        Apicbase, Outcome, Person,
        apicbase::{
            AUTHORIZATION_ENDPOINT, CLIENT_ID, CLIENT_SECRET, INTROSPECTION_ENDPOINT, Kitchen, TOKEN_ENDPOINT,
        },
        person::{Decided, Decision, Redirect},
    },
    login::Account,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    PATIENCE,
    outside::{self, Ended},
};

/// The redirect URI that is configured where one is.
pub const LOOPBACK: &str = "http://127.0.0.1:0/callback";

/// An Apicbase, and a folder with a `bearward.toml` for it: the token `kitchen`, the upstream `api`, a store.
pub struct Place {
    pub kitchen: Kitchen,
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
}

impl Place {
    /// `further` keys of the token.
    pub async fn new(apicbase: Apicbase, further: &str) -> Self {
        let kitchen = apicbase.start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (url, state) = (kitchen.simulator.url(), folder.path().join("state"));
        let text = format!(
            r#"
            store = {{ path = "{state}" }}

            [tokens.kitchen]
            preset = "apicbase"
            authorization_endpoint = "{url}{AUTHORIZATION_ENDPOINT}"
            token_endpoint = "{url}{TOKEN_ENDPOINT}"
            introspection_endpoint = "{url}{INTROSPECTION_ENDPOINT}"
            client_id = "{CLIENT_ID}"
            client_secret = "{CLIENT_SECRET}"
            scope = ["library", "stock"]
            {further}

            [upstreams.api]
            url = "{url}"
            token = "kitchen"
            listen = "127.0.0.1:0"
            "#,
            state = state.display(),
        );
        let file = folder.path().join("bearward.toml");
        fs::write(&file, text).unwrap();
        Self { kitchen, folder, file }
    }

    /// With a loopback redirect URI, registered and configured.
    pub async fn with_redirect() -> Self {
        let further = format!("redirect_uri = \"{LOOPBACK}\"");
        Self::new(Apicbase::new().redirect_uri(LOOPBACK), &further).await
    }

    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        // Whole or not at all: a bearward that runs may be reading it, and an empty file is a configuration too.
        let aside = self.file.with_extension("new");
        fs::write(&aside, text.replace(from, to)).unwrap();
        fs::rename(&aside, &self.file).unwrap();
    }

    /// The account, in this process.
    pub fn account(&self) -> Account {
        let text = fs::read_to_string(&self.file).unwrap();
        let loaded = Config::parse(&text, "bearward.toml").unwrap_or_else(|problems| panic!("{problems}"));
        app::account(&loaded.config, "kitchen").unwrap().unwrap()
    }

    /// What the store's folder holds of tokens, by file.
    pub fn stored(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("state")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let records = paths.filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(".json") && !name.ends_with("-login.json")
        });
        let mut all: Vec<_> = records.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    }

    /// Runs a command to its end; nobody answers on its stdin. What it says holds no secret.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let ended = outside::bearward(self.folder.path(), arguments, &[]).await;
        self.expect_no_secret(&format!("{}{}", ended.out, ended.err));
        ended
    }

    /// Begins `bearward login kitchen` with a pipe for its stdin.
    pub async fn login(&self, arguments: &[&str]) -> Login {
        Login::begin(self.folder.path(), "kitchen", arguments).await
    }

    /// The end of a login; what it says holds no secret.
    pub async fn end(&self, login: Login) -> Ended {
        let ended = login.ended().await;
        self.expect_no_secret(&format!("{}{}", ended.out, ended.err));
        ended
    }

    /// What the server was sent and what it granted is in nothing that is said.
    pub fn expect_no_secret(&self, said: &str) {
        let simulator = &self.kitchen.simulator;
        let mut secrets = vec![CLIENT_SECRET.to_owned()];
        secrets.extend(simulator.active_refresh_tokens());
        for request in simulator.token_requests() {
            let sent = ["code", "code_verifier", "refresh_token"];
            secrets.extend(sent.iter().filter_map(|name| request.parameters.one(name)).map(str::to_owned));
            if let Outcome::Granted { token, .. } = request.outcome {
                secrets.push(token);
            }
        }
        for secret in secrets {
            assert!(!said.contains(&secret), "{secret} is in: {said}");
        }
    }
}

/// A `bearward login` that runs. Killed when dropped.
pub struct Login {
    /// The URL it printed.
    pub url: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Login {
    /// Begins one for the token `name`, with a pipe for its stdin.
    pub async fn begin(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bearward"))
            .args(["login", name])
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, stdout.next_line()).await.expect("a URL in time").unwrap();
        let Some(url) = first else {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
            panic!("no URL was printed: {said}");
        };
        Self { url, child, stdin, stdout }
    }

    /// Writes a line to its stdin.
    pub async fn paste(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{text}\n").as_bytes()).await.unwrap();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Closes its stdin and waits for its end.
    pub async fn ended(mut self) -> Ended {
        drop(self.stdin.take());
        let end = async {
            let mut out = format!("{}\n", self.url);
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                out += &line;
                out.push('\n');
            }
            let output = self.child.wait_with_output().await.unwrap();
            // A signal has no status.
            let status = output.status.code().unwrap_or(-1);
            Ended { status, out, err: String::from_utf8(output.stderr).unwrap() }
        };
        tokio::time::timeout(PATIENCE, end).await.expect("it ends")
    }
}

/// Where a person who decides so is sent; their browser has not gone there yet.
pub async fn sent(url: &str, decision: Decision) -> Redirect {
    match Person::new().decide(url, decision).await.unwrap() {
        Decided::Sent(redirect) => redirect,
        Decided::Page(page) => panic!("nobody was sent anywhere: {}", page.text),
    }
}
