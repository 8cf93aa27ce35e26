//! Where metadata is looked for, believed, refused and shared.

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::{
    oauth::{
        Grant,
        revocation::{Revoked, TokenKind},
        testing::{Seen, Server, Table, answer, grant, json as answering, problems, start},
    },
    secret::Secret,
    upstream::{Outer, Protocol, tls},
};

const PATIENCE: Duration = Duration::from_secs(20);
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// A port that answers come to later, for a server's answers hold its own address.
async fn server(answers: impl FnOnce(&str) -> Vec<String>) -> Server {
    Server::answering_with(|address| answers(&format!("http://{address}"))).await
}

fn granting() -> String {
    answering(json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 300 }))
}

fn metadata(issuer: &str) -> Value {
    json!({ "issuer": issuer, "token_endpoint": format!("{issuer}/oauth/token?tenant=1") })
}

fn table(issuer: &str) -> Value {
    json!({ "grant_type": "client_credentials", "issuer": issuer, "client_id": "app", "client_secret": "canary" })
}

fn with(mut table: Value, changes: Value) -> Value {
    table.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    table
}

fn lines(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|seen: Seen| seen.line).collect()
}

/// An issuer at `server` whose clock can be set.
fn issuer(server: &Server) -> (Issuer, Clock) {
    let clock = Clock::manual(std::time::SystemTime::now());
    let identifier = server.url("");
    let url: Uri = identifier.parse().unwrap();
    let origin = Origin::of(&url).unwrap();
    let reach = Reach {
        outer: Outer::None,
        tls: tls::Settings::default(),
        host: origin.host().to_owned(),
        connect_timeout: PATIENCE,
        allow_cleartext: false,
    };
    let endpoint = reach.endpoint(origin).unwrap();
    (Issuer { clock: clock.clone(), ..Issuer::new(identifier, url, endpoint, reach) }, clock)
}

#[tokio::test]
async fn the_issuer_alone_brings_a_token_and_is_asked_once() {
    let server = server(|own| vec![answering(metadata(own)), granting(), granting()]).await;
    let grant = grant(table(&server.url("")));
    assert_eq!(start(&*grant).await.unwrap().authorization, "Bearer t");
    start(&*grant).await.unwrap();
    let seen = server.seen();
    assert_eq!(
        lines(&server),
        [
            "GET /.well-known/oauth-authorization-server HTTP/1.1",
            "POST /oauth/token?tenant=1 HTTP/1.1",
            "POST /oauth/token?tenant=1 HTTP/1.1"
        ]
    );
    assert_eq!(seen[0].field("accept"), Some("application/json"));
    assert!(seen[0].field("authorization").is_none() && seen[0].body.is_empty(), "it is asked by nobody");
    assert!(seen[0].field("content-length").is_none(), "without content, without its length");
    assert!(seen[1].field("authorization").is_some());
}

#[tokio::test]
async fn every_grant_of_a_token_endpoint_finds_it() {
    for more in [
        json!({ "grant_type": "password", "username": "u", "password": "p" }),
        json!({ "grant_type": "client_credentials" }),
        json!({ "grant_type": "refresh_token", "refresh_token": "r" }),
    ] {
        let server = server(|own| vec![answering(metadata(own)), granting()]).await;
        let grant = grant(with(table(&server.url("")), more.clone()));
        let granted = match grant.first_refresh_token().unwrap() {
            Some(refresh_token) => grant.refresh(&refresh_token).await,
            None => start(&*grant).await,
        };
        assert_eq!(granted.unwrap().authorization, "Bearer t", "{more}");
    }
}

