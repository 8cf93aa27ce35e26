//! The issuer alone is configured: its metadata (RFC 8414, OpenID Connect Discovery) says where tokens are asked for.

use std::time::{Duration, Instant};

use bearward::demo::simulator::{Answer, AuthorizationServer, ResourceServer, Resources, Simulator};
use http::StatusCode;
use serde_json::json;

use crate::support::{
    PATIENCE, application, ask,
    outside::{json as body, status},
    start, until,
};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

fn configuration(issuer: &str, api: &Resources) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}
        admin = {{ listen = "127.0.0.1:0" }}

        [tokens.key]
        grant_type = "client_credentials"
        issuer = "{issuer}"
        client_id = "app"
        client_secret = "canary-secret"

        [upstreams.api]
        url = "{}"
        token = "key"
        listen = "127.0.0.1:0"
        "#,
        api.url()
    )
}

fn metadata(server: &Simulator) -> Answer {
    let url = server.url();
    Answer::json(StatusCode::OK, &json!({ "issuer": url, "token_endpoint": format!("{url}/token") }))
}

/// The paths that were asked for besides the token endpoint.
fn looked_at(server: &Simulator) -> Vec<String> {
    server.api_requests().into_iter().map(|request| request.call.path).collect()
}

#[tokio::test]
async fn an_issuer_is_enough_beyond_one_lifetime_and_is_asked_once() {
    const LIFETIME: Duration = Duration::from_secs(2);
    let server = AuthorizationServer::new().client("app", "canary-secret").lifetime(LIFETIME);
    let server = server.start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.answer_next(METADATA, metadata(&server));
    let bearward = start(&configuration(&server.url(), &api));
    let mut application = application(&bearward, "api");
    let began = Instant::now();
    while began.elapsed() < LIFETIME || server.token_requests().len() < 3 {
        assert_eq!(ask(&mut application, "/orders").await.status(), 200);
        assert!(began.elapsed() < PATIENCE, "it is never refreshed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(looked_at(&server), [METADATA]);
    bearward.stop().await;
}

#[tokio::test]
async fn metadata_that_is_not_there_yet_is_a_503_that_says_so_and_is_asked_for_again() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let bearward = start(&configuration(&server.url(), &api));
    until("both places were looked at", || looked_at(&server).len() >= 2).await;
    assert_eq!(looked_at(&server)[..2], [METADATA, OPENID]);

    let mut application = application(&bearward, "api");
    let refused = ask(&mut application, "/orders").await;
    assert_eq!(refused.status(), 503, "{:?}", refused.body());
    assert_eq!(body(&refused)["token"], "key");
    let seen = status(bearward.address("admin").unwrap()).await;
    let words = seen["tokens"]["key"]["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(words.contains(METADATA) && words.contains("Check issuer, or set token_endpoint"), "{words}");
    assert!(server.token_requests().is_empty() && api.counts().api_requests == 0);

    server.answer_next(METADATA, metadata(&server));
    let began = Instant::now();
    while ask(&mut application, "/orders").await.status() != 200 {
        assert!(began.elapsed() < PATIENCE, "it is never asked for again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bearward.stop().await;
}

#[tokio::test]
async fn r133_metadata_of_another_issuer_sends_no_secret_anywhere() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    let wrong = json!({ "issuer": format!("{}/", server.url()), "token_endpoint": format!("{}/token", server.url()) });
    for path in [METADATA, OPENID] {
        server.answer_next(path, Answer::json(StatusCode::OK, &wrong));
    }
    let bearward = start(&configuration(&server.url(), &api));
    until("both places were looked at", || looked_at(&server).len() >= 2).await;
    let mut application = application(&bearward, "api");
    assert_eq!(ask(&mut application, "/orders").await.status(), 503);
    assert!(server.token_requests().is_empty(), "the secret was sent");
    for request in server.api_requests() {
        assert!(!format!("{request:?}").contains("canary-secret"), "{request:?}");
    }
    bearward.stop().await;
}
