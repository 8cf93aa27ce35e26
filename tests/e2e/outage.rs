//! The authorization server is gone, limits, or refuses: what the application sees, and how often the server is asked.

use std::time::{Duration, Instant, SystemTime};

use bearward::demo::simulator::{
    Answer, AuthorizationServer, Outcome, ResourceServer, Resources, Simulator, authorization_server,
};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;

use crate::support::{
    application, ask,
    outside::{field, json, look, status},
    start, until,
};

/// Much longer than anything here may take: whoever waits this long instead of being told at once is found out.
const TOKEN_TIMEOUT: &str = "10m";

fn configuration(server: &Simulator, api: &Resources, token: &str) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}
        admin = {{ listen = "127.0.0.1:0" }}

        [tokens.key]
        grant_type = "client_credentials"
        token_endpoint = "{}/token"
        client_id = "app"
        client_secret = "secret"
        token_timeout = "{TOKEN_TIMEOUT}"
        {token}

        [upstreams.api]
        url = "{}"
        token = "key"
        listen = "127.0.0.1:0"
        "#,
        server.url(),
        api.url()
    )
}

/// What an application is told that gets no token: every member and field that SPEC promises.
fn expect_problem(answer: &Response<Bytes>, status: StatusCode, token: &str) -> Value {
    assert_eq!(answer.status(), status, "{:?}", answer.body());
    assert_eq!(field(answer, "content-type"), "application/problem+json");
    assert_eq!(field(answer, "cache-control"), "no-store");
    assert!(field(answer, "proxy-status").starts_with("bearward; error="), "{answer:?}");
    let problem = json(answer);
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["upstream"], "api");
    assert_eq!(problem["token"], token);
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    problem
}

fn retry_after(answer: &Response<Bytes>) -> u64 {
    field(answer, "retry-after").parse().expect("whole seconds")
}