/// RFC 8414 section 3.1, OpenID Connect Discovery 1.0 section 4.1: each drops a terminating slash.
#[tokio::test]
async fn metadata_is_looked_for_at_both_well_known_places() {
    for first in [NOT_FOUND.to_owned(), answer(200, "Content-Type: text/html\r\n", "<html>")] {
        let server = server(|own| {
            let realm = format!("{own}/realms/a/");
            let metadata = json!({ "issuer": realm, "token_endpoint": format!("{own}/t") });
            vec![first, answering(metadata), granting()]
        })
        .await;
        start(&*grant(table(&server.url("/realms/a/")))).await.unwrap();
        assert_eq!(
            lines(&server),
            [
                "GET /.well-known/oauth-authorization-server/realms/a HTTP/1.1",
                "GET /realms/a/.well-known/openid-configuration HTTP/1.1",
                "POST /t HTTP/1.1"
            ]
        );
    }
}

#[tokio::test]
async fn r133_the_issuer_is_compared_letter_by_letter() {
    for change in [
        |own: &str| json!(format!("{own}/")),
        |own: &str| json!(own.to_uppercase()),
        |own: &str| json!(own.replace("127.0.0.1", "localhost")),
        |own: &str| json!(format!("{own}\u{1b}[31m")),
        |own: &str| json!([own]),
        |_: &str| json!("https://evil.example"),
        |_: &str| Value::Null,
    ] {
        let server = server(|own| {
            let wrong = answering(with(metadata(own), json!({ "issuer": change(own) })));
            vec![wrong.clone(), wrong, granting()]
        })
        .await;
        let failure = start(&*grant(table(&server.url("")))).await.unwrap_err();
        assert_eq!(failure.fault, Fault::Unusable, "not final: the server may be mended");
        let words = match change("") {
            Value::String(other) if other == "/" => "; a slash at the end is missing",
            Value::String(_) => "not of",
            _ => "there is no issuer in it",
        };
        assert!(failure.detail.contains(words) && !failure.detail.contains('\u{1b}'), "{failure}");
        assert!(lines(&server).iter().all(|line| line.starts_with("GET ")), "no secret goes anywhere");
    }
}

