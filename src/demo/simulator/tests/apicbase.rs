//! Apicbase: what a person sees, which requests never become a redirect, and what a code is bound to.

use super::*;
use crate::demo::simulator::{
    apicbase::{CLIENT_ID, CLIENT_SECRET, Kitchen, SUPPLIER_ID, SUPPLIER_SECRET, USERNAME},
    codes::s256,
    person::{Decided, Decision, Redirect, Stuck},
};

const CALLBACK: &str = "http://127.0.0.1/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn apicbase_form(rest: &str) -> String {
    format!("client_id={}&client_secret={}&{rest}", CLIENT_ID, CLIENT_SECRET)
}

async fn apicbase_post(kitchen: &Kitchen, path: &str, rest: &str) -> Response<Bytes> {
    post(kitchen.simulator.address(), path, &[("content-type", FORM)], &apicbase_form(rest)).await
}

#[tokio::test]
async fn an_apicbase_code_is_good_once_and_for_a_minute() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let exchange = |code: &str| format!("grant_type=authorization_code&redirect_uri=&code={code}");
    let code = kitchen.authorize(&["library", "stock"], None);
    let granted = apicbase_post(&kitchen, "/oauth/token/", &exchange(&code)).await;
    assert_eq!(member(&granted, "scope"), "library stock");
    let kept = format!("grant_type=refresh_token&refresh_token={}", member(&granted, "refresh_token"));
    for _ in 0..2 {
        assert_eq!(apicbase_post(&kitchen, "/oauth/token/", &kept).await.status(), 200);
    }
    let again = apicbase_post(&kitchen, "/oauth/token/", &exchange(&code)).await;
    assert_eq!(member(&again, "error"), "invalid_grant");
    let elsewhere = kitchen.authorize(&["library"], Some("http://127.0.0.1:1/callback"));
    let mismatch = apicbase_post(&kitchen, "/oauth/token/", &exchange(&elsewhere)).await;
    assert_eq!(member(&mismatch, "error"), "invalid_grant");
    let hasty = Apicbase::new().code_lifetime(Duration::ZERO).start().await.unwrap();
    let late = apicbase_post(&hasty, "/oauth/token/", &exchange(&hasty.authorize(&["library"], None))).await;
    assert_eq!(member(&late, "error"), "invalid_grant");
}

#[tokio::test]
async fn apicbase_introspects_and_serves_suppliers_in_json() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let at = kitchen.simulator.address();
    let code = kitchen.authorize(&["library"], None);
    let exchange = format!("grant_type=authorization_code&code={code}");
    let granted = apicbase_post(&kitchen, "/oauth/token/", &exchange).await;
    let (token, refresh) = (member(&granted, "access_token"), member(&granted, "refresh_token"));
    let active =
        apicbase_post(&kitchen, "/oauth/introspect/", &format!("token={token}&refresh_token={refresh}"))
            .await;
    assert_eq!(value(&active)["active"], true);
    let dead = apicbase_post(&kitchen, "/oauth/introspect/", "token=nothing&refresh_token=x").await;
    assert_eq!(value(&dead), json!({ "active": false }));
    let supplier = json!({
        "grant_type": "client_credentials",
        "client_id": SUPPLIER_ID,
        "client_secret": SUPPLIER_SECRET,
        "scope": "supplier",
    });
    let granted = post(at, "/oauth/token/", &[("content-type", JSON)], &supplier.to_string()).await;
    assert_eq!(member(&granted, "scope"), "supplier");
    let form = format!(
        "grant_type=client_credentials&client_id={SUPPLIER_ID}&client_secret={SUPPLIER_SECRET}&scope=supplier"
    );
    assert_eq!(post(at, "/oauth/token/", &[("content-type", FORM)], &form).await.status(), 400);
}

/// Where the person's browser is sent, with these parameters besides those that are always there.
fn login(kitchen: &Kitchen, more: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([("response_type", "code"), ("client_id", CLIENT_ID), ("scope", "library stock")]);
    query.extend_pairs(more);
    format!("{}?{}", kitchen.authorization_endpoint(), query.finish())
}

async fn sent(person: &Person, url: &str, decision: Decision) -> Redirect {
    match person.decide(url, decision).await.unwrap() {
        Decided::Sent(redirect) => redirect,
        Decided::Page(page) => panic!("a page: {}", page.text),
    }
}

