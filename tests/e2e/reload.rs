//! What a new configuration may cost: nothing that runs, and nothing that did not change.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bearward::{
    app::{App, Running},
    config::Config,
    demo::simulator::{Answer, AuthorizationServer, ResourceServer, Resources, Simulator},
};
use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::task::JoinSet;

use crate::support::{Application, PATIENCE, Process, ask, until};

/// Each reload is seen to have taken effect before the next one comes. A header, time limits, the gateway's routes and a
/// listener change in turn; the two recipes do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_lose_no_request_and_no_token() {
    let stage = Stage::new().await;
    stage.write(&stage.numbered(0));
    let bearward = stage.start();
    let load = Load::start(&bearward);
    let mut watcher = crate::support::application(&bearward, "api");
    for number in 1..=1000 {
        stage.write(&stage.numbered(number));
        bearward.reload();
        let applied = async {
            while !shows(&ask(&mut watcher, "/watch").await, number) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, applied)
            .await
            .unwrap_or_else(|_| panic!("reload {number} had no effect"));
        if number % 100 == 0 {
            let mut extra = Application::new(until_there(&bearward, "extra", number % 2 == 0).await.unwrap());
            assert_eq!(ask(&mut extra, "/").await.status(), 200);
        }
    }
    assert!(load.stop().await > 1000, "there was no load");
    assert_eq!(stage.authorization_server.counts().token_requests, 2, "one for each recipe");
    bearward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_reloads_on_a_signal_and_loses_no_request() {
    let stage = Stage::new().await;
    stage.write(&stage.numbered(0));
    let bearward = Process::run(&stage.file);
    let mut watcher = Application::new(bearward.address("api").await);
    for number in 1..=30 {
        stage.write(&stage.numbered(number));
        bearward.signal("HUP");
        let applied = async {
            loop {
                let answer = ask(&mut watcher, "/watch").await;
                assert_eq!(answer.status(), 200);
                if shows(&answer, number) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, applied)
            .await
            .unwrap_or_else(|_| panic!("reload {number} had no effect"));
    }
    assert_eq!(stage.authorization_server.counts().token_requests, 2);
}

#[tokio::test]
async fn a_request_under_way_finishes_under_the_configuration_it_came_to() {
    let stage = Stage::new().await;
    let other = ResourceServer::new(&stage.authorization_server).start().await.unwrap();
    stage.write(&stage.with("api", &stage.api.url(), "listen = \"127.0.0.1:0\""));
    let bearward = stage.start();
    let old = bearward.address("api").unwrap();
    stage
        .api
        .answer_next("/slow", Answer::status(StatusCode::OK).content("old").after(Duration::from_secs(2)));
    let slow = tokio::spawn(async move { ask(&mut Application::new(old), "/slow").await });
    let mut kept = Application::new(old);
    assert_eq!(ask(&mut kept, "/").await.status(), 200);
    until("the API works on it", || stage.api.counts().api_requests == 2).await;
    // The same door, another origin behind it: also for a connection that is open.
    stage.write(&stage.with("api", &other.url(), "listen = \"127.0.0.1:0\""));
    bearward.reload();
    let moved = async {
        while other.counts().api_requests == 0 {
            assert_eq!(ask(&mut kept, "/").await.status(), 200);
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.expect("the new configuration is in force");
    // The door goes too.
    stage.write(&stage.with("api", &other.url(), "path = \"/api\"\n[gateway]\nlisten = \"127.0.0.1:0\""));
    bearward.reload();
    until("the door is closed", || std::net::TcpStream::connect(old).is_err()).await;
    assert!(!slow.is_finished(), "it was quicker than both reloads, so this showed nothing");
    let answer = slow.await.unwrap();
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"old"[..]));
    let gateway = until_there(&bearward, "gateway", true).await.unwrap();
    assert_eq!(ask(&mut Application::new(gateway), "/api/").await.status(), 200);
    assert_eq!(stage.authorization_server.counts().token_requests, 1, "the token stayed all the time");
}

#[tokio::test]
async fn r148_a_bad_file_is_reported_once_and_changes_nothing_and_a_good_one_needs_no_signal() {
    let stage = Stage::new().await;
    stage.write(&stage.numbered(0));
    let bearward = Process::run(&stage.file);
    let mut application = Application::new(bearward.address("api").await);
    assert!(shows(&ask(&mut application, "/").await, 0));
    stage.write(&stage.numbered(1).replace("client_id", "cleint_id"));
    bearward.signal("HUP");
    until("it says so", || bearward.log().contains("the configuration was not reloaded")).await;
    assert!(bearward.log().contains("cleint_id"), "{}", bearward.log());
    assert!(!bearward.log().contains("the-secret"), "a secret is in the log");
    // A look at the file may have come before the signal, and then both speak of it. The file is looked at every two
    // seconds: over two more looks it is neither taken nor spoken of again.
    let mut reported = 0;
    for looks in [2_500, 4_500] {
        reported = bearward.log().matches("the configuration was not reloaded").count();
        let end = Instant::now() + Duration::from_millis(looks);
        while Instant::now() < end {
            assert!(shows(&ask(&mut application, "/").await, 0), "the old one stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    stage.write(&stage.numbered(2));
    let picked_up = async {
        while !shows(&ask(&mut application, "/").await, 2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, picked_up).await.expect("it is picked up without a signal");
    assert_eq!(bearward.log().matches("the configuration was not reloaded").count(), reported);
    assert!(reported <= 2, "once for the signal, once for the look at the file");
    assert_eq!(stage.authorization_server.counts().token_requests, 2);
}

/// Editors empty a file before they write it, and an empty one would be a valid configuration that closes every port.
#[tokio::test]
async fn r148_an_emptied_file_closes_nothing() {
    let stage = Stage::new().await;
    stage.write(&stage.numbered(1));
    let bearward = Process::run(&stage.file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    stage.write("");
    bearward.signal("HUP");
    until("it said so", || bearward.log().contains("is empty")).await;
    let mut another = Application::new(bearward.address("api").await);
    assert!(shows(&ask(&mut another, "/").await, 1));
    stage.write(&stage.numbered(2));
    let written = async { while !shows(&ask(&mut another, "/").await, 2) {} };
    tokio::time::timeout(PATIENCE, written).await.expect("what follows is read");
}

#[tokio::test]
async fn r148_an_address_in_use_leaves_the_old_configuration_in_force() {
    let stage = Stage::new().await;
    stage.write(&stage.with("api", &stage.api.url(), "listen = \"127.0.0.1:0\""));
    let bearward = Process::run(&stage.file);
    let address = bearward.address("api").await;
    let mut application = Application::new(address);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("listen = \"{}\"", taken.local_addr().unwrap());
    stage.write(&stage.with("api", &stage.api.url(), &elsewhere));
    bearward.signal("HUP");
    until("it says so", || bearward.log().contains("the configuration was not reloaded")).await;
    assert!(bearward.log().contains("another program has it"), "{}", bearward.log());
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    assert_eq!(ask(&mut Application::new(address), "/").await.status(), 200, "new connections too");
    // Once the address is free, the same file works.
    let free = taken.local_addr().unwrap();
    drop(taken);
    bearward.signal("HUP");
    until("it listens there", || std::net::TcpStream::connect(free).is_ok()).await;
    assert_eq!(ask(&mut Application::new(free), "/").await.status(), 200);
    until("the old door is closed", || std::net::TcpStream::connect(address).is_err()).await;
    assert_eq!(stage.authorization_server.counts().token_requests, 1);
}

#[tokio::test]
async fn a_rotated_secret_file_is_read_at_the_next_token_request() {
    let stage = Stage::new().await;
    let secret = stage.secret_from_file("the-first");
    let bearward = Process::run(&stage.file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    fs::write(&secret, "the-second\n").unwrap();
    stage.authorization_server.revoke_all();
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    assert_eq!(stage.secrets_sent(), ["the-first", "the-second"]);
}

/// The server has learnt the new secret before our file has: the refusal is on its way when the file changes.
#[tokio::test]
async fn a_secret_that_changed_while_it_was_refused_is_tried_at_once() {
    let stage = Stage::of(AuthorizationServer::new().client("app", "the-second")).await;
    let secret = stage.secret_from_file("the-first");
    stage.authorization_server.hold_token_responses();
    let bearward = Process::run(&stage.file);
    let address = bearward.address("api").await;
    let waiting = tokio::spawn(async move { ask(&mut Application::new(address), "/").await });
    until("it is refused", || stage.authorization_server.counts().refused == 1).await;
    fs::write(&secret, "the-second").unwrap();
    stage.authorization_server.release_token_responses();
    let answer = waiting.await.unwrap();
    let mut application = Application::new(address);
    if answer.status() != 200 {
        // It may have come in the moment between the refusal and the second try.
        assert_eq!(answer.status(), 502);
    }
    until_served(&mut application).await;
    assert_eq!(stage.secrets_sent(), ["the-first", "the-second"], "once each");
}

#[tokio::test]
async fn a_refused_secret_is_not_sent_again_until_its_file_changes() {
    let stage = Stage::of(AuthorizationServer::new().client("app", "the-second")).await;
    let secret = stage.secret_from_file("the-first");
    let bearward = Process::run(&stage.file);
    let mut application = Application::new(bearward.address("api").await);
    until("it is refused", || stage.authorization_server.counts().refused == 1).await;
    for _ in 0..20 {
        assert_eq!(ask(&mut application, "/").await.status(), 502);
    }
    fs::write(&secret, "the-second").unwrap();
    until_served(&mut application).await;
    assert_eq!(stage.secrets_sent(), ["the-first", "the-second"]);
}

/// The parties, and the file that changes.
struct Stage {
    authorization_server: Simulator,
    api: Resources,
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Stage {
    async fn new() -> Self {
        Self::of(AuthorizationServer::new()).await
    }

    async fn of(authorization_server: AuthorizationServer) -> Self {
        let authorization_server = authorization_server.start().await.unwrap();
        let api = ResourceServer::new(&authorization_server).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        Self { authorization_server, api, folder, file }
    }

    fn start(&self) -> Running {
        let loaded = Config::load(Some(&self.file)).unwrap_or_else(|problems| panic!("{problems}"));
        App::start(loaded).unwrap()
    }

    /// Replaces the file as editors and ConfigMaps do: nobody sees half of it.
    fn write(&self, configuration: &str) {
        let aside = self.folder.path().join("aside");
        fs::write(&aside, configuration).unwrap();
        fs::rename(aside, &self.file).unwrap();
    }

    /// A configuration that says its number in a field, and differs from the one before in more than that.
    fn numbered(&self, number: u32) -> String {
        let timeout = 10 + number % 3;
        let route = ["/one", "/another"][usize::from(number % 4 == 1)];
        let extra = match number % 2 {
            0 => self.upstream("extra", &self.api.url(), "token = \"other\"\nlisten = \"127.0.0.1:0\""),
            _ => String::new(),
        };
        let api = format!(
            "path = \"/api\"\nlisten = \"127.0.0.1:0\"\nresponse_timeout = \"{timeout}s\"\nheaders = {{ x-number = \"{number}\" }}\ntoken = \"api\""
        );
        let api = self.upstream("api", &self.api.url(), &api);
        let routed =
            self.upstream("routed", &self.api.url(), &format!("path = \"{route}\"\ntoken = \"api\""));
        format!("{}\n[gateway]\nlisten = \"127.0.0.1:0\"\n{api}\n{routed}\n{extra}", self.tokens())
    }

    /// One upstream and its token.
    fn with(&self, name: &str, url: &str, more: &str) -> String {
        let (keys, tables) = more.split_once("\n[").unwrap_or((more, ""));
        let tables = if tables.is_empty() { String::new() } else { format!("[{tables}") };
        format!(
            "{}\n{}\n{tables}",
            self.token("api"),
            self.upstream(name, url, &format!("token = \"api\"\n{keys}"))
        )
    }

    /// A client secret in a file, sent in the body.
    fn secret_from_file(&self, secret: &str) -> PathBuf {
        let path = self.folder.path().join("secret");
        fs::write(&path, secret).unwrap();
        let from_file = format!(
            "{{ file = \"{}\" }}\ntoken_endpoint_auth_method = \"client_secret_post\"",
            path.display()
        );
        let configuration = self.with("api", &self.api.url(), "listen = \"127.0.0.1:0\"");
        self.write(&configuration.replace("\"the-secret\"", &from_file));
        path
    }

    fn secrets_sent(&self) -> Vec<String> {
        let requests = self.authorization_server.token_requests();
        requests
            .iter()
            .map(|request| request.parameters.one("client_secret").unwrap_or_default().to_owned())
            .collect()
    }

    fn tokens(&self) -> String {
        format!(
            "{}\n{}\nscope = \"other\"",
            self.token("api"),
            self.token("other").replace("store = { kind = \"memory\" }", "")
        )
    }

    fn token(&self, name: &str) -> String {
        format!(
            r#"
            store = {{ kind = "memory" }}

            [tokens.{name}]
            grant_type = "client_credentials"
            token_endpoint = "{}/token"
            client_id = "app"
            client_secret = "the-secret"
            "#,
            self.authorization_server.url()
        )
    }

    fn upstream(&self, name: &str, url: &str, more: &str) -> String {
        format!("[upstreams.{name}]\nurl = \"{url}\"\n{more}\n")
    }
}

/// Applications in a closed loop: on kept and on new connections, at the own port and at the gateway.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    applications: JoinSet<()>,
}

impl Load {
    fn start(bearward: &Running) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (own, gateway) = (bearward.address("api").unwrap(), bearward.address("gateway").unwrap());
        let mut applications = JoinSet::new();
        for number in 0..8 {
            let (address, path) = if number % 2 == 0 { (own, "/load") } else { (gateway, "/api/load") };
            let (over, answered) = (over.clone(), answered.clone());
            applications.spawn(async move {
                let mut application = Application::new(address);
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(ask(&mut application, path).await.status(), 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if number >= 4 {
                        application = Application::new(address);
                    }
                }
            });
        }
        Self { over, answered, applications }
    }

    /// How many requests were answered, all of them with 200.
    async fn stop(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.applications.join_all().await;
        self.answered.load(Ordering::Relaxed)
    }
}

/// Whether the API's echo shows that this configuration was in force.
fn shows(answer: &Response<Bytes>, number: u32) -> bool {
    assert_eq!(answer.status(), 200, "{answer:?}");
    let echo: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    let fields = echo["fields"].as_array().unwrap();
    let number = number.to_string();
    fields.iter().any(|field| field[0] == "x-number" && field[1] == *number)
}

/// Where `name` listens once it does, or that it does no more.
async fn until_there(bearward: &Running, name: &str, wanted: bool) -> Option<SocketAddr> {
    until(&format!("{name} is there: {wanted}"), || bearward.address(name).is_some() == wanted).await;
    bearward.address(name)
}

async fn until_served(application: &mut Application) {
    let served = async {
        while ask(application, "/").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("it serves in the end");
}
