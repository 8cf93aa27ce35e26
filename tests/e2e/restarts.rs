//! What a restart, a second process or a broken disk may cost: nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bearward::demo::simulator::{
    AuthorizationServer, ResourceServer, Simulator, authorization_server::FIRST_REFRESH_TOKEN,
};

use crate::support::{Application, Process, ask, get, until};

/// The window that nobody can close: the authorization server has taken the refresh token and the next one is not on our
/// disk yet. Whoever dies in it has lost both. So a kill comes only after the server was made to look at no further token
/// request, and the refresh token that it holds for good stands in our store. Nothing else is spared: the process dies idle,
/// under load, with its mark written, with its token request sent, right after its file was renamed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r130_r142_forty_restarts_three_in_four_by_kill_lose_no_refresh_token() {
    let authorization_server = rotating(Duration::from_secs(1)).await;
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let place = Place::new(&authorization_server, &api.url(), "");
    let (mut died_asking, mut put_off) = (0, 0);
    for restart in 0..40 {
        let bearward = Process::run(&place.file);
        let mut application = Application::new(bearward.address("api").await);
        put_off += served(&mut application, "/first", &bearward).await;
        let moment = Instant::now() + Duration::from_millis(fastrand::u64(0..900));
        while Instant::now() < moment {
            put_off += served(&mut application, "/load", &bearward).await;
        }
        if restart % 4 == 3 {
            bearward.signal("TERM");
            assert_eq!(bearward.ended().await.code(), Some(0));
            continue;
        }
        authorization_server.hold_token_requests();
        if restart % 4 == 1 {
            until("a token request waits", || authorization_server.token_requests_waiting() > 0).await;
        }
        until("the refresh token is on disk", || place.holds(&authorization_server)).await;
        died_asking += usize::from(authorization_server.token_requests_waiting() > 0);
        bearward.signal("KILL");
        bearward.ended().await;
        everybody_is_gone(&authorization_server).await;
        authorization_server.release_token_requests();
        if restart % 5 == 0 {
            dies_at_its_start(&place, &authorization_server).await;
        }
    }
    let counts = authorization_server.counts();
    assert!(put_off <= 3, "a stall now and then is the machine's; this is not: {put_off}");
    assert!(died_asking >= 10, "the kills missed what they were for: {died_asking}");
    assert_eq!((counts.dead_refresh_tokens_seen, counts.unknown_refresh_tokens_seen), (0, 0));
    assert_eq!(counts.granted, counts.token_requests, "a token request was not granted");
    assert_eq!(api.counts().unknown_tokens_seen, 0);
}

/// Asks until it is served, and says how often it was put off. A machine that stands still for a second outlasts a token of
/// one second, and then there is none for a moment; anything else that is no 200 is a failure.
async fn served(application: &mut Application, path: &str, bearward: &Process) -> usize {
    for put_off in 0..3 {
        let answer = ask(application, path).await;
        if answer.status() == 200 {
            return put_off;
        }
        assert_eq!(answer.status(), 503, "{answer:?}; the log:\n{}", bearward.log());
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}; the log:\n{}", bearward.log());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{path} was not served; the log:\n{}", bearward.log());
}

#[tokio::test]
async fn a_restart_inside_a_lifetime_costs_no_token_request() {
    let authorization_server = rotating(Duration::from_secs(300)).await;
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let place = Place::new(&authorization_server, &api.url(), "");
    for signal in ["KILL", "TERM", "KILL", "TERM"] {
        let bearward = Process::run(&place.file);
        let mut application = Application::new(bearward.address("api").await);
        assert_eq!(ask(&mut application, "/").await.status(), 200);
        bearward.signal(signal);
        bearward.ended().await;
    }
    assert_eq!(authorization_server.counts().token_requests, 1);
}