/// Exchanges `code` with these parameters besides.
async fn exchange(kitchen: &Kitchen, code: &str, more: &[(&str, &str)]) -> Response<Bytes> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("grant_type", "authorization_code"), ("code", code)]);
    form.extend_pairs(more);
    apicbase_post(kitchen, "/oauth/token/", &form.finish()).await
}

#[tokio::test]
async fn without_a_redirect_uri_a_page_shows_the_code_to_copy() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let person = Person::named("souschef@kitchen.example");
    let code = person.copy_code(&login(&kitchen, &[("state", "unused")])).await.unwrap();
    let granted = exchange(&kitchen, &code, &[("redirect_uri", "")]).await;
    assert_eq!(member(&granted, "scope"), "library stock");
    let tokens = format!(
        "token={}&refresh_token={}",
        member(&granted, "access_token"),
        member(&granted, "refresh_token")
    );
    let told = apicbase_post(&kitchen, "/oauth/introspect/", &tokens).await;
    assert_eq!(member(&told, "username"), "souschef@kitchen.example");
    let refused = Person::new().refuse(&login(&kitchen, &[])).await.unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, None), "{}", refused.text);
    assert!(refused.text.contains("access_denied"));
    let counts = kitchen.simulator.counts();
    assert_eq!((counts.logins, counts.api_requests), (1, 0));
    let pages = kitchen.simulator.endpoint_requests(super::super::apicbase::AUTHORIZATION_ENDPOINT);
    assert_eq!(pages.len(), 4, "two forms, shown and sent");
}

#[tokio::test]
async fn a_registered_redirect_uri_gets_code_and_state_back() {
    let kitchen = Apicbase::new().redirect_uri(CALLBACK).iss().start().await.unwrap();
    let url = login(&kitchen, &[("redirect_uri", "http://127.0.0.1:7/callback"), ("state", "a b&c=d")]);
    let back = sent(&Person::new(), &url, Decision::Allow).await;
    assert!(back.url().starts_with("http://127.0.0.1:7/callback?"), "{}", back.url());
    assert_eq!(back.parameter("state").unwrap(), "a b&c=d");
    assert_eq!(back.parameter("iss").unwrap(), kitchen.simulator.url());
    let code = back.parameter("code").unwrap();
    let granted = exchange(&kitchen, &code, &[("redirect_uri", "http://127.0.0.1:7/callback")]).await;
    assert_eq!(granted.status(), 200);
    let refused = sent(&Person::new(), &url, Decision::Refuse).await;
    assert_eq!(refused.parameter("error").unwrap(), "access_denied");
    assert_eq!(refused.parameter("state").unwrap(), "a b&c=d");
    assert_eq!((refused.parameter("code"), back.without("code").parameter("code")), (None, None));
    assert_eq!(back.with("state", "other").parameter("state").unwrap(), "other");
}

/// RFC 6749 section 4.1.2.1: before client and redirect URI are known to be right, nobody is sent anywhere.
#[tokio::test]
async fn an_unknown_client_or_redirect_uri_gets_a_page_and_never_a_redirect() {
    let kitchen = Apicbase::new().redirect_uri(CALLBACK).redirect_uri("https://app.example/back?x=1");
    let kitchen = kitchen.start().await.unwrap();
    let endpoint = kitchen.authorization_endpoint();
    let known = format!("{endpoint}?response_type=code&client_id={CLIENT_ID}&scope=library");
    for url in [
        format!("{endpoint}?response_type=code&client_id=somebody&scope=library&redirect_uri={CALLBACK}"),
        format!("{endpoint}?response_type=code&scope=library&redirect_uri={CALLBACK}"),
        known.clone(),
        format!("{known}&client_id={CLIENT_ID}&redirect_uri={CALLBACK}"),
        format!("{known}&redirect_uri={CALLBACK}&redirect_uri={CALLBACK}"),
        format!("{known}&redirect_uri=http://127.0.0.1/other"),
        format!("{known}&redirect_uri=http://127.0.0.1/callback/"),
        format!("{known}&redirect_uri=http://127.0.0.1.evil.example/callback"),
        format!("{known}&redirect_uri=http://127.0.0.1:1%40evil.example/callback"),
        format!("{known}&redirect_uri=http://127.0.0.1:%2b1/callback"),
        format!("{known}&redirect_uri=http://localhost/callback"),
        format!("{known}&redirect_uri=https://127.0.0.1/callback"),
        format!("{known}&redirect_uri=https://app.example:444/back?x=1"),
    ] {
        let Err(Stuck::NoForm(page)) = Person::new().decide(&url, Decision::Allow).await else {
            panic!("no error page for {url}")
        };
        assert_eq!(page.status, 400, "{url}");
    }
    assert_eq!(kitchen.simulator.counts().logins, 0);
    let exact = format!("{known}&redirect_uri=https%3A%2F%2Fapp.example%2Fback%3Fx%3D1");
    let back = sent(&Person::new(), &exact, Decision::Allow).await;
    assert!(back.url().starts_with("https://app.example/back?x=1&code="), "{}", back.url());
}

