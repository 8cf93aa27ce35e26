//! What a token endpoint may answer instead of a token: each answer has a verdict, and none crashes, loops or reaches an
//! upstream.

use std::time::{Duration, Instant};

use bearward::{
    app::Running,
    demo::simulator::{Answer, AuthorizationServer, ResourceServer, Resources, Simulator, Then},
};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Application, PATIENCE, Process, application, ask,
    outside::{json as parsed, status},
    start, until,
};

fn configuration(server: &Simulator, api: &Resources, token: &str) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}
        admin = {{ listen = "127.0.0.1:0" }}

        [tokens.key]
        grant_type = "client_credentials"
        token_endpoint = "{}/token"
        client_id = "app"
        client_secret = "canary-secret"
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

fn token_response(members: Value) -> Answer {
    let mut whole = json!({ "access_token": "good", "token_type": "Bearer", "expires_in": 300 });
    for (name, value) in members.as_object().expect("members") {
        whole[name] = value.clone();
    }
    whole.as_object_mut().expect("members").retain(|_, value| !value.is_null());
    Answer::json(StatusCode::OK, &whole)
}

/// An answer that brings no token, and a part of the words for it.
async fn expect_verdict(answer: Answer, words: &str) {
    let server = AuthorizationServer::new().start().await.unwrap();
    server.fail_token_endpoint(answer);
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&configuration(&server, &api, ""));
    let mut application = application(&bearward, "api");
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(2) {
        let answer = ask(&mut application, "/orders").await;
        assert_eq!(answer.status(), 503, "{words}: {:?}", answer.body());
        let problem = parsed(&answer);
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(words)),
            "{words}: {problem}"
        );
        assert!(!problem.to_string().contains("canary"), "{problem}");
        assert!(answer.headers().contains_key("retry-after"), "{words}: {answer:?}");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let calls = server.connections();
    assert!((1..=4).contains(&calls), "{words}: {calls} calls for {asked} requests in 2 s");
    assert_eq!(api.counts().api_requests, 0, "{words}: the API saw a request");
    server.mend_token_endpoint();
    expect_recovery(&mut application, words).await;
    let counts = api.counts();
    assert_eq!((counts.bare_requests_seen, counts.unknown_tokens_seen), (0, 0), "{words}");
    bearward.stop().await;
}