/// A share of 0.1, less its jitter, makes a rotation every 100 to 200 ms. The bound is exact: whoever asks has seen that the
/// newest token, its own and the stored one, is 100 ms old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r143_two_processes_on_one_store_rotate_two_hundred_times_and_lose_none() {
    let authorization_server = rotating(Duration::from_secs(2)).await;
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let place = Place::new(&authorization_server, &api.url(), "refresh_at = 0.1");
    let begun = Instant::now();
    let both = [Process::run(&place.file), Process::run(&place.file)];
    let mut applications = Vec::new();
    for bearward in &both {
        applications.push(Application::new(bearward.address("api").await));
    }
    while authorization_server.counts().granted <= 200 {
        for (application, bearward) in applications.iter_mut().zip(&both) {
            let answer = ask(application, "/").await;
            assert_eq!(answer.status(), 200, "the log:\n{}", bearward.log());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    authorization_server.hold_token_requests();
    until("the refresh token is on disk", || place.holds(&authorization_server)).await;
    let counts = authorization_server.counts();
    let most = begun.elapsed().as_millis() / 100 + 1;
    assert!(u128::from(counts.token_requests) <= most, "{counts:?}, and time for {most}");
    assert_eq!(counts.token_requests, counts.granted);
    assert_eq!((counts.dead_refresh_tokens_seen, counts.unknown_refresh_tokens_seen), (0, 0));
    assert_eq!(api.counts().unknown_tokens_seen, 0);
    assert_eq!(place.generation(), counts.granted, "each rotation is one generation");
    for bearward in &both {
        let got = bearward.log().matches(r#""message":"token got""#).count();
        assert!(got > 0, "one of the two never had to ask, so this showed nothing");
    }
    authorization_server.release_token_requests();
}

#[tokio::test]
async fn r142_a_store_that_cannot_be_written_is_found_out_before_a_refresh_token_is_spent() {
    let authorization_server = rotating(Duration::from_secs(300)).await;
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let place = Place::new(&authorization_server, &api.url(), "");
    let bearward = Process::run(&place.file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    place.breaks();
    authorization_server.revoke_all();
    assert_eq!(ask(&mut application, "/").await.status(), 503);
    assert_eq!(authorization_server.counts().token_requests, 1, "nothing was spent");
    assert!(bearward.log().contains("the store at"), "{}", bearward.log());
    place.mends();
    serves_again(&mut application).await;
    assert_eq!(authorization_server.counts().dead_refresh_tokens_seen, 0);
}

#[tokio::test]
async fn r142_a_rotated_refresh_token_is_not_used_before_it_is_on_disk() {
    let authorization_server = rotating(Duration::from_secs(300)).await;
    let api = ResourceServer::new(&authorization_server).start().await.unwrap();
    let place = Place::new(&authorization_server, &api.url(), "");
    let bearward = Process::run(&place.file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    authorization_server.hold_token_responses();
    authorization_server.revoke_all();
    let meanwhile = async {
        until("it has rotated", || authorization_server.counts().granted == 2).await;
        place.breaks();
        authorization_server.release_token_responses();
    };
    let (answer, ()) = tokio::join!(ask(&mut application, "/"), meanwhile);
    assert_eq!(answer.status(), 503, "its token must not be used yet");
    let sent = api.counts().api_requests;
    until("it says so", || bearward.log().contains("a rotated refresh token could not be stored")).await;
    assert_eq!(ask(&mut application, "/").await.status(), 503);
    assert_eq!(api.counts().api_requests, sent, "nothing went to the API");
    place.mends();
    serves_again(&mut application).await;
    assert!(place.holds(&authorization_server), "it is on disk");
    assert_eq!(authorization_server.counts().token_requests, 2, "the granted token was kept all the time");
    bearward.signal("KILL");
    bearward.ended().await;
    authorization_server.revoke_all();
    let bearward = Process::run(&place.file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    assert_eq!(authorization_server.counts().dead_refresh_tokens_seen, 0);
}

/// A configuration and its store.
struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new(authorization_server: &Simulator, api: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        let (authorization_server, store) = (authorization_server.url(), store(folder.path()));
        let store = store.display();
        let configuration = format!(
            r#"
            store = {{ path = "{store}" }}
            log = {{ format = "json" }}

            [tokens.api]
            grant_type = "refresh_token"
            token_endpoint = "{authorization_server}/token"
            client_id = "app"
            client_secret = "secret"
            refresh_token = "{FIRST_REFRESH_TOKEN}"
            {more}

            [upstreams.api]
            url = "{api}"
            token = "api"
            listen = "127.0.0.1:0"
            "#
        );
        fs::write(&file, configuration).unwrap();
        Self { folder, file }
    }

    /// Whether the refresh token that the server would take stands in the store.
    fn holds(&self, authorization_server: &Simulator) -> bool {
        let good = authorization_server.active_refresh_tokens();
        // Until the first one was used, it stands in the configuration.
        good.iter().any(|good| good == FIRST_REFRESH_TOKEN || self.record().contains(good.as_str()))
    }

    fn generation(&self) -> u64 {
        let record: serde_json::Value = serde_json::from_str(&self.record()).unwrap();
        record["record"]["generation"].as_u64().unwrap()
    }

    fn record(&self) -> String {
        let entries = fs::read_dir(store(self.folder.path())).into_iter().flatten().flatten();
        let current =
            entries.map(|entry| entry.path()).find(|path| path.extension() == Some("json".as_ref()));
        current.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
    }

    /// The store's folder goes, and a file takes its place: whoever runs this, root too, cannot write there.
    fn breaks(&self) {
        let store = store(self.folder.path());
        fs::rename(&store, store.with_extension("away")).unwrap();
        fs::write(&store, "no folder").unwrap();
    }

    fn mends(&self) {
        let store = store(self.folder.path());
        fs::remove_file(&store).unwrap();
        fs::rename(store.with_extension("away"), &store).unwrap();
    }
}

fn store(folder: &Path) -> PathBuf {
    folder.join("store")
}

async fn rotating(lifetime: Duration) -> Simulator {
    AuthorizationServer::new().client("app", "secret").rotating().lifetime(lifetime).start().await.unwrap()
}

/// Waits until no connection of a dead process is left, one still in the queue included: an answer to us says that the
/// queue before us is empty.
async fn everybody_is_gone(authorization_server: &Simulator) {
    let mut last = Application::new(authorization_server.address());
    last.send(get("/")).await.unwrap();
    drop(last);
    until("its connections are closed", || authorization_server.open_connections() == 0).await;
}

/// One that dies before it serves, at a random moment of its first milliseconds.
async fn dies_at_its_start(place: &Place, authorization_server: &Simulator) {
    authorization_server.hold_token_requests();
    let bearward = Process::run(&place.file);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..100))).await;
    bearward.signal("KILL");
    bearward.ended().await;
    everybody_is_gone(authorization_server).await;
    authorization_server.release_token_requests();
}

async fn serves_again(application: &mut Application) {
    let deadline = Instant::now() + crate::support::PATIENCE;
    while ask(application, "/").await.status() != 200 {
        assert!(Instant::now() < deadline, "it never served again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