#[tokio::test]
async fn r020_a_held_token_serves_to_its_expiry_and_not_beyond() {
    const LIFETIME: Duration = Duration::from_secs(4);
    let server = AuthorizationServer::new().lifetime(LIFETIME).start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let began = Instant::now();
    let bearward = start(&configuration(&server, &api, ""));
    let mut application = application(&bearward, "api");
    assert_eq!(ask(&mut application, "/orders").await.status(), 200);
    drop(server);

    let refused = loop {
        let answer = ask(&mut application, "/orders").await;
        if answer.status() != 200 {
            break answer;
        }
        assert!(began.elapsed() < 10 * LIFETIME, "a token of 4 s serves for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(began.elapsed() >= LIFETIME, "it was given up {:?} after its start", began.elapsed());
    expect_problem(&refused, StatusCode::SERVICE_UNAVAILABLE, "key");
    assert!((1..=30).contains(&retry_after(&refused)), "{refused:?}");

    let before = api.counts().api_requests;
    for _ in 0..50 {
        let asked = Instant::now();
        expect_problem(&ask(&mut application, "/orders").await, StatusCode::SERVICE_UNAVAILABLE, "key");
        assert!(asked.elapsed() < Duration::from_secs(30), "it waited instead of being told at once");
    }
    let counts = api.counts();
    assert_eq!(counts.api_requests, before, "without a token nothing is sent");
    assert_eq!((counts.expired_tokens_seen, counts.bare_requests_seen), (0, 0));

    let admin = bearward.address("admin").unwrap();
    let seen = status(admin).await;
    assert_eq!(seen["tokens"]["key"]["state"], "expired", "{seen}");
    assert!(seen["tokens"]["key"]["last_error"].as_str().is_some_and(|words| words.contains("/token")));
    assert_eq!(seen["tokens"]["key"]["expires_at"], Value::Null);
    assert_eq!(look(admin, "/readyz").await.status(), 503);
    bearward.stop().await;
}

#[tokio::test]
async fn it_is_back_within_one_backoff_step_and_retry_after_says_when() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.fail_token_endpoint(Answer::reset());
    let bearward = start(&configuration(&server, &api, ""));
    let mut application = application(&bearward, "api");
    until("three attempts failed", || server.connections() >= 3).await;
    let refused = ask(&mut application, "/orders").await;
    expect_problem(&refused, StatusCode::SERVICE_UNAVAILABLE, "key");
    let promised = Duration::from_secs(retry_after(&refused));
    assert!(promised <= Duration::from_secs(5), "the third step of backoff is 4.5 s: {promised:?}");

    server.mend_token_endpoint();
    let failed = server.connections();
    tokio::time::sleep(promised).await;
    assert_eq!(ask(&mut application, "/orders").await.status(), 200, "Retry-After kept its word");
    assert_eq!(server.connections(), failed + 1, "the next attempt brought the token");
    bearward.stop().await;
}

/// A real minute is too long for a test: this is its first quarter, with the four or five tries that the steps of backoff
/// allow in it; that no minute whatever holds more than six is held by `token::schedule` on numbers and by
/// `token::tests` on a paused clock.
#[tokio::test]
async fn r123_however_many_requests_ask_a_server_that_is_down_is_called_a_few_times_a_minute() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.fail_token_endpoint(Answer::reset());
    let bearward = start(&configuration(&server, &api, ""));
    let mut application = application(&bearward, "api");
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(15) {
        expect_problem(&ask(&mut application, "/orders").await, StatusCode::SERVICE_UNAVAILABLE, "key");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let calls = server.connections();
    assert!((2..=5).contains(&calls), "{calls} calls for {asked} requests");
    assert_eq!(server.counts().token_requests, calls, "each connection carried one request");
    assert_eq!(api.counts().api_requests, 0);
    bearward.stop().await;
}

/// Two tokens of one endpoint, the second one got at its first request.
fn two_tokens(server: &Simulator, api: &Resources) -> String {
    let lazy = format!(
        r#"
        [tokens.other]
        grant_type = "client_credentials"
        token_endpoint = "{}/token"
        client_id = "other"
        client_secret = "secret"
        acquire = "lazy"
        token_timeout = "{TOKEN_TIMEOUT}"

        [upstreams.other]
        url = "{}"
        token = "other"
        listen = "127.0.0.1:0"
        "#,
        server.url(),
        api.url()
    );
    configuration(server, api, "") + &lazy
}

#[tokio::test]
async fn r132_a_limit_holds_for_all_tokens_of_the_endpoint_and_its_retry_after_is_honoured() {
    let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let cases =
        [("60", 30..=60), (in_a_minute.as_str(), 30..=61), ("99999999999999999999999999", 3500..=3600)];
    for (said, expected) in cases {
        for limited in [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
            let answer = Answer::status(limited).field(header::RETRY_AFTER, said);
            let server = AuthorizationServer::new().answer(answer).start().await.unwrap();
            let api = ResourceServer::new(&server).start().await.unwrap();
            let bearward = start(&two_tokens(&server, &api));
            until("the first token is limited", || server.counts().token_requests == 1).await;
            let (mut one, mut other) = (application(&bearward, "api"), application(&bearward, "other"));
            let answer = ask(&mut one, "/orders").await;
            expect_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "key");
            assert!(expected.contains(&retry_after(&answer)), "{limited} {said}: {answer:?}");
            let answer = ask(&mut other, "/orders").await;
            assert_eq!(answer.status(), 503, "the other token waits with it: {:?}", answer.body());
            assert_eq!(json(&answer)["token"], "other");
            assert!(expected.contains(&retry_after(&answer)), "{limited} {said}: {answer:?}");
            assert_eq!(server.counts().token_requests, 1, "{limited} {said}");
            assert_eq!(api.counts().api_requests, 0);
            bearward.stop().await;
        }
    }
}

