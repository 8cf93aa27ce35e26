//! A token that only a person can bring: what is said until then, and how soon it is used.

use std::{fs, path::PathBuf, time::Duration};

use bearward::{
    clock::Clock,
    config::Config,
    demo::simulator::{
        AuthorizationServer, ResourceServer, Resources, Simulator, authorization_server::FIRST_REFRESH_TOKEN,
    },
    oauth::Granted,
    secret::Secret,
    token::{
        Store,
        login::{self, Chain},
    },
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use serde_json::Value;

use crate::support::{
    Application, PATIENCE, Process, ask,
    outside::{self, json, look, status},
    until,
};

const PERSONAL: &str = r#"grant_type = "authorization_code"
            authorization_endpoint = "https://id.example/authorize""#;

#[tokio::test]
async fn a_login_is_asked_for_everywhere_and_used_without_a_restart_and_a_logout_as_well() {
    let place = Place::new(PERSONAL, Duration::from_secs(300)).await;
    let bearward = Process::run(&place.file);
    let mut application = Application::new(bearward.address("api").await);
    let admin = bearward.address("admin").await;
    let words = |reason: &str| {
        format!("a person has to log in: run `bearward login api` or open http://{admin}/ ({reason})")
    };
    let nobody = words("nobody has logged in yet");
    for _ in 0..20 {
        expect_login(&ask(&mut application, "/orders").await, "api", &nobody);
    }
    let ready = look(admin, "/readyz").await;
    assert_eq!((ready.status().as_u16(), text(&ready)), (503, format!("api is login_required: {nobody}\n")));
    let seen = &status(admin).await["tokens"]["api"];
    assert_eq!((&seen["state"], &seen["last_error"]), (&"login_required".into(), &nobody.as_str().into()));
    expect_metrics(admin, 1, 1).await;
    let alone = outside::bearward(place.folder.path(), &["token", "api", "-c", "bearward.toml"], &[]).await;
    assert_eq!(alone.status, 4, "{alone:?}");
    assert!(alone.err.contains("run `bearward login api` (nobody has logged in yet)"), "{alone:?}");
    assert_eq!(bearward.log().matches("login required").count(), 1, "{}", bearward.log());
    assert_eq!(place.authorization_server.counts().token_requests, 0);

    let one = place.somebody_logs_in(FIRST_REFRESH_TOKEN).await;
    serves(&mut application, &place, &one).await;
    expect_metrics(admin, 1, 0).await;
    let another = place.somebody_logs_in(&one.refresh_token).await;
    serves(&mut application, &place, &another).await;
    assert_eq!(place.authorization_server.counts().token_requests, 2, "the two logins'");

    login::forget(&place.store(), &place.chain()).await.unwrap();
    let refused = comes_to(&mut application, 503).await;
    expect_login(&refused, "api", &words("somebody has logged out"));
    expect_metrics(admin, 2, 1).await;
    let again = place.somebody_logs_in(&another.refresh_token).await;
    serves(&mut application, &place, &again).await;
    for secret in [one, another, again].iter().flat_map(|login| [&login.access_token, &login.refresh_token]) {
        assert!(!bearward.log().contains(secret.as_str()), "{}", bearward.log());
    }
}

#[tokio::test]
async fn a_login_lasts_across_refreshes_and_a_restart_after_its_access_token_has_expired() {
    let place = Place::new(PERSONAL, Duration::from_secs(1)).await;
    place.somebody_logs_in(FIRST_REFRESH_TOKEN).await;
    for _ in 0..2 {
        let bearward = Process::run(&place.file);
        let mut application = Application::new(bearward.address("api").await);
        let before = place.authorization_server.counts().token_requests;
        while place.authorization_server.counts().token_requests < before + 3 {
            assert_eq!(ask(&mut application, "/").await.status(), 200, "{}", bearward.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bearward.signal("TERM");
        bearward.ended().await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let counts = place.authorization_server.counts();
    assert_eq!((counts.dead_refresh_tokens_seen, counts.unknown_refresh_tokens_seen), (0, 0));
}

#[tokio::test]
async fn what_is_got_with_a_token_that_needs_a_person_names_that_one() {
    let place = Place::new(PERSONAL, Duration::from_secs(300)).await;
    let child = format!(
        r#"
            [tokens.child]
            grant_type = "request"
            url = "{}/token"
            authorize_with = "api"
            acquire = "lazy"

            [upstreams.child]
            url = "{}"
            token = "child"
            listen = "127.0.0.1:0"
        "#,
        place.authorization_server.url(),
        place.api.url()
    );
    fs::write(&place.file, fs::read_to_string(&place.file).unwrap() + &child).unwrap();
    let bearward = Process::run(&place.file);
    let admin = bearward.address("admin").await;
    let mut application = Application::new(bearward.address("child").await);
    let words = format!(
        "a person has to log in: run `bearward login api` or open http://{admin}/ (nobody has logged in yet)"
    );
    expect_login(&ask(&mut application, "/").await, "child", &words);
    assert_eq!(place.authorization_server.counts().token_requests, 0);
}

#[tokio::test]
async fn a_logout_where_no_person_is_needed_brings_a_new_token() {
    let place = Place::new(r#"grant_type = "client_credentials""#, Duration::from_secs(300)).await;
    let bearward = Process::run(&place.file);
    let mut application = Application::new(bearward.address("api").await);
    assert_eq!(ask(&mut application, "/").await.status(), 200);
    let held = login::forget(&place.store(), &place.chain()).await.unwrap();
    until("there is another", || place.authorization_server.counts().token_requests == 2).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while place.last_token().as_deref() == held.access_token.as_ref().map(Secret::expose) {
        assert_eq!(ask(&mut application, "/").await.status(), 200);
        assert!(std::time::Instant::now() < deadline, "the old one is still used");
    }
    assert_eq!(place.authorization_server.counts().token_requests, 2);
}

/// A configuration with one token `api`, its store, and the parties.
struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
    authorization_server: Simulator,
    api: Resources,
}

/// What somebody's login brought.
struct LoggedIn {
    access_token: String,
    refresh_token: String,
}

impl Place {
    async fn new(grant: &str, lifetime: Duration) -> Self {
        let server = AuthorizationServer::new().client("app", "secret").rotating().lifetime(lifetime);
        let authorization_server = server.start().await.unwrap();
        let api = ResourceServer::new(&authorization_server).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        let configuration = format!(
            r#"
            store = {{ path = "{store}" }}
            log = {{ format = "json" }}
            admin = {{ listen = "127.0.0.1:0" }}

            [tokens.api]
            {grant}
            token_endpoint = "{authorization_server}/token"
            client_id = "app"
            client_secret = "secret"

            [upstreams.api]
            url = "{api}"
            token = "api"
            listen = "127.0.0.1:0"
            "#,
            store = folder.path().join("store").display(),
            authorization_server = authorization_server.url(),
            api = api.url(),
        );
        fs::write(&file, configuration).unwrap();
        Self { folder, file, authorization_server, api }
    }

    fn store(&self) -> Store {
        Store::folder(self.folder.path().join("store"), Clock::system().now()).unwrap()
    }

    fn chain(&self) -> Chain {
        let config = Config::load(Some(&self.file)).unwrap_or_else(|problems| panic!("{problems}")).config;
        let token = &config.tokens["api"];
        Chain {
            name: "api".to_owned(),
            identity: token.grant.identity(None),
            default_lifetime: token.policy.default_lifetime,
            first: None,
        }
    }

    /// As `bearward login` does once the authorization server has granted something; it is granted for a refresh token here.
    async fn somebody_logs_in(&self, refresh_token: &str) -> LoggedIn {
        let asked = Clock::system().now();
        let request = Request::post("/token")
            .header("authorization", "Basic YXBwOnNlY3JldA==")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(format!("grant_type=refresh_token&refresh_token={refresh_token}")))
            .unwrap();
        let answer = Application::new(self.authorization_server.address()).send(request).await.unwrap();
        let granted = json(&answer);
        let text = |name: &str| granted[name].as_str().unwrap_or_else(|| panic!("{granted}")).to_owned();
        let (access_token, refresh_token) = (text("access_token"), text("refresh_token"));
        let granted = Granted {
            access_token: Secret::new(access_token.clone()),
            authorization: HeaderValue::try_from(format!("Bearer {access_token}")).unwrap(),
            lifetime: granted["expires_in"].as_u64().map(Duration::from_secs),
            refresh_token: Some(Secret::new(refresh_token.clone())),
            scope: None,
        };
        login::keep(&self.store(), &self.chain(), &granted, asked).await.unwrap();
        LoggedIn { access_token, refresh_token }
    }

    /// The token of the last request that reached the API.
    fn last_token(&self) -> Option<String> {
        let last = self.api.requests().pop()?;
        last.call.bearer().map(str::to_owned)
    }
}

async fn comes_to(application: &mut Application, status: u16) -> Response<Bytes> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask(application, "/").await;
        if answer.status() == status {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "it never came to {status}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until requests carry what `login` brought.
async fn serves(application: &mut Application, place: &Place, login: &LoggedIn) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while place.last_token().as_ref() != Some(&login.access_token) {
        comes_to(application, 200).await;
        assert!(std::time::Instant::now() < deadline, "another token is still used");
    }
}

fn expect_login(answer: &Response<Bytes>, token: &str, words: &str) {
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert!(!answer.headers().contains_key("retry-after"), "{answer:?}");
    let problem: Value = json(answer);
    assert_eq!(
        (problem["title"].as_str(), problem["token"].as_str()),
        (Some("A person has to log in"), Some(token))
    );
    assert_eq!(problem["detail"], words);
}

async fn expect_metrics(admin: std::net::SocketAddr, times: u64, now: u64) {
    let shown = text(&look(admin, "/metrics").await);
    for line in [
        format!("bearward_login_required_total{{token=\"api\"}} {times}\n"),
        format!("bearward_token_login_required{{token=\"api\"}} {now}\n"),
    ] {
        assert!(shown.contains(&line), "{line} is not in\n{shown}");
    }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}
