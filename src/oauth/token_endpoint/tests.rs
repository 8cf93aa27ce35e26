//! One token request: what is sent, where to, and what becomes of its answer.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    oauth::{
        Fault,
        testing::{Server, Table, answer, grant, json as granting, problems, start},
    },
    upstream::once,
};

fn table(server: &Server) -> Value {
    json!({
        "grant_type": "client_credentials",
        "token_endpoint": server.url("/oauth/token/?tenant=1"),
        "client_id": "app",
        "client_secret": "canary",
        "token_request_timeout": 10_000,
    })
}

fn token() -> Value {
    json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 300 })
}

async fn failure(answers: impl Into<Vec<u8>>) -> (Failure, usize) {
    let server = Server::answering([answers.into()]).await;
    let failure = start(&*grant(table(&server))).await.unwrap_err();
    assert!(failure.detail.starts_with(&server.url("/oauth/token/")), "it says where: {failure}");
    assert!(!format!("{failure:?}").contains("canary"), "{failure}");
    (failure, server.seen().len())
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn one_request_is_one_post_to_the_very_url_that_was_configured() {
    let server = Server::answering([granting(token())]).await;
    let grant = grant(table(&server));
    let granted = is_send(start(&*grant)).await.unwrap();
    assert_eq!(granted.authorization, "Bearer t");
    assert_eq!(granted.lifetime, Some(Duration::from_secs(300)));
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.line, "POST /oauth/token/?tenant=1 HTTP/1.1");
    assert_eq!(seen.field("host"), Some(server.address.to_string().as_str()));
    assert_eq!(seen.field("accept"), Some("application/json"));
    assert_eq!(seen.field("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.field("authorization"), Some("Basic YXBwOmNhbmFyeQ=="));
    assert_eq!(seen.field("connection"), Some("close"));
    assert_eq!(seen.body, "grant_type=client_credentials");
    assert_eq!(grant.endpoint(), Some(server.url("/oauth/token/").as_str()));
}

#[tokio::test]
async fn scope_and_parameters_go_with_each_request_in_either_encoding() {
    let server = Server::answering([granting(token()), granting(token())]).await;
    let mut table = table(&server);
    table["scope"] = json!(["read:orders", "write:inventory"]);
    table["scope_parameter"] = json!("scopes");
    table["parameters"] = json!({ "audience": "https://api.example/", "depth": 2 });
    table["token_endpoint_auth_method"] = json!("client_secret_post");
    start(&*grant(table.clone())).await.unwrap();
    table["encoding"] = json!("json");
    start(&*grant(table)).await.unwrap();
    let [form, json] = &server.seen()[..] else { panic!("two requests") };
    assert_eq!(
        form.body,
        "grant_type=client_credentials&scopes=read%3Aorders+write%3Ainventory&client_id=app\
         &client_secret=canary&audience=https%3A%2F%2Fapi.example%2F&depth=2"
    );
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert_eq!(
        json.json(),
        json!({
            "grant_type": "client_credentials", "scopes": "read:orders write:inventory", "client_id": "app",
            "client_secret": "canary", "audience": "https://api.example/", "depth": 2,
        })
    );
}

#[tokio::test]
async fn r008_a_redirect_is_a_failure_and_the_secret_is_sent_once() {
    let elsewhere = Server::answering([granting(token())]).await;
    let location = format!("Location: {}\r\n", elsewhere.url("/oauth/token"));
    for status in [301, 307, 308] {
        let (failure, requests) = failure(answer(status, &location, "")).await;
        assert_eq!((failure.fault, requests), (Fault::Unusable, 1));
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_cut_connection_is_unreachable_and_nothing_is_sent_again() {
    let whole = granting(token());
    for end in [0, 5, whole.len() / 2, whole.len() - 1] {
        // Of an empty answer the server makes silence, so the shortest cut says one octet.
        let (failure, requests) = failure(&whole.as_bytes()[..end.max(1)]).await;
        assert_eq!((failure.fault, requests), (Fault::Unreachable, 1), "{failure}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_time_limit() {
    let server = Server::answering([""]).await;
    let mut table = table(&server);
    table["token_request_timeout"] = json!(100);
    let failure = start(&*grant(table)).await.unwrap_err();
    assert_eq!(failure.fault, Fault::TimedOut);
    assert!(failure.detail.contains("within 0.1 s"), "{failure}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_body_that_trickles_ends_at_the_time_limit_too() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
    let server = Server::holding_open(head).await;
    let mut table = table(&server);
    table["token_request_timeout"] = json!(100);
    assert_eq!(start(&*grant(table)).await.unwrap_err().fault, Fault::TimedOut);
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_says_what_to_check() {
    let server = Server::answering([""]).await;
    let table = table(&server);
    drop(server);
    let failure = start(&*grant(table)).await.unwrap_err();
    assert_eq!(failure.fault, Fault::Unreachable);
    assert!(failure.detail.contains("check the URL's port"), "{failure}");
}

#[tokio::test]
async fn what_is_no_http_is_unusable() {
    for garbage in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
    {
        let (failure, requests) = failure(garbage).await;
        assert_eq!((failure.fault, requests), (Fault::Unusable, 1), "{failure}");
    }
}

#[tokio::test]
async fn r116_a_body_beyond_one_mebibyte_is_not_read() {
    let long = "x".repeat(once::LONGEST_BODY + 1);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n".to_owned();
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
    for too_long in [chunked, announced, until_close] {
        let (failure, _) = failure(too_long).await;
        assert_eq!(failure.fault, Fault::Unusable);
        assert!(failure.detail.contains("too large: at most 1024 KiB"), "{failure}");
    }
    let mut padded = token();
    padded["padding"] = json!("x".repeat(once::LONGEST_BODY - 200));
    let server = Server::answering([granting(padded)]).await;
    start(&*grant(table(&server))).await.unwrap();
}

#[tokio::test]
async fn r092_a_head_without_end_is_not_read() {
    let fields = "X-Filler: 0123456789\r\n";
    for head in [fields.repeat(101), format!("X-Filler: {}\r\n", "x".repeat(70_000))] {
        let (failure, _) = failure(answer(200, &head, "{}")).await;
        assert_eq!(failure.fault, Fault::Unusable, "{failure}");
    }
}

#[tokio::test]
async fn a_secret_file_is_read_anew_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let server = Server::answering([granting(token()), granting(token())]).await;
    let mut table = table(&server);
    table["client_secret"] = json!({ "file": file });
    table["token_endpoint_auth_method"] = json!("client_secret_post");
    let grant = grant(table);
    assert_eq!(start(&*grant).await.unwrap_err().fault, Fault::Secret);
    for secret in ["one", "two"] {
        std::fs::write(&file, secret).unwrap();
        start(&*grant).await.unwrap();
    }
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert!(
        bodies[0].ends_with("client_secret=one") && bodies[1].ends_with("client_secret=two"),
        "{bodies:?}"
    );
}

#[test]
fn all_that_is_missing_is_reported_at_once() {
    let found = problems(json!({ "grant_type": "password" }));
    for key in ["token_endpoint", "client_id", "client_secret", "username", "password"] {
        assert!(found.contains(&format!("{key} is missing")), "{key}: {found:?}");
    }
}

#[test]
fn wrong_values_are_reported_with_what_would_be_right() {
    let good = json!({
        "grant_type": "client_credentials", "token_endpoint": "https://id.example/t", "client_id": "a", "client_secret": "b",
    });
    assert!(TokenEndpoint::from_keys(&mut Table::of(good.clone())).is_some());
    for (key, value, expected) in [
        ("encoding", json!("xml"), "\"form\" or \"json\""),
        ("token_endpoint_auth_method", json!("basic"), "client_secret_basic, client_secret_post, none"),
        ("basic_encoding", json!("no"), "\"rfc6749\" or \"raw\""),
        ("scope_parameter", json!("client_id"), "cannot carry the scope"),
        ("parameters", json!({ "client_secret": "x" }), "may be sent twice"),
        ("parameters", json!({ "claims": { "a": 1 } }), "encoding = \"json\""),
        ("token_request_timeout", json!(0), "no answer comes in no time"),
    ] {
        let mut table = good.clone();
        table[key] = value;
        let found = problems(table);
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(found[0].starts_with(key) && found[0].contains(expected), "{found:?}");
    }
    let mut twice = good;
    twice["scope"] = json!("a");
    twice["parameters"] = json!({ "scope": "b" });
    assert_eq!(problems(twice).len(), 1);
}

#[test]
fn r019_whatever_is_sent_makes_another_identity() {
    let base = json!({
        "grant_type": "client_credentials", "token_endpoint": "https://id.example/t", "client_id": "a", "client_secret": "b",
    });
    let mut identities = vec![grant(base.clone()).identity(None), grant(base.clone()).identity(Some("s"))];
    for (key, value) in [
        ("token_endpoint", json!("https://id.example/t/")),
        ("client_id", json!("a2")),
        ("client_secret", json!("b2")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("basic_encoding", json!("raw")),
        ("encoding", json!("json")),
        ("scope", json!("s")),
        ("parameters", json!({ "audience": "x" })),
    ] {
        let mut table = base.clone();
        table[key] = value;
        identities.push(grant(table).identity(None));
    }
    let mut user = base.clone();
    user["username"] = json!("u");
    user["password"] = json!("p");
    identities.push(grant(user).identity(None));
    let different: std::collections::HashSet<_> =
        identities.iter().map(|identity| &identity.recipe).collect();
    assert_eq!(different.len(), identities.len());
    assert_eq!(grant(base.clone()).identity(None), grant(base).identity(None));
    assert!(identities[0].chain.starts_with("id.example-"));
}