#[tokio::test]
async fn r132_a_limit_without_retry_after_or_with_a_senseless_one_backs_off_and_ends() {
    for said in [None, Some("soon"), Some("-5"), Some("0")] {
        let server = AuthorizationServer::new().start().await.unwrap();
        let api = ResourceServer::new(&server).start().await.unwrap();
        let mut answer = Answer::html().field(header::SERVER, "a gateway in front");
        if let Some(said) = said {
            answer = answer.field(header::RETRY_AFTER, said);
        }
        // A 403 that is a page, as Cybrid's rate limit may be, and no OAuth error: never taken for bad credentials.
        server.fail_token_endpoint(Answer::status(StatusCode::FORBIDDEN).content("<p>Forbidden"));
        server.answer_next_token_request(answer);
        let bearward = start(&two_tokens(&server, &api));
        let (mut one, mut other) = (application(&bearward, "api"), application(&bearward, "other"));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            for application in [&mut one, &mut other] {
                let answer = ask(application, "/orders").await;
                assert_eq!(answer.status(), 503, "{:?}", answer.body());
                assert!((1..=30).contains(&retry_after(&answer)), "{answer:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let calls = server.counts().token_requests;
        assert!((2..=8).contains(&calls), "{calls} calls of two tokens in 3 s");
        server.mend_token_endpoint();
        for application in [&mut one, &mut other] {
            let mut last = StatusCode::SERVICE_UNAVAILABLE;
            while last == StatusCode::SERVICE_UNAVAILABLE {
                tokio::time::sleep(Duration::from_millis(50)).await;
                last = ask(application, "/orders").await.status();
                assert!(began.elapsed() < crate::support::PATIENCE, "the limit never ended");
            }
            assert_eq!(last, 200);
        }
        bearward.stop().await;
    }
}

#[tokio::test]
async fn r131_refused_credentials_are_a_502_and_are_not_tried_again_and_again() {
    let server = AuthorizationServer::new().client("app", "another secret").start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&configuration(&server, &api, ""));
    let mut application = application(&bearward, "api");
    for _ in 0..100 {
        let answer = ask(&mut application, "/orders").await;
        let problem = expect_problem(&answer, StatusCode::BAD_GATEWAY, "key");
        assert!(
            problem["detail"].as_str().is_some_and(|words| words.contains("invalid_client")),
            "{problem}"
        );
    }
    assert_eq!(server.counts().token_requests, 1);
    assert_eq!(api.counts().api_requests, 0);
    let seen = status(bearward.address("admin").unwrap()).await;
    assert_eq!(seen["tokens"]["key"]["state"], "failed", "{seen}");
    bearward.stop().await;
}

#[tokio::test]
async fn r131_a_rotated_secret_file_ends_a_refusal_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "old").unwrap();
    let server = AuthorizationServer::new().client("app", "new").start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let by_file = format!("client_secret = {{ file = {:?} }}", secret.display().to_string());
    let configuration = configuration(&server, &api, "").replace("client_secret = \"secret\"", &by_file);
    let bearward = start(&configuration);
    let mut application = application(&bearward, "api");
    assert_eq!(ask(&mut application, "/orders").await.status(), 502);
    std::fs::write(&secret, "new\n").unwrap();
    let began = Instant::now();
    while ask(&mut application, "/orders").await.status() != 200 {
        assert!(began.elapsed() < crate::support::PATIENCE, "the new secret was never used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.counts().refused <= 2, "{:?}", server.counts());
    bearward.stop().await;
}

#[tokio::test]
async fn r131_a_dead_refresh_token_falls_back_to_the_password() {
    let server =
        AuthorizationServer::new().lifetime(Duration::from_secs(2)).rotating().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let user = "username = \"someone\"\npassword = \"their password\"";
    let configuration = configuration(&server, &api, user).replace("client_credentials", "password");
    let bearward = start(&configuration);
    let mut application = application(&bearward, "api");
    let grants = || server.token_requests().into_iter().map(|asked| asked.grant).collect::<Vec<_>>();
    let mut ended = false;
    let began = Instant::now();
    loop {
        assert_eq!(ask(&mut application, "/orders").await.status(), 200, "the application sees nothing");
        let grants = grants();
        if !ended && grants.iter().any(|grant| grant == "refresh_token") {
            server.end_logins();
            ended = true;
        }
        if grants.iter().filter(|grant| *grant == "password").count() == 2 {
            break;
        }
        assert!(began.elapsed() < crate::support::PATIENCE, "no second login: {grants:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked = server.token_requests();
    let [.., refused, login] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(
        (refused.grant.as_str(), &refused.outcome),
        ("refresh_token", &Outcome::Refused("invalid_grant"))
    );
    assert!(matches!(login.outcome, Outcome::Granted { .. }), "{login:?}");
    assert_eq!(server.counts().dead_refresh_tokens_seen, 1, "the dead one was sent once");
    bearward.stop().await;
}

#[tokio::test]
async fn r131_without_a_way_to_start_afresh_a_login_is_required_and_named() {
    let server = AuthorizationServer::new().rotating().start().await.unwrap();
    server.end_logins();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let first = format!("refresh_token = {:?}", authorization_server::FIRST_REFRESH_TOKEN);
    let configuration = configuration(&server, &api, &first).replace("client_credentials", "refresh_token");
    let bearward = start(&configuration);
    let mut application = application(&bearward, "api");
    for _ in 0..20 {
        let answer = ask(&mut application, "/orders").await;
        let problem = expect_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "key");
        assert_eq!(problem["title"], "A person has to log in");
    }
    let admin = bearward.address("admin").unwrap();
    let ready = look(admin, "/readyz").await;
    assert_eq!(ready.status(), 503);
    let words = String::from_utf8_lossy(ready.body()).into_owned();
    assert!(words.starts_with("key is login_required: "), "{words}");
    let seen = status(admin).await;
    assert_eq!(seen["tokens"]["key"]["state"], "login_required", "{seen}");
    assert!(seen["tokens"]["key"]["last_error"].is_string(), "{seen}");
    assert_eq!(server.counts().dead_refresh_tokens_seen, 1, "the dead one was sent once");
    assert_eq!(api.counts().api_requests, 0);
    bearward.stop().await;
}