#[tokio::test]
async fn r008_a_redirect_is_not_followed() {
    let elsewhere = server(|own| vec![answering(metadata(own)), granting()]).await;
    for target in [elsewhere.url("/.well-known/oauth-authorization-server"), "/other".to_owned()] {
        let redirect = answer(302, &format!("Location: {target}\r\n"), "");
        let server = server(|_| vec![redirect.clone(), redirect]).await;
        let failure = start(&*grant(table(&server.url("")))).await.unwrap_err();
        assert_eq!(failure.fault, Fault::Unusable);
        assert!(failure.detail.contains("redirects are not followed"), "{failure}");
        assert_eq!(server.seen().len(), 2);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn what_is_no_metadata_is_a_failure_that_says_what_came_and_what_to_check() {
    for (given, words) in [
        (answer(200, "Content-Type: text/html\r\n", "<html>canary"), "text/html instead of a JSON object"),
        (answer(200, "", ""), "an empty body instead of a JSON object"),
        (answering(json!(["canary"])), "application/json instead of a JSON object"),
        (answer(200, "Content-Encoding: gzip\r\n", "{}"), "compressed"),
        (NOT_FOUND.to_owned(), "answered 404: no metadata"),
        (answer(500, "", "canary"), "answered 500: no metadata"),
    ] {
        let server = server(|_| vec![given.clone(), given]).await;
        let failure = start(&*grant(table(&server.url("")))).await.unwrap_err();
        assert_eq!(failure.fault, Fault::Unusable);
        for words in [words, &server.url(""), "openid-configuration", "Check issuer, or set token_endpoint"] {
            assert!(failure.detail.contains(words), "{words}: {failure}");
        }
        assert!(!failure.detail.contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn r132_a_server_that_limits_or_is_away_is_not_asked_at_the_second_place() {
    let limited = answer(429, "Retry-After: 7\r\n", "");
    let busy = answer(503, "Retry-After: 8\r\n", "");
    for (given, fault, wait) in [
        (limited, Fault::Limited, Some(7)),
        (busy, Fault::Unusable, Some(8)),
        ("HTTP/1.1 2".to_owned(), Fault::Unreachable, None),
    ] {
        let server = server(|_| vec![given]).await;
        let failure = start(&*grant(table(&server.url("")))).await.unwrap_err();
        assert_eq!(failure.fault, fault, "{failure}");
        assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), wait);
        assert_eq!(server.seen().len(), 1);
    }
    let silent = Server::answering([""]).await;
    let impatient = with(table(&silent.url("")), json!({ "token_request_timeout": 100 }));
    assert_eq!(start(&*grant(impatient)).await.unwrap_err().fault, Fault::TimedOut);
}

#[tokio::test]
async fn a_failure_is_tried_again_at_the_next_request() {
    let server =
        server(|own| vec![NOT_FOUND.to_owned(), NOT_FOUND.to_owned(), answering(metadata(own)), granting()])
            .await;
    let grant = grant(table(&server.url("")));
    start(&*grant).await.unwrap_err();
    start(&*grant).await.unwrap();
}

#[tokio::test]
async fn however_many_ask_it_is_fetched_once_and_they_share_a_failure_too() {
    let good = server(|own| vec![answering(metadata(own)), NOT_FOUND.to_owned()]).await;
    let (issuer, _) = issuer(&good);
    let all = join_all((0..20).map(|_| issuer.metadata(PATIENCE))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(good.seen().len(), 1);

    let bad = server(|_| vec![NOT_FOUND.to_owned(); 40]).await;
    let (issuer, _) = self::issuer(&bad);
    let all = join_all((0..20).map(|_| issuer.metadata(PATIENCE))).await;
    assert!(all.iter().all(Result::is_err), "{all:?}");
    assert_eq!(bad.seen().len(), 2, "one fetch, at both places");
    issuer.metadata(PATIENCE).await.unwrap_err();
    assert_eq!(bad.seen().len(), 4, "who asks later is not told an old failure");
}

#[tokio::test]
async fn metadata_is_believed_for_an_hour_and_a_stale_copy_serves_while_no_new_one_comes() {
    let server = server(|own| {
        let moved = with(metadata(own), json!({ "token_endpoint": format!("{own}/moved") }));
        let (down, bad) = (answer(429, "", ""), answer(200, "", "<html>"));
        vec![answering(metadata(own)), down, bad.clone(), bad, answering(moved)]
    })
    .await;
    let (issuer, clock) = issuer(&server);
    let path = async || {
        let metadata = issuer.metadata(PATIENCE).await.unwrap();
        metadata.endpoint("token_endpoint").unwrap().unwrap().url.path().to_owned()
    };
    let requests = || server.seen().len();
    assert_eq!((path().await.as_str(), requests()), ("/oauth/token", 1));
    clock.step_ahead(FRESH - Duration::from_secs(60));
    assert_eq!((path().await.as_str(), requests()), ("/oauth/token", 1));
    clock.step_ahead(Duration::from_secs(60));
    assert_eq!((path().await.as_str(), requests()), ("/oauth/token", 2), "it is limited");
    assert_eq!((path().await.as_str(), requests()), ("/oauth/token", 2), "and not asked at once again");
    clock.step_ahead(NEXT_TRY);
    assert_eq!((path().await.as_str(), requests()), ("/oauth/token", 4), "a page came, at both places");
    clock.step_ahead(NEXT_TRY);
    assert_eq!((path().await.as_str(), requests()), ("/moved", 5));
    assert_eq!((path().await.as_str(), requests()), ("/moved", 5));
}

#[tokio::test]
async fn a_silent_server_does_not_hold_up_a_request_that_a_stale_copy_can_serve() {
    let server = server(|own| vec![answering(metadata(own)), String::new()]).await;
    let (issuer, clock) = issuer(&server);
    issuer.metadata(PATIENCE).await.unwrap();
    clock.step_ahead(FRESH);
    let endless = Duration::from_secs(3600);
    let served = tokio::time::timeout(4 * PATIENCE_WITH_STALE, issuer.metadata(endless)).await;
    assert!(served.expect("it is not waited for").is_ok());
    assert_eq!(server.seen().len(), 2, "it was asked");
}

#[tokio::test]
async fn an_endpoint_may_be_on_another_origin_and_what_is_written_wins() {
    let api = Server::answering([granting(), granting()]).await;
    let named = json!({ "token_endpoint": api.url("/named") });
    let issuer = server(|own| vec![answering(with(metadata(own), named))]).await;
    start(&*grant(table(&issuer.url("")))).await.unwrap();
    let written = with(table(&issuer.url("")), json!({ "token_endpoint": api.url("/written") }));
    start(&*grant(written)).await.unwrap();
    assert_eq!(lines(&api), ["POST /named HTTP/1.1", "POST /written HTTP/1.1"]);
    assert_eq!(issuer.seen().len(), 1, "where all is written no metadata is asked for");
}

#[tokio::test]
async fn r011_an_endpoint_that_no_secret_may_go_to_is_refused_and_the_others_serve() {
    for (named, words) in [
        (json!("http://id.example/token"), "allow_cleartext"),
        (json!("/token"), "whole URL"),
        (json!("ftp://id.example/token"), "https or http"),
        (json!("https://user:canary@id.example/token"), "user information"),
        (json!("https://id.example/token#canary"), "fragment"),
        (json!("https://id example"), "no URL"),
        (json!(7), "no text"),
    ] {
        let server = server(|own| {
            let more = json!({ "token_endpoint": named, "revocation_endpoint": format!("{own}/revoke") });
            vec![answering(with(metadata(own), more)), answer(200, "", "")]
        })
        .await;
        let grant = grant(table(&server.url("")));
        let failure = start(&*grant).await.unwrap_err();
        assert!(failure.detail.contains("its token_endpoint cannot be used"), "{failure}");
        assert!(failure.detail.contains(words) && !failure.detail.contains("canary"), "{failure}");
        let revoked = grant.token_endpoint().unwrap().revoke(&Secret::new("t"), TokenKind::Access).await;
        assert_eq!(revoked, Ok(Revoked::Yes));
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_named_says_which_key_to_set_where_it_is_needed() {
    let server = server(|own| vec![answering(json!({ "issuer": own, "token_endpoint": null }))]).await;
    let grant = grant(table(&server.url("")));
    let failure = start(&*grant).await.unwrap_err();
    let expected = format!("the metadata of {} names no token_endpoint: set token_endpoint", server.url(""));
    assert_eq!(failure.detail, expected);
    let endpoint = grant.token_endpoint().unwrap();
    assert_eq!(endpoint.revoke(&Secret::new("t"), TokenKind::Access).await, Ok(Revoked::NoEndpoint));
    assert_eq!(endpoint.introspect(&Secret::new("t"), None).await, Ok(None));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_a_login_has_to_know_is_read() {
    let says = |more: Value| async move {
        let server = server(|own| vec![answering(with(metadata(own), more))]).await;
        let grant = grant(table(&server.url("")));
        let metadata = grant.token_endpoint().unwrap().metadata().await.unwrap().unwrap();
        assert_eq!(metadata.issuer, server.url(""));
        metadata.authorization_response_iss_parameter_supported
    };
    assert!(says(json!({ "authorization_response_iss_parameter_supported": true })).await);
    assert!(!says(json!({})).await);
    assert!(!says(json!({ "authorization_response_iss_parameter_supported": "true" })).await);
    let without = json!({
        "grant_type": "client_credentials", "token_endpoint": "https://id.example/t", "client_id": "a", "client_secret": "b",
    });
    assert!(grant(without).token_endpoint().unwrap().metadata().await.unwrap().is_none());
}

#[test]
fn r019_limits_and_identity_go_by_the_issuer() {
    let of = |issuer: &str| {
        let grant = grant(table(issuer));
        (grant.endpoint().unwrap().to_owned(), grant.identity(None))
    };
    let (name, identity) = of("https://id.example/a");
    assert_eq!(name, "https://id.example/a (token_endpoint)");
    assert!(identity.chain.starts_with("id.example-"), "{identity:?}");
    assert_eq!(of("https://id.example/a"), (name, identity.clone()));
    for other in ["https://id.example/a/", "https://id.example/b", "https://id.example"] {
        assert_ne!(of(other).1.chain, identity.chain, "{other}");
    }
    assert_ne!(of("https://id.example").1.chain, of("https://id.example/").1.chain);
    let written = with(table("https://id.example/a"), json!({ "token_endpoint": "https://id.example/a" }));
    let with_issuer = grant(written.clone());
    assert_ne!(with_issuer.identity(None).chain, identity.chain);
    let mut alone = written;
    alone.as_object_mut().unwrap().remove("issuer");
    assert_eq!(
        with_issuer.identity(None),
        grant(alone).identity(None),
        "an issuer beside it changes nothing"
    );
}

#[test]
fn neither_a_token_endpoint_nor_an_issuer_is_a_problem() {
    let found =
        problems(json!({ "grant_type": "client_credentials", "client_id": "a", "client_secret": "b" }));
    assert_eq!(found, ["token_endpoint is missing"]);
    let mut keys = Table::of(json!({}));
    assert!(matches!(crate::oauth::place::Place::optional(&mut keys, "revocation_endpoint"), Some(None)));
}

#[test]
fn the_server_name_counts_for_the_configured_host_alone() {
    let reach = Reach {
        outer: Outer::None,
        tls: tls::Settings { server_name: Some("not a name".to_owned()), ..tls::Settings::default() },
        host: "id.example".to_owned(),
        connect_timeout: PATIENCE,
        allow_cleartext: false,
    };
    let reached = |url: &str| reach.endpoint(Origin::of(&url.parse().unwrap()).unwrap());
    assert!(reached("https://id.example:8443/").unwrap_err().contains("not a name"));
    let other = reached("https://api.example/").unwrap();
    assert_eq!(other.protocol(), Protocol::Auto);
}

#[tokio::test]
async fn a_post_goes_to_the_places_origin_or_nowhere() {
    let own = Server::answering([answer(200, "", ""), answer(200, "", "")]).await;
    let other = Server::answering([answer(200, "", "")]).await;
    let mut keys = Table::of(json!({ "url": own.url("/a") }));
    let place = crate::oauth::place::Place::fixed(&mut keys, "url").unwrap();
    let post = |url: String| place.post(url.parse().unwrap(), HeaderMap::new(), Bytes::new());
    assert_eq!(post(own.url("/b?c=d")).await.unwrap().status, 200);
    assert_eq!(post(other.url("/a")).await.unwrap_err().fault, Fault::Unusable);
    assert_eq!(lines(&own), ["POST /b?c=d HTTP/1.1"]);
    assert!(other.seen().is_empty());
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn it_can_be_asked_from_any_thread() {
    let server = server(|own| vec![answering(metadata(own))]).await;
    let grant: Arc<dyn Grant> = grant(table(&server.url("")));
    assert!(is_send(grant.token_endpoint().unwrap().metadata()).await.is_ok());
}

/// Loopback is as far away for a server as any other host: what listens there is none of its endpoints.
#[tokio::test]
async fn r011_an_https_issuer_names_no_cleartext_endpoint_not_even_on_loopback() {
    for allow_cleartext in [false, true] {
        let url: Uri = "https://id.example".parse().unwrap();
        let origin = Origin::of(&url).unwrap();
        let host = origin.host().to_owned();
        let reach = Reach {
            tls: tls::Settings::default(),
            outer: Outer::None,
            host,
            connect_timeout: PATIENCE,
            allow_cleartext,
        };
        let endpoint = reach.endpoint(origin).unwrap();
        let issuer = Issuer::new("https://id.example".to_owned(), url, endpoint, reach);
        let named = json!({ "token_endpoint": "http://127.0.0.1:8080/token" });
        let located = issuer.metadata_of(named.as_object().unwrap()).endpoint("token_endpoint");
        assert_eq!(located.is_ok(), allow_cleartext, "{located:?}");
        if let Err(words) = located {
            assert!(words.contains("http://") && words.contains("allow_cleartext"), "{words}");
        }
    }
}
