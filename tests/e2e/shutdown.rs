//! What a stop may cost: nothing that was taken on.

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

use bearward::demo::{
    application::NoAnswer,
    simulator::{
        Answer, AuthorizationServer, ResourceServer, Resources, Simulator,
        authorization_server::FIRST_REFRESH_TOKEN,
    },
};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Application, PATIENCE, Process, ask, get, until};

/// Half of the applications keep their connection, half take a new one for each request. What was sent before the signal is
/// answered, whole. What comes later is answered whole too, or the API has not seen it: a connection that the system had
/// put into the listener's queue when that was closed, or an idle one that was closed while a request was on its way, is
/// for the application to try again (RFC 9112 section 9.3.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r149_a_stop_under_load_loses_no_request_ten_times_over() {
    for round in 0..10 {
        let stage = Stage::new("client_credentials", Duration::from_secs(300)).await;
        let address = stage.bearward.address("api").await;
        let load = Arc::new(Load::default());
        let mut applications = JoinSet::new();
        for number in 0..24 {
            let load = load.clone();
            applications.spawn(async move {
                match number % 2 {
                    0 => load.on_one_connection(address).await,
                    _ => load.on_new_connections(address).await,
                }
            });
        }
        until("all are at it", || load.answered.load(Ordering::Relaxed) > 100).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        load.signalled.store(true, Ordering::SeqCst);
        stage.bearward.signal("TERM");
        let lost: Vec<Lost> = applications.join_all().await.into_iter().flatten().collect();
        assert_eq!(stage.bearward.ended().await.code(), Some(0), "round {round}");
        let seen: Vec<String> = stage.api.requests().into_iter().map(|request| request.call.path).collect();
        for lost in lost {
            assert!(
                !lost.before_the_signal,
                "round {round}: {} was sent before the signal: {}",
                lost.path, lost.how
            );
            assert!(
                !seen.contains(&lost.path),
                "round {round}: the API has seen {}: {}",
                lost.path,
                lost.how
            );
        }
    }
}

