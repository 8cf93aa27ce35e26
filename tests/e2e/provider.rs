//! Against a real OpenID provider, with nothing configured but its issuer and a client: a person logs in, tokens are rotated,
//! a logout ends them.

use http::{Method, Request};
use serde_json::Value;

use crate::support::{
    outside::json,
    provider::{Decision, End, Person, Provider},
};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What the other tests rely on: the provider is strict, and a used refresh token is seen by it.
#[tokio::test]
async fn the_provider_notices_a_refresh_token_that_comes_twice() {
    let Some(provider) = Provider::start(300).await else { return };
    let authorize = |more: &str| {
        let issuer = provider.issuer();
        format!(
            "{issuer}/auth?response_type=code&client_id=none&scope=openid&redirect_uri=http%3A%2F%2F127.0.0.1%3A5%2Fcallback{more}"
        )
    };
    let mut ada = Person::new("ada");
    let unproven = ada.visits(&authorize(""), Decision::Allow).await;
    assert!(unproven.address().contains("error=invalid_request"), "PKCE is not required: {unproven:?}");
    let proven = authorize(&format!("&state=s&code_challenge={CHALLENGE}&code_challenge_method=S256"));
    let denied = ada.visits(&proven, Decision::Deny).await;
    assert!(denied.address().contains("error=access_denied"), "{denied:?}");
    let End::SentTo(address) = ada.visits(&proven, Decision::Allow).await else { panic!("no redirect") };
    let query: std::collections::BTreeMap<_, _> =
        form_urlencoded::parse(address.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    assert_eq!(query["iss"], provider.issuer());
    let code = [
        ("grant_type", "authorization_code"),
        ("code", &query["code"]),
        ("code_verifier", VERIFIER),
        ("redirect_uri", "http://127.0.0.1:5/callback"),
    ];
    let redeemed = token(&provider, &code).await;
    let refresh_token = redeemed["refresh_token"].as_str().expect("a refresh token");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    assert_ne!(token(&provider, &refresh).await["refresh_token"], refresh_token);
    assert_eq!(token(&provider, &refresh).await["error"], "invalid_grant");
    let counts = provider.counts().await;
    assert_eq!(counts["refused refresh token already used"], 1, "{counts:?}");
    assert_eq!((counts["rotated"], counts["grant revoked"]), (1, 1), "{counts:?}");
}

async fn token(provider: &Provider, parameters: &[(&str, &str)]) -> Value {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters).append_pair("client_id", "none");
    let request = Request::builder().method(Method::POST).uri("/token");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    json(&provider.send(request.body(form.finish().into()).unwrap()).await)
}