#[tokio::test]
async fn every_other_mistake_goes_back_with_the_state() {
    let kitchen = Apicbase::new().redirect_uri(CALLBACK).start().await.unwrap();
    let base = format!("{}?client_id={CLIENT_ID}&state=s&", kitchen.authorization_endpoint());
    let challenge = s256(VERIFIER);
    for (query, error) in [
        ("scope=library".to_owned(), "invalid_request"),
        ("response_type=token&scope=library".to_owned(), "unsupported_response_type"),
        ("response_type=code".to_owned(), "invalid_scope"),
        ("response_type=code&scope=a++b".to_owned(), "invalid_scope"),
        ("response_type=code&scope=a&scope=a".to_owned(), "invalid_request"),
        ("response_type=code&scope=a&x=1&x=1".to_owned(), "invalid_request"),
        (format!("response_type=code&scope=a&code_challenge={challenge}"), "invalid_request"),
        (
            format!("response_type=code&scope=a&code_challenge={challenge}&code_challenge_method=plain"),
            "invalid_request",
        ),
        (
            format!("response_type=code&scope=a&code_challenge={challenge}%3D&code_challenge_method=S256"),
            "invalid_request",
        ),
        ("response_type=code&scope=a&code_challenge_method=S256".to_owned(), "invalid_request"),
    ] {
        let back = sent(&Person::new(), &(base.clone() + &query), Decision::Allow).await;
        assert_eq!(back.parameter("error").as_deref(), Some(error), "{query}");
        assert_eq!(back.parameter("state").as_deref(), Some("s"), "{query}");
    }
    let ignored = base + "response_type=code&scope=a&unknown=1";
    assert!(sent(&Person::new(), &ignored, Decision::Allow).await.parameter("code").is_some());
}

#[tokio::test]
async fn a_code_is_bound_to_its_verifier() {
    assert_eq!(s256(VERIFIER), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "RFC 7636 appendix B");
    let kitchen = Apicbase::new().start().await.unwrap();
    let challenged =
        login(&kitchen, &[("code_challenge", &s256(VERIFIER)), ("code_challenge_method", "S256")]);
    let other = VERIFIER.replace('d', "e");
    for verifier in [None, Some(other.as_str()), Some("short"), Some(VERIFIER)] {
        let code = Person::new().copy_code(&challenged).await.unwrap();
        let more: Vec<_> = verifier.iter().map(|verifier| ("code_verifier", *verifier)).collect();
        let status = if verifier == Some(VERIFIER) { 200 } else { 400 };
        let answer = exchange(&kitchen, &code, &more).await;
        assert_eq!(answer.status(), status, "{verifier:?}");
        assert!(status == 200 || member(&answer, "error") == "invalid_grant");
    }
    let plain = Person::new().copy_code(&login(&kitchen, &[])).await.unwrap();
    let downgraded = exchange(&kitchen, &plain, &[("code_verifier", VERIFIER)]).await;
    assert_eq!(member(&downgraded, "error"), "invalid_grant", "a challenge was taken off on the way");
}

/// RFC 6749 section 4.1.2.
#[tokio::test]
async fn a_used_code_takes_back_what_it_gave() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let code = Person::new().copy_code(&login(&kitchen, &[])).await.unwrap();
    let granted = exchange(&kitchen, &code, &[]).await;
    let kept = format!("grant_type=refresh_token&refresh_token={}", member(&granted, "refresh_token"));
    let refreshed = apicbase_post(&kitchen, "/oauth/token/", &kept).await;
    assert_eq!(kitchen.simulator.active_tokens().len(), 2);
    assert_eq!(member(&exchange(&kitchen, &code, &[]).await, "error"), "invalid_grant");
    assert_eq!(kitchen.simulator.counts().used_codes_seen, 1);
    assert!(
        kitchen.simulator.active_tokens().is_empty() && kitchen.simulator.active_refresh_tokens().is_empty()
    );
    let at = kitchen.simulator.address();
    assert_eq!(bearing(at, "/api/products/", &member(&refreshed, "access_token")).await.status(), 401);
    assert_eq!(apicbase_post(&kitchen, "/oauth/token/", &kept).await.status(), 400);
}

