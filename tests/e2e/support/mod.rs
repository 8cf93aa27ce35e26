//! What every end-to-end test needs: bearward in this process or as the real binary, and an application.

#![allow(dead_code, unused_imports, reason = "each test takes what it needs")]

pub mod browser;
pub mod h2;
pub mod issuer;
pub mod kitchen;
pub mod node;
pub mod origin;
pub mod outside;
pub mod provider;
pub mod python;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

pub mod raw;
pub mod relay;
pub mod site;

pub use bearward::demo::application::Application;
use bearward::{
    app::{App, Running},
    config::Config,
};
use bytes::Bytes;
use http::{Request, Response};

/// Long enough for anything that happens at all, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest configuration: one token by client credentials, one upstream `api` with a port of its own, nothing kept.
/// It ends in the upstream's table, so that keys of it may follow; top-level ones may go before it.
pub fn configuration(authorization_server: &str, api: &str) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}

        [tokens.api]
        grant_type = "client_credentials"
        token_endpoint = "{authorization_server}/token"
        client_id = "app"
        client_secret = "secret"

        [upstreams.api]
        url = "{api}"
        token = "api"
        listen = "127.0.0.1:0"
        "#
    )
}

/// bearward in this process.
///
/// # Panics
/// The configuration is wrong, or it does not start.
pub fn start(configuration: &str) -> Running {
    let loaded = Config::parse(configuration, "test.toml").unwrap_or_else(|problems| panic!("{problems}"));
    App::start(loaded).unwrap_or_else(|error| panic!("{error}"))
}

/// An application that uses the upstream `name`'s own port as its base URL.
pub fn application(bearward: &Running, name: &str) -> Application {
    Application::new(bearward.address(name).unwrap_or_else(|| panic!("{name} listens nowhere")))
}

/// A plain GET.
pub fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).expect("a valid path")
}

/// Sends one GET on `application`'s connection.
pub async fn ask(application: &mut Application, path: &str) -> Response<Bytes> {
    let answer = tokio::time::timeout(PATIENCE, application.send(get(path))).await;
    answer.expect("an answer in time").expect("an answer")
}

/// Waits until `what` is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "it never came to this: {what}");
}

/// The real binary, running. Killed when dropped.
pub struct Process {
    child: Child,
    addresses: Arc<Mutex<BTreeMap<String, SocketAddr>>>,
    log: Arc<Mutex<String>>,
    /// Reads to the end of stderr and then yields what stdout said.
    reader: Option<JoinHandle<String>>,
}

impl Process {
    /// `bearward run -c FILE` with a clean environment and JSON logs.
    pub fn run(configuration: &Path) -> Self {
        Self::run_with(configuration, &[])
    }

    /// The same with environment variables.
    pub fn run_with(configuration: &Path, env: &[(&str, &str)]) -> Self {
        Self::run_on(configuration, env, Vec::new())
    }

    /// The same where it is known who listens where, for a log that cannot be read for that.
    pub fn run_on(configuration: &Path, env: &[(&str, &str)], known: Vec<(String, SocketAddr)>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        command.arg("run").arg("-c").arg(configuration);
        Self::spawn(command, env, known)
    }

    /// The same with so many descriptors at most.
    pub fn run_with_descriptors(configuration: &Path, most: u32) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {most} && exec \"$0\" run -c \"$1\"")]);
        command.arg(env!("CARGO_BIN_EXE_bearward")).arg(configuration);
        Self::spawn(command, &[], Vec::new())
    }

    fn spawn(mut command: Command, env: &[(&str, &str)], known: Vec<(String, SocketAddr)>) -> Self {
        let mut child = command
            .env_clear()
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let out = child.stdout.take().expect("stdout is piped");
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let addresses = Arc::new(Mutex::new(known.into_iter().collect::<BTreeMap<_, _>>()));
        let log = Arc::new(Mutex::new(String::new()));
        let (heard, kept) = (addresses.clone(), log.clone());
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((name, address)) = listening(&line) {
                    heard.lock().unwrap().insert(name, address);
                }
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
            std::io::read_to_string(out).unwrap_or_default()
        });
        Self { child, addresses, log, reader: Some(reader) }
    }

    /// Where an upstream's own port, `gateway` or `admin` listens; waits for it.
    pub async fn address(&self, name: &str) -> SocketAddr {
        let listens = tokio::time::timeout(PATIENCE, async {
            while !self.addresses.lock().unwrap().contains_key(name) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(listens.await.is_ok(), "{name} never listened; the log:\n{}", self.log());
        self.addresses.lock().unwrap()[name]
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for its end. All that it has said, stdout included.
    pub async fn log_to_its_end(mut self) -> String {
        let reader = self.reader.take().expect("only this takes it");
        until("bearward ended", || reader.is_finished()).await;
        self.log() + &reader.join().expect("the reader does not panic")
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal (`TERM`, `HUP`, `KILL`).
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill runs");
        assert!(sent.success(), "the signal {name} could not be sent");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        let mut status = None;
        until("bearward ended", || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        })
        .await;
        status.expect("it ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    (event["message"] == "listening").then_some(())?;
    Some((event["name"].as_str()?.to_owned(), event["address"].as_str()?.parse().ok()?))
}
