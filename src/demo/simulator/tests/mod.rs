//! How strict the simulators are: what a real provider refuses, they refuse.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use super::*;
use crate::demo::application::Application;

mod apicbase;
mod device;
mod server;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const SECOND: Duration = Duration::from_secs(1);

async fn post(at: SocketAddr, path: &str, fields: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut request = Request::post(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Application::new(at).send(request.body(Bytes::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn read(at: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::get(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Application::new(at).send(request.body(Bytes::new()).unwrap()).await.unwrap()
}

async fn bearing(at: SocketAddr, path: &str, token: &str) -> Response<Bytes> {
    read(at, path, &[("authorization", &format!("Bearer {token}")), ("accept", JSON)]).await
}

fn value(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn member(response: &Response<Bytes>, name: &str) -> String {
    value(response)[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

async fn inventorum_refresh(at: SocketAddr, refresh_token: &str) -> Response<Bytes> {
    let authorization = basic(inventorum::CLIENT_ID, inventorum::CLIENT_SECRET);
    let body = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    post(at, "/api/auth/token/", &[("authorization", &authorization), ("content-type", FORM)], &body).await
}

#[tokio::test]
async fn inventorum_grants_rotating_tokens() {
    let simulator = Inventorum::new().lifetime(7 * SECOND).start().await.unwrap();
    let granted = inventorum_refresh(simulator.address(), inventorum::FIRST_REFRESH_TOKEN).await;
    assert_eq!(granted.status(), 200);
    assert_eq!(value(&granted)["expires_in"], 7);
    assert_ne!(member(&granted, "refresh_token"), inventorum::FIRST_REFRESH_TOKEN);
    let answer = bearing(simulator.address(), "/api/products/", &member(&granted, "access_token")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(simulator.active_tokens(), [member(&granted, "access_token")]);
    assert_eq!(simulator.counts().dead_refresh_tokens_seen, 0);
}

#[tokio::test]
async fn a_reused_refresh_token_kills_its_chain_and_is_counted() {
    let simulator = Inventorum::new().start().await.unwrap();
    let granted = inventorum_refresh(simulator.address(), inventorum::FIRST_REFRESH_TOKEN).await;
    let reused = inventorum_refresh(simulator.address(), inventorum::FIRST_REFRESH_TOKEN).await;
    assert_eq!((reused.status().as_u16(), member(&reused, "error")), (400, "invalid_grant".to_owned()));
    let next = inventorum_refresh(simulator.address(), &member(&granted, "refresh_token")).await;
    assert_eq!(member(&next, "error"), "invalid_grant", "the chain is dead");
    let answer = bearing(simulator.address(), "/api/products/", &member(&granted, "access_token")).await;
    assert_eq!(answer.body(), inventorum::TOKEN_INVALID, "and what it led to");
    assert_eq!(simulator.counts().dead_refresh_tokens_seen, 2);
    assert!(simulator.active_refresh_tokens().is_empty());
}

#[tokio::test]
async fn inventorum_wants_the_slash_the_form_and_basic() {
    let simulator = Inventorum::new().start().await.unwrap();
    let at = simulator.address();
    let authorization = basic(inventorum::CLIENT_ID, inventorum::CLIENT_SECRET);
    let body = format!("grant_type=refresh_token&refresh_token={}", inventorum::FIRST_REFRESH_TOKEN);
    let fields = [("authorization", authorization.as_str()), ("content-type", FORM)];
    assert_eq!(post(at, "/api/auth/token", &fields, &body).await.status(), 404);
    assert_eq!(read(at, "/api/auth/token/", &fields).await.status(), 405);
    let as_json = json!({ "grant_type": "refresh_token", "refresh_token": inventorum::FIRST_REFRESH_TOKEN });
    let fields = [("authorization", authorization.as_str()), ("content-type", JSON)];
    assert_eq!(post(at, "/api/auth/token/", &fields, &as_json.to_string()).await.status(), 400);
    let in_body =
        format!("{body}&client_id={}&client_secret={}", inventorum::CLIENT_ID, inventorum::CLIENT_SECRET);
    let refused = post(at, "/api/auth/token/", &[("content-type", FORM)], &in_body).await;
    assert_eq!(member(&refused, "error"), "invalid_client");
    let both = [("authorization", authorization.as_str()), ("content-type", FORM)];
    assert_eq!(post(at, "/api/auth/token/", &both, &in_body).await.status(), 400, "one at a time");
    assert_eq!(simulator.counts().granted, 0);
    assert_eq!(inventorum_refresh(at, inventorum::FIRST_REFRESH_TOKEN).await.status(), 200);
}

#[tokio::test]
async fn inventorum_knows_the_older_password_grant() {
    let simulator = Inventorum::new().start().await.unwrap();
    let authorization = basic(inventorum::CLIENT_ID, inventorum::CLIENT_SECRET);
    let fields = [("authorization", authorization.as_str()), ("content-type", FORM)];
    let with = |password| format!("grant_type=password&username=owner%40shop.example&password={password}");
    let granted = post(simulator.address(), "/api/auth/token/", &fields, &with(inventorum::PASSWORD)).await;
    assert_eq!(
        inventorum_refresh(simulator.address(), &member(&granted, "refresh_token")).await.status(),
        200
    );
    let refused = post(simulator.address(), "/api/auth/token/", &fields, &with("wrong")).await;
    assert_eq!(member(&refused, "error"), "invalid_grant");
}

#[tokio::test]
async fn inventorum_says_token_invalid_octet_for_octet_and_scope_wrong_in_turn() {
    let simulator = Inventorum::new().start().await.unwrap();
    let at = simulator.address();
    let token = member(&inventorum_refresh(at, inventorum::FIRST_REFRESH_TOKEN).await, "access_token");
    let bare = read(at, "/api/products/", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(bare.status(), 406, "Accept is not optional");
    let wrong = bearing(at, inventorum::FORBIDDEN_PATH, &token).await;
    assert_eq!((wrong.status().as_u16(), &wrong.body()[..]), (401, inventorum::SCOPE_WRONG.as_bytes()));
    assert_eq!(bearing(at, inventorum::FORBIDDEN_PATH, &token).await.status(), 403);
    assert!(simulator.revoke(&token));
    let dead = bearing(at, "/api/products/", &token).await;
    assert_eq!(dead.status(), 401);
    assert_eq!(dead.body(), r#"{"error":{"fields":{},"description":"Invalid token","key":"token.invalid"}}"#);
    assert_eq!(read(at, "/api/products/", &[("accept", JSON)]).await.status(), 401);
    let counts = simulator.counts();
    assert_eq!((counts.revoked_tokens_seen, counts.bare_requests_seen), (1, 1));
}

#[tokio::test]
async fn a_token_is_refused_from_its_expiry_on() {
    let simulator = Shopware::new().lifetime(SECOND).start().await.unwrap();
    let token = shopware_token(simulator.address()).await;
    assert_eq!(bearing(simulator.address(), "/api/product", &token).await.status(), 200);
    let clock = Clock::system();
    clock.sleep_until(clock.now().after(SECOND)).await;
    let late = bearing(simulator.address(), "/api/product", &token).await;
    assert_eq!(late.status(), 401);
    assert!(late.headers()["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
    assert_eq!(simulator.counts().expired_tokens_seen, 1);
    assert!(simulator.active_tokens().is_empty());
}

async fn shopware_token(at: SocketAddr) -> String {
    let body = json!({
        "grant_type": "client_credentials",
        "client_id": shopware::CLIENT_ID,
        "client_secret": shopware::CLIENT_SECRET,
    });
    member(&post(at, "/api/oauth/token", &[("content-type", JSON)], &body.to_string()).await, "access_token")
}

#[tokio::test]
async fn shopware_wants_json_and_scopes_with_an_s() {
    let simulator = Shopware::new().start().await.unwrap();
    let at = simulator.address();
    shopware_token(at).await;
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        shopware::CLIENT_ID,
        shopware::CLIENT_SECRET
    );
    assert_eq!(post(at, "/api/oauth/token", &[("content-type", FORM)], &form).await.status(), 400);
    assert_eq!(post(at, "/api/oauth/token/", &[("content-type", JSON)], "{}").await.status(), 404);
    let login = |scope: &str| {
        json!({
            "client_id": "administration",
            "grant_type": "password",
            scope: "write",
            "username": shopware::USERNAME,
            "password": shopware::PASSWORD,
        })
        .to_string()
    };
    let wrong = post(at, "/api/oauth/token", &[("content-type", JSON)], &login("scope")).await;
    assert_eq!(member(&wrong, "error"), "invalid_request");
    let mislabelled = post(at, "/api/oauth/token", &[("content-type", FORM)], &login("scopes")).await;
    assert_eq!(mislabelled.status(), 400, "JSON has to say that it is");
    let both = login("scopes").replace("\"scopes\"", "\"scope\":\"write\",\"scopes\"");
    let both = post(at, "/api/oauth/token", &[("content-type", JSON)], &both).await;
    assert_eq!(member(&both, "error"), "invalid_request");
    let granted = post(at, "/api/oauth/token", &[("content-type", JSON)], &login("scopes")).await;
    let refresh = json!({
        "grant_type": "refresh_token",
        "client_id": "administration",
        "refresh_token": member(&granted, "refresh_token"),
    })
    .to_string();
    let next = post(at, "/api/oauth/token", &[("content-type", JSON)], &refresh).await;
    assert_ne!(member(&next, "refresh_token"), member(&granted, "refresh_token"));
    let reused = post(at, "/api/oauth/token", &[("content-type", JSON)], &refresh).await;
    assert_eq!(member(&reused, "error"), "invalid_grant");
    assert_eq!(simulator.counts().dead_refresh_tokens_seen, 1);
}

fn cybrid_form(scope: &str) -> String {
    let (id, secret) = (cybrid::CLIENT_ID, cybrid::CLIENT_SECRET);
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}{scope}")
}

async fn bank_token(at: SocketAddr, scope: &str) -> String {
    let form = cybrid_form(&format!("&scope={scope}"));
    member(&post(at, "/oauth/token", &[("content-type", FORM)], &form).await, "access_token")
}

async fn customer_token(at: SocketAddr, bank: &str, guid: &str) -> Response<Bytes> {
    let body = json!({ "customer_guid": guid, "scopes": ["trades:read"] }).to_string();
    let authorization = format!("Bearer {bank}");
    let fields = [("authorization", authorization.as_str()), ("content-type", JSON)];
    post(at, cybrid::CUSTOMER_TOKENS, &fields, &body).await
}

#[tokio::test]
async fn cybrid_makes_customer_tokens_with_an_exp_and_nothing_beside() {
    let simulator = Cybrid::new().start().await.unwrap();
    let at = simulator.address();
    let bank = bank_token(at, "customers:read+customers:write").await;
    let made = customer_token(at, &bank, cybrid::CUSTOMERS[1]).await;
    assert_eq!(made.status(), 201);
    assert_eq!(value(&made).as_object().unwrap().len(), 1);
    let token = member(&made, "access_token");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    assert!(serde_json::from_slice::<Value>(&claims).unwrap()["exp"].is_u64());
    let trades = bearing(at, "/api/trades", &token).await;
    assert_eq!(member(&trades, "subject"), cybrid::CUSTOMERS[1]);
    assert_eq!(bearing(at, "/api/trades", &bank).await.status(), 403, "the bank's has no trades:read");
    assert_eq!(customer_token(at, &bank, "nobody").await.status(), 400);
    let outcomes: Vec<_> = simulator.token_requests().into_iter().map(|request| request.outcome).collect();
    assert!(matches!(&outcomes[1], Outcome::Granted { subject, .. } if subject == cybrid::CUSTOMERS[1]));
    assert_eq!(outcomes[2], Outcome::Refused("invalid_parameter"));
}

#[tokio::test]
async fn cybrid_wants_a_scope_and_the_banks_living_token() {
    let simulator = Cybrid::new().start().await.unwrap();
    let at = simulator.address();
    let refused = post(at, "/oauth/token", &[("content-type", FORM)], &cybrid_form("")).await;
    assert_eq!(member(&refused, "error"), "invalid_request");
    let refused = post(at, "/oauth/token", &[("content-type", FORM)], &cybrid_form("&scope=moon")).await;
    assert_eq!(member(&refused, "error"), "invalid_scope");
    let narrow = bank_token(at, "customers:read").await;
    let lacking = customer_token(at, &narrow, cybrid::CUSTOMERS[0]).await;
    assert_eq!((lacking.status().as_u16(), value(&lacking)["status"].as_u64()), (403, Some(403)));
    let bank = bank_token(at, "customers:read+customers:write").await;
    simulator.revoke_all();
    assert_eq!(customer_token(at, &bank, cybrid::CUSTOMERS[0]).await.status(), 401);
}

#[tokio::test]
async fn cybrid_says_too_many_with_403() {
    let simulator = Cybrid::new().start().await.unwrap();
    simulator.limit_token_endpoint(60 * SECOND, Some(2 * SECOND));
    let form = cybrid_form("&scope=customers:read");
    let limited = post(simulator.address(), "/oauth/token", &[("content-type", FORM)], &form).await;
    assert_eq!(limited.status(), 403);
    assert_eq!(limited.headers()["retry-after"], "2");
    let members: Vec<_> = value(&limited).as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["error_message", "message_code", "status"]);
    simulator.lift_limit();
    bank_token(simulator.address(), "customers:read").await;
    assert_eq!((simulator.counts().limited, simulator.counts().granted), (1, 1));
}

#[tokio::test]
async fn cymbio_wants_the_login_along_and_a_scope_that_allows() {
    let simulator = Cymbio::new().start().await.unwrap();
    let at = simulator.address();
    let (id, secret) = (cymbio::CLIENT_ID, cymbio::CLIENT_SECRET);
    let client =
        format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=read:orders");
    let refused = post(at, "/oauth/token", &[("content-type", FORM)], &client).await;
    assert_eq!(refused.status(), 400);
    let login = format!("{client}&username=brand%40shop.example&password={}", cymbio::PASSWORD);
    let granted = post(at, "/oauth/token", &[("content-type", FORM)], &login).await;
    let token = member(&granted, "access_token");
    assert_eq!(bearing(at, "/v3/orders/7", &token).await.status(), 200);
    assert_eq!(bearing(at, "/v3/inventory", &token).await.status(), 403);
    assert_eq!(bearing(at, "/orders", &token).await.status(), 404);
    let plain = Cymbio::new().without_login().start().await.unwrap();
    let granted = post(plain.address(), "/oauth/token", &[("content-type", FORM)], &client).await;
    assert_eq!(granted.status(), 200);
}

async fn any_grant(at: SocketAddr, rest: &str) -> Response<Bytes> {
    post(at, authorization_server::TOKEN_ENDPOINT, &[("content-type", FORM)], rest).await
}

#[tokio::test]
async fn an_authorization_server_answers_its_script_first_and_then_grants() {
    let server = AuthorizationServer::new()
        .rotating()
        .member("expires_in", json!("12"))
        .member("token_type", Value::Null)
        .answer(Answer::html())
        .answer(Answer::redirect("http://127.0.0.1:1/"))
        .start()
        .await
        .unwrap();
    let at = server.address();
    let refresh =
        format!("grant_type=refresh_token&refresh_token={}", authorization_server::FIRST_REFRESH_TOKEN);
    assert!(any_grant(at, &refresh).await.body().starts_with(b"<!doctype"));
    assert_eq!(any_grant(at, &refresh).await.status(), 301);
    let granted = any_grant(at, &refresh).await;
    assert_eq!(value(&granted)["expires_in"], "12");
    assert!(value(&granted).get("token_type").is_none());
    assert_eq!(any_grant(at, &refresh).await.status(), 400, "it was used up");
    assert_eq!(server.counts().dead_refresh_tokens_seen, 1);
    let twice = any_grant(at, "grant_type=a&grant_type=b").await;
    assert_eq!(member(&twice, "error"), "invalid_request");
}

#[tokio::test]
async fn raw_answers_cut_reset_and_stay_silent() {
    let server = AuthorizationServer::new()
        .answer(Answer::cut())
        .answer(Answer::reset())
        .answer(Answer::silence())
        .answer(Answer::zeros(3 << 20))
        .start()
        .await
        .unwrap();
    let ask = async || {
        let request = Request::post("/token").header("content-type", FORM);
        let request = request.body(Bytes::from_static(b"grant_type=client_credentials")).unwrap();
        Application::new(server.address()).send(request).await
    };
    assert!(ask().await.is_err(), "cut");
    assert!(ask().await.is_err(), "reset");
    assert!(tokio::time::timeout(SECOND / 5, ask()).await.is_err(), "silent");
    assert_eq!(ask().await.unwrap().body().len(), 3 << 20);
    assert_eq!(ask().await.unwrap().status(), 200);
    assert_eq!((server.counts().token_requests, server.counts().granted), (5, 1));
}

#[tokio::test]
async fn held_token_responses_wait_until_they_are_released() {
    let server = AuthorizationServer::new().start().await.unwrap();
    server.hold_token_responses();
    let at = server.address();
    let waiting = tokio::spawn(async move { any_grant(at, "grant_type=client_credentials").await });
    while server.counts().granted == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    server.release_token_responses();
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_resource_server_takes_what_its_issuer_issued_and_nothing_else() {
    let issuer = AuthorizationServer::new().start().await.unwrap();
    let api =
        ResourceServer::new(&issuer).answer("/odd", Answer::status(StatusCode::IM_A_TEAPOT)).start().await;
    let api = api.unwrap();
    let token = member(&any_grant(issuer.address(), "grant_type=client_credentials").await, "access_token");
    let authorization = format!("Bearer {token}");
    let fields = [("authorization", authorization.as_str()), ("x-b", "2"), ("x-a", "1"), ("x-b", "3")];
    let echo = value(&post(api.address(), "/any?q=%2f", &fields, "content").await);
    assert_eq!((&echo["target"], &echo["content"]), (&json!("/any?q=%2f"), &json!("content")));
    assert!(!echo.to_string().contains(&token));
    let back = post(api.address(), "/body", &fields, "there and back").await;
    assert_eq!(back.body(), "there and back");
    let zeros = bearing(api.address(), "/zeros/100000", &token).await;
    assert_eq!(zeros.body().len(), 100_000);
    assert_eq!(bearing(api.address(), "/odd", "whatever").await.status(), 418);
    assert_eq!(bearing(api.address(), "/odd", &token).await.status(), 200, "the script is over");
    assert_eq!(bearing(api.address(), "/any", "forged").await.status(), 401);
    issuer.revoke_all();
    assert_eq!(bearing(api.address(), "/any", &token).await.body(), inventorum::TOKEN_INVALID);
    let counts = api.counts();
    assert_eq!((counts.unknown_tokens_seen, counts.revoked_tokens_seen), (2, 1));
}

#[tokio::test]
async fn a_scripted_answer_of_an_api_comes_once_and_is_recorded() {
    let simulator = Cybrid::new().start().await.unwrap();
    let at = simulator.address();
    simulator.answer_next("/api/trades", Answer::status(StatusCode::BAD_GATEWAY));
    assert_eq!(read(at, "/api/customers", &[]).await.status(), 401);
    assert_eq!(read(at, "/api/trades", &[]).await.status(), 502);
    assert_eq!(read(at, "/api/trades", &[]).await.status(), 401);
    let seen: Vec<_> =
        simulator.api_requests().iter().map(|request| request.status.unwrap().as_u16()).collect();
    assert_eq!(seen, [401, 502, 401]);
    simulator.fail_token_endpoint(Answer::empty());
    let form = cybrid_form("&scope=customers:read");
    let failed = post(at, "/oauth/token", &[("content-type", FORM)], &form).await;
    assert!(failed.status() == 200 && failed.body().is_empty());
    simulator.mend_token_endpoint();
    bank_token(at, "customers:read").await;
}