#[tokio::test]
async fn an_expired_access_token_is_still_refreshed() {
    let kitchen = Apicbase::new().lifetime(Duration::ZERO).start().await.unwrap();
    let code = Person::new().copy_code(&login(&kitchen, &[])).await.unwrap();
    let granted = exchange(&kitchen, &code, &[]).await;
    assert!(kitchen.simulator.active_tokens().is_empty());
    let kept = format!("grant_type=refresh_token&refresh_token={}", member(&granted, "refresh_token"));
    assert_eq!(apicbase_post(&kitchen, "/oauth/token/", &kept).await.status(), 200);
}

#[tokio::test]
async fn a_form_is_good_once_and_wants_a_name() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let Err(Stuck::NoForm(page)) =
        Person::new().decide(&kitchen.authorization_endpoint(), Decision::Allow).await
    else {
        panic!("a form for nobody")
    };
    assert!(page.text.contains("client_id"));
    let nameless = Person::named("").allow(&login(&kitchen, &[])).await.unwrap();
    assert_eq!((nameless.status.as_u16(), nameless.code()), (400, None));
    let at = kitchen.simulator.address();
    let forged = "request=request-1&decision=allow&username=x";
    let path = super::super::apicbase::AUTHORIZATION_ENDPOINT;
    assert_eq!(post(at, path, &[("content-type", FORM)], forged).await.status(), 400);
    assert_eq!(kitchen.simulator.counts().logins, 0);
    let target = login(&kitchen, &[]).replace(&kitchen.simulator.url(), "");
    let page = String::from_utf8(read(at, &target, &[]).await.body().to_vec()).unwrap();
    let ticket = page.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let decision = format!("request={ticket}&decision=allow&username=x");
    assert_eq!(post(at, path, &[("content-type", FORM)], &decision).await.status(), 200);
    assert_eq!(post(at, path, &[("content-type", FORM)], &decision).await.status(), 400, "sent twice");
    assert_eq!(USERNAME, apicbase_username(&kitchen).await);
}

/// Whom the API and introspection know after a login of the person of the examples.
async fn apicbase_username(kitchen: &Kitchen) -> String {
    let code = Person::new().copy_code(&login(kitchen, &[])).await.unwrap();
    let granted = exchange(kitchen, &code, &[]).await;
    let at = kitchen.simulator.address();
    member(&bearing(at, "/api/products/", &member(&granted, "access_token")).await, "subject")
}

#[tokio::test]
async fn what_a_request_says_is_escaped_on_the_page() {
    let kitchen = Apicbase::new().start().await.unwrap();
    let url = login(&kitchen, &[]).replace("library", "%3Cb%3E%26");
    let target = url.strip_prefix(&kitchen.simulator.url()).unwrap();
    let page = read(kitchen.simulator.address(), target, &[]).await;
    let text = String::from_utf8_lossy(page.body()).into_owned();
    assert!(text.contains("&lt;b&gt;&amp;") && !text.contains("<b>"), "{text}");
}

#[tokio::test]
async fn a_person_brings_the_code_to_whoever_listens_and_may_come_twice() {
    let application = AuthorizationServer::new().start().await.unwrap();
    application.answer_next("/callback", Answer::html());
    let kitchen = Apicbase::new().redirect_uri("http://localhost/callback").start().await.unwrap();
    let redirect_uri = format!("http://localhost:{}/callback", application.address().port());
    let url = login(&kitchen, &[("redirect_uri", &redirect_uri)]);
    let page = Person::new().allow(&url).await.unwrap();
    assert_eq!(page.status, 200);
    let back = sent(&Person::new(), &url, Decision::Allow).await;
    back.follow_and_close().await.unwrap();
    assert_eq!(back.follow().await.unwrap().status, 404);
    let seen = application.api_requests();
    assert!(seen.len() >= 2 && seen.iter().all(|request| request.call.path == "/callback"));
    assert!(seen[0].call.target.contains("code="), "{}", seen[0].call.target);
}
