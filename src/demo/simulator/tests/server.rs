//! The authorization server of no provider with a person's login, metadata, revocation and introspection switched on.

use super::*;
use crate::demo::simulator::{
    authorization_server::{AUTHORIZATION_ENDPOINT, INTROSPECTION_ENDPOINT, REVOCATION_ENDPOINT},
    codes::s256,
    person::{Decided, Decision},
};

const CALLBACK: &str = "http://127.0.0.1/callback";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-0123456";

fn whole() -> AuthorizationServer {
    AuthorizationServer::new().client("app", "secret").rotating().redirect_uri(CALLBACK).requiring_pkce()
}

async fn authorized(server: &Simulator) -> person::Redirect {
    let query = format!(
        "response_type=code&client_id=app&scope=read+write&state=s&redirect_uri={CALLBACK}\
         &code_challenge={}&code_challenge_method=S256",
        s256(VERIFIER)
    );
    let url = format!("{}{AUTHORIZATION_ENDPOINT}?{query}", server.url());
    match Person::new().decide(&url, Decision::Allow).await.unwrap() {
        Decided::Sent(redirect) => redirect,
        Decided::Page(page) => panic!("{}", page.text),
    }
}

async fn as_app(server: &Simulator, path: &str, body: &str) -> Response<Bytes> {
    let fields = [("authorization", basic("app", "secret")), ("content-type", FORM.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    post(server.address(), path, &fields, body).await
}

async fn exchanged(server: &Simulator, code: &str) -> Response<Bytes> {
    let body =
        format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}");
    as_app(server, "/token", &body).await
}

async fn refreshed(server: &Simulator, refresh_token: &str, more: &str) -> Response<Bytes> {
    let body = format!("grant_type=refresh_token&refresh_token={refresh_token}{more}");
    as_app(server, "/token", &body).await
}

#[tokio::test]
async fn a_login_with_pkce_leads_to_rotating_tokens_whose_reuse_revokes_the_family() {
    let server = whole().start().await.unwrap();
    let code = authorized(&server).await.parameter("code").unwrap();
    let granted = exchanged(&server, &code).await;
    assert_eq!(member(&granted, "scope"), "read write");
    let first = member(&granted, "refresh_token");
    assert_eq!(member(&refreshed(&server, &first, "&scope=admin").await, "error"), "invalid_scope");
    let next = refreshed(&server, &first, "&scope=read").await;
    assert_eq!(next.status(), 200);
    assert_eq!(server.active_tokens().len(), 2);
    assert_eq!(member(&refreshed(&server, &first, "").await, "error"), "invalid_grant");
    assert!(server.active_tokens().is_empty(), "the family is gone");
    assert_eq!(
        member(&refreshed(&server, &member(&next, "refresh_token"), "").await, "error"),
        "invalid_grant"
    );
    assert_eq!(server.counts().dead_refresh_tokens_seen, 2);
}

#[tokio::test]
async fn a_code_is_exchanged_by_its_client_in_a_form() {
    let server = whole().start().await.unwrap();
    let code = authorized(&server).await.parameter("code").unwrap();
    let body =
        format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}");
    let bare = any_grant(server.address(), &body).await;
    assert_eq!((bare.status().as_u16(), member(&bare, "error")), (401, "invalid_client".to_owned()));
    assert!(bare.headers().contains_key("www-authenticate"));
    let fields = [("authorization", basic("app", "secret")), ("content-type", JSON.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let object = json!({ "grant_type": "authorization_code", "code": code });
    assert_eq!(
        member(&post(server.address(), "/token", &fields, &object.to_string()).await, "error"),
        "invalid_request"
    );
    assert_eq!(exchanged(&server, &code).await.status(), 200, "none of it used the code up");
    let unchallenged = format!("{}{AUTHORIZATION_ENDPOINT}?response_type=code&client_id=app", server.url());
    let Decided::Sent(back) = Person::new().decide(&unchallenged, Decision::Allow).await.unwrap() else {
        panic!("a page")
    };
    assert_eq!(back.parameter("error").unwrap(), "invalid_request", "the challenge is needed");
}

#[tokio::test]
async fn metadata_is_at_both_places_names_what_is_there_and_can_be_made_wrong() {
    let server = whole().metadata("/tenant").iss().revocation().start().await.unwrap();
    let issuer = format!("{}/tenant", server.url());
    let places =
        ["/.well-known/oauth-authorization-server/tenant", "/tenant/.well-known/openid-configuration"];
    for place in places {
        let document = value(&read(server.address(), place, &[]).await);
        assert_eq!(document["issuer"], issuer);
        assert_eq!(document["token_endpoint"], format!("{}/token", server.url()));
        assert_eq!(document["revocation_endpoint"], format!("{}/revoke", server.url()));
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert!(
            document.get("introspection_endpoint").is_none()
                && document.get("device_authorization_endpoint").is_none()
        );
    }
    assert_eq!(read(server.address(), "/.well-known/oauth-authorization-server", &[]).await.status(), 404);
    assert_eq!(authorized(&server).await.parameter("iss").unwrap(), issuer);
    server.fail(places[0], Answer::status(StatusCode::NOT_FOUND));
    assert_eq!(read(server.address(), places[0], &[]).await.status(), 404);
    assert_eq!(read(server.address(), places[1], &[]).await.status(), 200);
    server.mend(places[0]);
    assert_eq!(read(server.address(), places[0], &[]).await.status(), 200);
    assert_eq!(server.counts().api_requests, 1, "metadata is no API");
    let wrong = AuthorizationServer::new().metadata_member("issuer", json!("https://other.example"));
    let wrong = wrong.metadata_member("token_endpoint", Value::Null).wrong_iss("https://other.example");
    let wrong = wrong.start().await.unwrap();
    let document = value(&read(wrong.address(), "/.well-known/openid-configuration", &[]).await);
    assert_eq!(document["issuer"], "https://other.example");
    assert!(document.get("token_endpoint").is_none());
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_its_access_tokens_along() {
    for server in [whole().revocation(), whole().keeping_refresh_tokens().revocation()] {
        let server = server.start().await.unwrap();
        let code = authorized(&server).await.parameter("code").unwrap();
        let granted = exchanged(&server, &code).await;
        let next = refreshed(&server, &member(&granted, "refresh_token"), "").await;
        let living = value(&next)["refresh_token"].as_str().map(str::to_owned);
        let living = living.unwrap_or(member(&granted, "refresh_token"));
        let last = refreshed(&server, &living, "").await;
        let living = value(&last)["refresh_token"].as_str().map_or(living, str::to_owned);
        let access = format!("token={}&token_type_hint=refresh_token", member(&last, "access_token"));
        assert_eq!(as_app(&server, REVOCATION_ENDPOINT, &access).await.status(), 200);
        let others = [member(&granted, "access_token"), member(&next, "access_token")];
        assert_eq!(server.active_tokens(), others, "that one alone");
        let refresh = format!("token={living}");
        for _ in 0..2 {
            assert_eq!(as_app(&server, REVOCATION_ENDPOINT, &refresh).await.status(), 200);
        }
        assert!(server.active_tokens().is_empty());
        assert_eq!(member(&refreshed(&server, &living, "").await, "error"), "invalid_grant");
        assert_eq!(
            as_app(&server, REVOCATION_ENDPOINT, "token=never-issued").await.status(),
            200,
            "RFC 7009 2.2"
        );
        assert_eq!(member(&as_app(&server, REVOCATION_ENDPOINT, "x=1").await, "error"), "invalid_request");
        let bare = post(server.address(), REVOCATION_ENDPOINT, &[("content-type", FORM)], &refresh).await;
        assert_eq!(bare.status(), 401);
        assert_eq!(read(server.address(), REVOCATION_ENDPOINT, &[]).await.status(), 405);
    }
    let server = whole().revocation_of_refresh_tokens().start().await.unwrap();
    let code = authorized(&server).await.parameter("code").unwrap();
    let access = format!("token={}", member(&exchanged(&server, &code).await, "access_token"));
    let refused = as_app(&server, REVOCATION_ENDPOINT, &access).await;
    assert_eq!(member(&refused, "error"), "unsupported_token_type");
    assert_eq!(server.active_tokens().len(), 1);
}

#[tokio::test]
async fn introspection_says_nothing_of_a_dead_token_and_nothing_to_strangers() {
    let server = whole().introspection().start().await.unwrap();
    let code = authorized(&server).await.parameter("code").unwrap();
    let granted = exchanged(&server, &code).await;
    let access = format!("token={}", member(&granted, "access_token"));
    let told = value(&as_app(&server, INTROSPECTION_ENDPOINT, &access).await);
    assert_eq!((told["active"].clone(), told["scope"].clone()), (json!(true), json!("read write")));
    assert_eq!(
        (told["client_id"].clone(), told["username"].clone()),
        (json!("app"), json!(super::super::apicbase::USERNAME))
    );
    assert!(told["exp"].is_u64() && told["iat"].is_u64());
    let refresh = format!("token={}", member(&granted, "refresh_token"));
    assert_eq!(value(&as_app(&server, INTROSPECTION_ENDPOINT, &refresh).await)["active"], true);
    assert_eq!(server.counts().dead_refresh_tokens_seen, 0, "asking is not using");
    assert_eq!(
        post(server.address(), INTROSPECTION_ENDPOINT, &[("content-type", FORM)], &access).await.status(),
        401
    );
    server.revoke_all();
    server.end_logins();
    for dead in [&access, &refresh, &"token=never-issued".to_owned()] {
        let told = value(&as_app(&server, INTROSPECTION_ENDPOINT, dead).await);
        assert_eq!(told, json!({ "active": false }));
    }
    let public = AuthorizationServer::new().public_client("app").introspection().start().await.unwrap();
    let asked = format!("{access}&client_id=app");
    assert_eq!(
        post(public.address(), INTROSPECTION_ENDPOINT, &[("content-type", FORM)], &asked).await.status(),
        401
    );
}

#[tokio::test]
async fn what_is_not_switched_on_is_not_there() {
    let server = AuthorizationServer::new().start().await.unwrap();
    for path in [
        AUTHORIZATION_ENDPOINT,
        REVOCATION_ENDPOINT,
        INTROSPECTION_ENDPOINT,
        "/device",
        "/device_authorization",
    ] {
        assert_eq!(
            post(server.address(), path, &[("content-type", FORM)], "token=x").await.status(),
            404,
            "{path}"
        );
    }
    assert_eq!(read(server.address(), "/.well-known/openid-configuration", &[]).await.status(), 404);
    assert_eq!(server.counts().api_requests, 6);
}