async fn expect_recovery(application: &mut Application, words: &str) {
    let began = Instant::now();
    while ask(application, "/orders").await.status() != 200 {
        assert!(began.elapsed() < PATIENCE, "{words}: it never recovered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_answer_that_holds_no_token_is_a_passing_fault() {
    let ok = |body: &str| Answer::status(StatusCode::OK).content(body.to_owned());
    join_all([
        expect_verdict(Answer::html(), "text/html instead of a JSON object"),
        expect_verdict(Answer::empty(), "an empty body instead of a JSON object"),
        expect_verdict(ok("[1]"), "instead of a JSON object"),
        expect_verdict(ok("{\"access_token\": \"cut"), "instead of a JSON object"),
        expect_verdict(token_response(json!({ "access_token": null })), "no access_token"),
        expect_verdict(token_response(json!({ "access_token": "" })), "access_token"),
        expect_verdict(token_response(json!({ "access_token": 42 })), "no access_token"),
        expect_verdict(Answer::status(StatusCode::NO_CONTENT), "answered 204"),
        expect_verdict(
            Answer::status(StatusCode::INTERNAL_SERVER_ERROR).content("<p>canary"),
            "answered 500",
        ),
        expect_verdict(
            Answer::oauth_error(StatusCode::SERVICE_UNAVAILABLE, "invalid_client", "canary-secret"),
            "answered 503",
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_that_is_broken_http_is_a_passing_fault() {
    let huge_head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(200 << 10));
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Field: x\r\n".repeat(2000));
    join_all([
        expect_verdict(Answer::cut(), "the connection was cut"),
        expect_verdict(Answer::reset(), "/token"),
        expect_verdict(Answer::raw("SSH-2.0-OpenSSH_9.6\r\n", Then::Close), "no HTTP"),
        expect_verdict(Answer::raw("\0\u{1}\u{2}\r\n\r\n", Then::Hold), "no HTTP"),
        expect_verdict(Answer::raw(huge_head, Then::Close), "too large"),
        expect_verdict(Answer::raw(many_fields, Then::Close), "too large"),
        expect_verdict(
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n{", Then::Hold),
            "too large",
        ),
    ])
    .await;
}

#[tokio::test]
async fn r127_r128_a_token_that_may_not_be_sent_as_bearer_is_not_sent() {
    let token = |token: &str| token_response(json!({ "access_token": token }));
    join_all([
        expect_verdict(token_response(json!({ "token_type": "mac" })), "only Bearer can be sent"),
        expect_verdict(token_response(json!({ "token_type": "DPoP" })), "only Bearer can be sent"),
        expect_verdict(token_response(json!({ "token_type": 7 })), "token_type"),
        expect_verdict(token("canary\r\nX-Injected: yes"), "RFC 6750 section 2.1"),
        expect_verdict(token("canary token"), "RFC 6750 section 2.1"),
        expect_verdict(token("canary-tökén"), "RFC 6750 section 2.1"),
        expect_verdict(token("canary\u{0}"), "RFC 6750 section 2.1"),
        expect_verdict(token(&"canary".repeat(10_000)), "longer than 32 KiB"),
    ])
    .await;
}

#[tokio::test]
async fn r126_unknown_members_do_no_harm() {
    let server =
        AuthorizationServer::new().member("unknown", json!({ "deep": [1, null] })).start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&configuration(&server, &api, ""));
    assert_eq!(ask(&mut application(&bearward, "api"), "/orders").await.status(), 200);
    bearward.stop().await;
}

/// Seconds until `/status` says that the token expires.
async fn expires_in(bearward: &Running) -> i64 {
    let seen = status(bearward.address("admin").unwrap()).await;
    let at = seen["tokens"]["key"]["expires_at"].as_str().unwrap_or_else(|| panic!("{seen}"));
    at.parse::<jiff::Timestamp>().unwrap().as_second() - jiff::Timestamp::now().as_second()
}

/// A token whose lifetime is said oddly serves, and expires within `expected` seconds from now.
async fn expect_lifetime(members: Value, expected: std::ops::RangeInclusive<i64>) {
    let mut server = AuthorizationServer::new();
    for (name, value) in members.as_object().unwrap() {
        server = server.member(name, value.clone());
    }
    let server = server.start().await.unwrap();
    let api =
        ResourceServer::new(&server).always("/orders", Answer::status(StatusCode::OK)).start().await.unwrap();
    let bearward = start(&configuration(&server, &api, "default_lifetime = \"20m\""));
    assert_eq!(ask(&mut application(&bearward, "api"), "/orders").await.status(), 200, "{members}");
    let left = expires_in(&bearward).await;
    assert!(expected.contains(&left), "{members}: {left} s");
    assert_eq!(server.counts().token_requests, 1, "{members}");
    bearward.stop().await;
}

#[tokio::test]
async fn r129_a_lifetime_said_oddly_is_read_or_clamped() {
    const A_MONTH: i64 = 30 * 86_400;
    let exp = jiff::Timestamp::now().as_second() + 900;
    let jwt = format!("e30.{}.c2ln", base64_url(&json!({ "exp": exp }).to_string()));
    join_all([
        expect_lifetime(json!({ "expires_in": "300" }), 200..=301),
        expect_lifetime(json!({ "expires_in": 299.5 }), 200..=301),
        expect_lifetime(json!({ "expires_in": 1e18 }), 86_400..=A_MONTH + 1),
        expect_lifetime(json!({ "expires_in": "99999999999999999999" }), 86_400..=A_MONTH + 1),
        expect_lifetime(json!({ "expires_in": "soon" }), 1100..=1201),
        expect_lifetime(json!({ "expires_in": null }), 1100..=1201),
        expect_lifetime(json!({ "expires_in": null, "access_token": jwt }), 800..=901),
    ])
    .await;
}

fn base64_url(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text)
}

#[tokio::test]
async fn r129_a_lifetime_of_nothing_or_less_serves_and_does_not_loop() {
    let of = async |expires_in: Value| {
        let server =
            AuthorizationServer::new().member("expires_in", expires_in.clone()).start().await.unwrap();
        let api = ResourceServer::new(&server).start().await.unwrap();
        let bearward = start(&configuration(&server, &api, ""));
        let mut application = application(&bearward, "api");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            assert_eq!(ask(&mut application, "/orders").await.status(), 200, "expires_in {expires_in}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Clamped to one second and refreshed after three quarters of it at the earliest.
        let most = 2 + u64::try_from(began.elapsed().as_millis()).unwrap() / 750;
        let calls = server.counts().token_requests;
        assert!(calls <= most, "expires_in {expires_in}: {calls} token requests in {:?}", began.elapsed());
        bearward.stop().await;
    };
    join_all([of(json!(0)), of(json!("0")), of(json!(-3600)), of(json!(-1e18))]).await;
}

#[tokio::test]
async fn r008_a_redirect_is_not_followed_and_no_secret_goes_astray() {
    let elsewhere = AuthorizationServer::new().start().await.unwrap();
    let location = format!("{}/token", elsewhere.url());
    join_all([301, 302, 303, 307, 308].map(|code| {
        let answer = Answer::status(StatusCode::from_u16(code).unwrap());
        expect_verdict(answer.field(http::header::LOCATION, &location), "redirects are not followed")
    }))
    .await;
    assert_eq!(elsewhere.connections(), 0, "the other origin was called");
}

#[tokio::test]
async fn silence_is_a_504_in_time_and_a_late_answer_is_used() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.hold_token_responses();
    let bearward = start(&configuration(&server, &api, "token_timeout = \"1s\""));
    let mut application = application(&bearward, "api");
    for _ in 0..2 {
        let asked = Instant::now();
        let answer = ask(&mut application, "/orders").await;
        assert_eq!(answer.status(), 504, "{:?}", answer.body());
        assert!(asked.elapsed() >= Duration::from_millis(900), "it was given up early");
        assert!(asked.elapsed() < Duration::from_secs(20), "it waited far beyond token_timeout");
        assert_eq!(parsed(&answer)["token"], "key");
        assert!(answer.headers().contains_key("proxy-status"));
    }
    assert_eq!(api.counts().api_requests, 0);
    server.release_token_responses();
    expect_recovery(&mut application, "a late answer").await;
    assert_eq!(server.counts().token_requests, 1, "no application's end has cancelled the request");
    bearward.stop().await;
}

#[tokio::test]
async fn silence_without_end_is_given_up_and_asked_again_later() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.fail_token_endpoint(Answer::silence());
    let bearward = start(&configuration(&server, &api, "token_request_timeout = \"1s\""));
    let mut application = application(&bearward, "api");
    let answer = ask(&mut application, "/orders").await;
    assert_eq!(answer.status(), 503, "{:?}", answer.body());
    let detail = parsed(&answer)["detail"].to_string();
    assert!(detail.contains("within 1 s"), "{detail}");
    server.mend_token_endpoint();
    expect_recovery(&mut application, "silence").await;
    bearward.stop().await;
}

#[tokio::test]
async fn r116_a_body_of_200_mb_is_not_read_and_takes_no_memory() {
    let server = AuthorizationServer::new().start().await.unwrap();
    server.fail_token_endpoint(Answer::zeros(200 << 20));
    let api = ResourceServer::new(&server).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.toml");
    std::fs::write(&file, configuration(&server, &api, "acquire = \"lazy\"")).unwrap();
    let bearward = Process::run(&file);
    let mut application = Application::new(bearward.address("api").await);
    let idle = peak_memory(bearward.id());
    for _ in 0..5 {
        let answer = ask(&mut application, "/orders").await;
        assert_eq!(answer.status(), 503, "{:?}", answer.body());
        assert!(parsed(&answer)["detail"].to_string().contains("too large"), "{:?}", answer.body());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let grown = peak_memory(bearward.id()) - idle;
    assert!(grown < 16 << 10, "{grown} KiB more than at rest");
    assert!(server.counts().token_requests <= 4, "{:?}", server.counts());
    assert_eq!(api.counts().api_requests, 0);
    server.mend_token_endpoint();
    expect_recovery(&mut application, "200 MB").await;
    until("it says so in its log", || bearward.log().contains("too large")).await;
}

/// The most memory that a process has had so far, in KiB.
fn peak_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