/// The process stands still while connections come and then the signal, so that it finds both at once.
#[tokio::test]
async fn r149_connections_that_wait_to_be_accepted_when_a_stop_comes_are_served() {
    for round in 0..3 {
        let stage = Stage::new("client_credentials", Duration::from_secs(300)).await;
        let address = stage.bearward.address("api").await;
        assert_eq!(ask(&mut Application::new(address), "/").await.status(), 200);
        stage.bearward.signal("STOP");
        let mut waiting = Vec::new();
        for number in 0..200 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!("GET /{number} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        stage.bearward.signal("TERM");
        stage.bearward.signal("CONT");
        for (number, mut stream) in waiting.into_iter().enumerate() {
            let mut answer = Vec::new();
            let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
            let answer = String::from_utf8_lossy(&answer);
            assert!(read.is_ok() && is_whole(&answer), "round {round}, request {number}: {read:?} {answer}");
        }
        assert_eq!(stage.bearward.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn r149_a_request_under_way_is_finished_and_nobody_else_comes_in() {
    let stage = Stage::new("client_credentials", Duration::from_secs(300)).await;
    let address = stage.bearward.address("api").await;
    stage.api.answer_next(
        "/slow",
        Answer::status(StatusCode::OK).content("at last").after(Duration::from_secs(5)),
    );
    let slow = tokio::spawn(async move { ask(&mut Application::new(address), "/slow").await });
    until("the API works on it", || stage.api.counts().api_requests == 1).await;
    stage.bearward.signal("TERM");
    until("the door is closed", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(!slow.is_finished(), "the door closes first");
    let answer = slow.await.unwrap();
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"at last"[..]));
    assert_eq!(stage.bearward.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM")] {
        let stage = Stage::new("client_credentials", Duration::from_secs(300)).await;
        let address = stage.bearward.address("api").await;
        stage.api.answer_next("/never", Answer::silence());
        let never = tokio::spawn(async move { Application::new(address).send(get("/never")).await });
        until("the API works on it", || stage.api.counts().api_requests == 1).await;
        stage.bearward.signal(first);
        stage.stopping().await;
        let begun = Instant::now();
        stage.bearward.signal(second);
        assert_eq!(stage.bearward.ended().await.code(), Some(1));
        // Without the second signal it would have waited for drain_timeout, 30 s.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(never.await.unwrap().is_err(), "its connection is cut");
    }
}

/// No request waits for this refresh; only the refresh token is at stake.
#[tokio::test]
async fn r130_r149_a_refresh_under_way_ends_before_the_process_does() {
    let stage = Stage::new("refresh_token", Duration::from_secs(2)).await;
    let address = stage.bearward.address("api").await;
    assert_eq!(ask(&mut Application::new(address), "/").await.status(), 200);
    stage.authorization_server.hold_token_responses();
    let granted = stage.authorization_server.counts().granted;
    until("a refresh token has been spent", || stage.authorization_server.counts().granted > granted).await;
    assert!(!stage.store().contains(&stage.authorization_server.active_refresh_tokens()[0]));
    stage.bearward.signal("TERM");
    stage.stopping().await;
    until("the door is closed", || std::net::TcpStream::connect(address).is_err()).await;
    stage.authorization_server.release_token_responses();
    let Stage { bearward, authorization_server, folder, .. } = stage;
    assert_eq!(bearward.ended().await.code(), Some(0));
    let store = stored(folder.path().join("store"));
    assert!(store.contains(&authorization_server.active_refresh_tokens()[0]), "the next one is on disk");
}

#[tokio::test]
async fn r149_a_request_that_waits_for_its_token_gets_it_and_its_answer() {
    let stage = Stage::new("refresh_token", Duration::from_secs(300)).await;
    let address = stage.bearward.address("api").await;
    assert_eq!(ask(&mut Application::new(address), "/").await.status(), 200);
    stage.authorization_server.hold_token_responses();
    stage.authorization_server.revoke_all();
    let waiting = tokio::spawn(async move { ask(&mut Application::new(address), "/").await });
    until("a refresh token has been spent", || stage.authorization_server.counts().granted == 2).await;
    stage.bearward.signal("TERM");
    stage.stopping().await;
    stage.authorization_server.release_token_responses();
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(stage.bearward.ended().await.code(), Some(0));
}

/// A closed loop over many applications, each request with a path of its own.
#[derive(Debug, Default)]
struct Load {
    signalled: AtomicBool,
    answered: AtomicU64,
    number: AtomicU64,
}

/// A request without a whole answer.
#[derive(Debug)]
struct Lost {
    path: String,
    how: String,
    before_the_signal: bool,
}

impl Load {
    fn next_path(&self) -> String {
        format!("/{}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// Until nobody listens any more.
    async fn on_one_connection(&self, address: SocketAddr) -> Vec<Lost> {
        let (mut application, mut lost) = (Application::new(address), Vec::new());
        loop {
            let path = self.next_path();
            let before_the_signal = !self.signalled.load(Ordering::SeqCst);
            match tokio::time::timeout(PATIENCE, application.send(get(&path))).await.expect("an end") {
                Ok(answer) => {
                    assert_eq!(answer.status(), 200, "{path}");
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(NoAnswer::Connect(error)) => {
                    assert!(self.signalled.load(Ordering::SeqCst), "refused before the signal: {error}");
                    return lost;
                }
                Err(error) => lost.push(Lost { path, how: format!("{error:?}"), before_the_signal }),
            }
        }
    }

    async fn on_new_connections(&self, address: SocketAddr) -> Vec<Lost> {
        let mut lost = Vec::new();
        loop {
            let path = self.next_path();
            let connected = TcpStream::connect(address).await;
            let mut before_the_signal = false;
            let Ok(mut stream) = connected else {
                assert!(self.signalled.load(Ordering::SeqCst), "refused before the signal");
                return lost;
            };
            let answer = async {
                let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                before_the_signal = !self.signalled.load(Ordering::SeqCst);
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await?;
                Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
            };
            let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an end");
            match answer {
                Ok(answer) if is_whole(&answer) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                answer => lost.push(Lost { path, how: format!("{answer:?}"), before_the_signal }),
            }
        }
    }
}

fn is_whole(answer: &str) -> bool {
    let Some((head, content)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    head.starts_with("HTTP/1.1 200 ") && length.and_then(|length| length.parse().ok()) == Some(content.len())
}

struct Stage {
    bearward: Process,
    authorization_server: Simulator,
    api: Resources,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new(grant_type: &str, lifetime: Duration) -> Self {
        let authorization_server =
            AuthorizationServer::new().rotating().lifetime(lifetime).start().await.unwrap();
        let api = ResourceServer::new(&authorization_server).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        let first = match grant_type {
            "refresh_token" => format!("refresh_token = {FIRST_REFRESH_TOKEN:?}"),
            _ => String::new(),
        };
        let configuration = format!(
            r#"
            store = {{ path = "{}" }}

            [tokens.api]
            grant_type = "{grant_type}"
            token_endpoint = "{}/token"
            client_id = "app"
            client_secret = "secret"
            {first}

            [upstreams.api]
            url = "{}"
            token = "api"
            listen = "127.0.0.1:0"
            "#,
            folder.path().join("store").display(),
            authorization_server.url(),
            api.url()
        );
        fs::write(&file, configuration).unwrap();
        Self { bearward: Process::run(&file), authorization_server, api, folder }
    }

    async fn stopping(&self) {
        until("it is stopping", || self.bearward.log().contains("stopping:")).await;
    }

    fn store(&self) -> String {
        stored(self.folder.path().join("store"))
    }
}

/// The current record in the store.
fn stored(store: PathBuf) -> String {
    let entries = fs::read_dir(store).unwrap().flatten().map(|entry| entry.path());
    let current = entries.into_iter().find(|path| path.extension() == Some("json".as_ref()));
    fs::read_to_string(current.expect("a record")).unwrap()
}
