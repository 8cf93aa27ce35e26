//! Against a real OpenID provider, with nothing configured but its issuer and a client: a person logs in, tokens are rotated,
//! a logout ends them.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use http::{Method, Request};
use serde_json::Value;

use crate::{
    other_origins::hostile,
    support::{
        Application, PATIENCE, Process, ask,
        browser::{Browser, Look, label, role},
        issuer::Place,
        outside::{json, look, status},
        provider::{Decision, End, Person, Provider},
        site::Site,
    },
};

const LOOPBACK: &str = r#"redirect_uri = "http://127.0.0.1:0/callback""#;

/// r027 r134
#[tokio::test]
async fn a_person_logs_in_by_a_loopback_redirect_and_the_application_sees_no_error() {
    let Some(provider) = Provider::start(3).await else { return };
    for (client, keys, redirect) in [
        ("basic", "", LOOPBACK),
        ("post", "token_endpoint_auth_method = \"client_secret_post\"", LOOPBACK),
        ("none", "", r#"redirect_uri = "http://localhost:0/callback""#),
    ] {
        let place = Place::new(&provider, "authorization_code", client, &format!("{keys}\n{redirect}"));
        let running = place.run();
        let mut application = Application::new(running.address("api").await);
        let before = ask(&mut application, "/orders").await;
        assert_eq!(before.status(), 503, "{client}: {before:?}");
        let said = json(&before).to_string();
        assert!(said.contains("bearward login api"), "{client}: {said}");

        let login = place.log_in().await;
        let mut ada = Person::new("ada");
        let back = ada.visits(&login.url, Decision::Allow).await;
        assert!(back.address().contains("iss="), "{client}: the provider says who it is: {back:?}");
        assert_eq!(ada.opens(back.address()).await.status(), 200);
        assert_eq!(login.ended().await.status, 0, "{client}");

        served(&mut application, &running).await;
        let refreshed = provider.count("granted refresh_token").await;
        while provider.count("granted refresh_token").await < refreshed + 3 {
            let answer = ask(&mut application, "/orders").await;
            assert_eq!(answer.status(), 200, "{client}: {answer:?}\n{}", running.log());
            assert_eq!(json(&answer)["sub"], "ada");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let introspected = place.bearward(&["token", "api", "--introspect", "--json"]).await;
        let introspected: Value = serde_json::from_str(&introspected.out).expect("JSON");
        assert_eq!(introspected["active"], true, "{client}: {introspected}");
        assert!(introspected["scope"].as_str().is_some_and(|scope| scope.contains("orders:read")));
        assert_eq!(status(running.address("admin").await).await["tokens"]["api"]["state"], "valid");
    }
    strict(&provider).await;
}

/// A login has a listener of its own, and it is open while a person looks at other pages (r027).
#[tokio::test]
async fn a_person_logs_in_with_a_real_browser_while_another_page_of_it_is_hostile() {
    let Some(provider) = Provider::start(600).await else { return };
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new(&provider, "authorization_code", "none", LOOPBACK);
    let login = place.log_in().await;
    let query = login.url.split_once('?').expect("a query").1;
    let (_, back) = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "redirect_uri")
        .expect("it comes back");

    let evil = Site::start(hostile).await;
    let other = browser.open(Look::default()).await;
    assert_eq!(other.goto(&format!("http://{}/", evil.address())).await, Ok(200));
    for query in ["?state=s&code=", "?error=access_denied&state="] {
        let could = other.evaluate(&format!("attack({:?})", format!("{back}{query}"))).await;
        assert_eq!(could, serde_json::json!({}), "it could read");
    }

    let page = browser.open(Look::default()).await;
    assert_eq!(page.goto(&login.url).await, Ok(200));
    page.fill(label("Name"), "ada").await;
    page.click(role("button", "Log in")).await;
    page.click(role("button", "Allow")).await;
    page.sees("close this").await;
    assert_eq!(page.complaints().await, Vec::<String>::new());
    let wrong = page.axe().await;
    assert!(wrong.iter().all(|violation| !violation.is_serious()), "{wrong:#?}");
    let ended = login.ended().await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(place.bearward(&["token", "api"]).await.status, 0);
}

/// r141
#[tokio::test]
async fn a_logout_ends_the_tokens_at_the_provider_and_here() {
    let Some(provider) = Provider::start(600).await else { return };
    let place = Place::new(&provider, "authorization_code", "basic", LOOPBACK);
    place.logged_in().await;
    let running = place.run();
    let mut application = Application::new(running.address("api").await);
    served(&mut application, &running).await;
    let access_token = place.bearward(&["token", "api"]).await.out.trim().to_owned();
    let refresh_token = place.stored("refresh_token");
    for token in [&access_token, &refresh_token] {
        assert_eq!(introspect(&provider, token).await, true, "it is active before");
    }
    assert_eq!(userinfo(&provider, &access_token).await, 200);
    let out = place.bearward(&["logout", "api"]).await;
    assert_eq!(out.status, 0, "{out:?}");
    assert_eq!(out.err.matches("is revoked at the authorization server").count(), 2, "{out:?}");
    for token in [&access_token, &refresh_token] {
        assert_eq!(introspect(&provider, token).await, false, "it is not any more");
        assert!(!format!("{out:?}").contains(token.as_str()), "a token is no word to say");
    }
    assert_eq!(userinfo(&provider, &access_token).await, 401);
    // The running one notices by itself.
    let begun = Instant::now();
    while ask(&mut application, "/orders").await.status() != 503 {
        assert!(begun.elapsed() < PATIENCE, "{}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ready = look(running.address("admin").await, "/readyz").await;
    assert_eq!(ready.status(), 503);
    assert!(String::from_utf8_lossy(ready.body()).contains("login_required"), "{ready:?}");
    assert_eq!(place.bearward(&["token", "api"]).await.status, 4);
}

#[tokio::test]
async fn where_no_redirect_uri_is_configured_the_code_is_pasted() {
    let Some(provider) = Provider::start(600).await else { return };
    let keys = "token_endpoint_auth_method = \"client_secret_post\"";
    let place = Place::new(&provider, "authorization_code", "paste", keys);
    let mut ada = Person::new("ada");
    let mut login = place.log_in().await;
    assert!(!login.url.contains("redirect_uri"), "{}", login.url);
    let end = ada.visits(&login.url, Decision::Allow).await;
    login.paste(end.code()).await;
    assert_eq!(login.ended().await.status, 0);

    // For scripts: the first process tells the URL and ends, the second brings the code.
    let login = place.log_in_without_anybody().await;
    assert_eq!(login.ended.status, 4, "{:?}", login.ended);
    let end = ada.visits(&login.url, Decision::Allow).await;
    let code = end.code().to_owned();
    assert_eq!(place.bearward(&["login", "api", "--code", &code]).await.status, 0);
    let again = place.bearward(&["login", "api", "--code", &code]).await;
    assert_eq!(again.status, 4, "a code is good for one login: {again:?}");
    assert_eq!(place.bearward(&["token", "api"]).await.status, 0, "a failed login leaves what was there");
}

#[tokio::test]
async fn a_code_that_was_used_or_is_too_old_is_called_that() {
    let Some(provider) = Provider::start_with(600, 1).await else { return };
    let keys = "token_endpoint_auth_method = \"client_secret_post\"";
    let place = Place::new(&provider, "authorization_code", "paste", keys);
    let mut login = place.log_in().await;
    let end = Person::new("ada").visits(&login.url, Decision::Allow).await;
    // Codes of this provider live for one second, in whole seconds of its clock.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    login.paste(end.code()).await;
    let ended = login.ended().await;
    assert_eq!(ended.status, 4, "{ended:?}");
    assert!(ended.err.contains("too old or used"), "{ended:?}");
    assert_eq!(
        provider.count("refused authorization code is expired").await,
        1,
        "{:?}",
        provider.counts().await
    );
}

/// r133 r135
#[tokio::test]
async fn a_person_who_says_no_and_a_server_that_is_another_one_log_nobody_in() {
    let Some(provider) = Provider::start(600).await else { return };
    let place = Place::new(&provider, "authorization_code", "basic", LOOPBACK);
    let mut ada = Person::new("ada");

    let login = place.log_in().await;
    let back = ada.visits(&login.url, Decision::Deny).await;
    ada.opens(back.address()).await;
    let ended = login.ended().await;
    assert_eq!(ended.status, 4, "{ended:?}");
    assert!(ended.err.contains("access_denied"), "{ended:?}");

    let login = place.log_in().await;
    let back = ada.visits(&login.url, Decision::Allow).await;
    let address = back.address();
    let somebodys = address.replace("state=", "state=x");
    assert!(ada.opens(&somebodys).await.status().is_client_error(), "somebody else's login");
    let (before, iss) = address.split_once("iss=").expect("RFC 9207");
    let issuer = form_urlencoded::byte_serialize(provider.issuer().as_bytes()).collect::<String>();
    assert!(iss.starts_with(&issuer), "{address}");
    let mixed_up = format!("{before}iss=http%3A%2F%2Fother.example{}", &iss[issuer.len()..]);
    ada.opens(&mixed_up).await;
    let ended = login.ended().await;
    assert_eq!(ended.status, 4, "{ended:?}");
    assert!(ended.err.contains("other.example"), "{ended:?}");

    let login = place.log_in().await;
    let back = ada.visits(&login.url, Decision::Allow).await;
    let without: Vec<_> = back.address().split(['?', '&']).filter(|part| !part.starts_with("iss=")).collect();
    let (at, query) = without.split_first().expect("an address");
    ada.opens(&format!("{at}?{}", query.join("&"))).await;
    assert_eq!(login.ended().await.status, 4, "the metadata promises iss");

    assert_eq!(place.bearward(&["token", "api"]).await.status, 4, "nobody is logged in");
    assert_eq!(provider.count("granted authorization_code").await, 0);
}

/// r137
#[tokio::test]
async fn a_person_logs_in_on_another_device_or_says_no_there() {
    let Some(provider) = Provider::start(3).await else { return };
    let place = Place::new(&provider, "device_code", "none", "");
    let mut ada = Person::new("ada");

    let login = place.log_in().await;
    let end = ada.visits(&login.url, Decision::Deny).await;
    assert!(matches!(end, End::Page(_)), "{end:?}");
    let ended = login.ended().await;
    assert_eq!(ended.status, 4, "{ended:?}");
    assert_eq!(place.bearward(&["token", "api"]).await.status, 4);

    let running = place.run();
    let mut application = Application::new(running.address("api").await);
    assert_eq!(ask(&mut application, "/orders").await.status(), 503);
    let login = place.log_in().await;
    ada.visits(&login.url, Decision::Allow).await;
    let ended = login.ended().await;
    assert_eq!(ended.status, 0, "{ended:?}");
    served(&mut application, &running).await;
    while provider.count("granted refresh_token").await < 3 {
        assert_eq!(ask(&mut application, "/orders").await.status(), 200, "{}", running.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    strict(&provider).await;
}

/// A provider that rotates refresh tokens ends the whole grant when one comes a second time. Ours die in every way: asked to,
/// and at once, idle or with a token request under way that the provider has not looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r130_fifty_refreshes_and_ten_restarts_never_show_the_provider_a_used_refresh_token() {
    let Some(provider) = Provider::start(2).await else { return };
    let place =
        Place::new(&provider, "authorization_code", "basic", &format!("{LOOPBACK}\nrefresh_at = 0.1"));
    place.logged_in().await;
    let mut died_asking = 0;
    for restart in 1..=10 {
        let running = place.run();
        let mut application = Application::new(running.address("api").await);
        served(&mut application, &running).await;
        while provider.count("granted refresh_token").await < 5 * restart {
            let answer = ask(&mut application, "/orders").await;
            assert_eq!(answer.status(), 200, "{answer:?}\n{}", running.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if restart % 3 == 0 {
            running.signal("TERM");
            assert_eq!(running.ended().await.code(), Some(0));
            continue;
        }
        // Who dies with a rotated token on the wire has lost it: nobody can help that, so no answer is on the wire.
        provider.hold_token_requests().await;
        let granted = provider.count("granted refresh_token").await + 1;
        let begun = Instant::now();
        while place.generation() < granted {
            assert!(begun.elapsed() < PATIENCE, "{granted} are granted\n{}", running.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if restart % 3 == 1 {
            while provider.token_requests_waiting().await == 0 {
                assert!(begun.elapsed() < PATIENCE, "it never asked\n{}", running.log());
            }
            died_asking += 1;
        }
        running.signal("KILL");
        running.ended().await;
        while provider.token_requests_waiting().await > 0 {
            assert!(begun.elapsed() < PATIENCE, "its connection never ended");
        }
        provider.release_token_requests().await;
    }
    assert_eq!(died_asking, 4);
    strict(&provider).await;
    let counts = provider.counts().await;
    assert!(counts["rotated"] >= 50, "{counts:?}");
    assert_eq!(counts["granted authorization_code"], 1, "nobody had to log in again");
}

/// r133
#[tokio::test]
async fn an_issuer_that_is_not_exactly_the_providers_is_refused() {
    let Some(provider) = Provider::start(600).await else { return };
    let place = Place::new(&provider, "authorization_code", "basic", LOOPBACK);
    let wrong = format!("issuer = \"{}\"", provider.issuer().replace("127.0.0.1", "localhost"));
    let right = format!("issuer = \"{}\"", provider.issuer());
    let configuration = fs::read_to_string(&place.file).unwrap().replace(&right, &wrong);
    fs::write(&place.file, configuration).unwrap();
    let ended = place.bearward(&["login", "api", "--no-browser"]).await;
    assert_ne!(ended.status, 0, "{ended:?}");
    assert!(ended.err.contains("issuer") && ended.err.contains(provider.issuer()), "{ended:?}");
}

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
    let query: BTreeMap<_, _> =
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

/// Nothing that a provider rightly refuses, and nothing that it broke at.
async fn strict(provider: &Provider) {
    let counts = provider.counts().await;
    let wrong: Vec<_> = counts
        .keys()
        .filter(|what| {
            let expected = what.starts_with("refused access_denied") || what.starts_with("refused End-User");
            what.starts_with("refused") && !expected || what.starts_with("broken") || *what == "grant revoked"
        })
        .collect();
    assert!(wrong.is_empty(), "{counts:#?}");
    // Its clock has whole seconds, so a token may end one second before its time: a rejection, and a replay, which the
    // application does not see. A request without a token would be worse.
    assert!(!counts.contains_key("api saw no token"), "{counts:#?}");
}

/// Asks until the login is noticed. Before it is, the answer is that somebody has to log in, and no other.
async fn served(application: &mut Application, running: &Process) {
    let begun = Instant::now();
    loop {
        let answer = ask(application, "/orders").await;
        if answer.status() == 200 {
            return;
        }
        assert_eq!(answer.status(), 503, "{answer:?}\n{}", running.log());
        assert!(begun.elapsed() < PATIENCE, "{answer:?}\n{}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the provider says that a token of the client `basic` is active.
async fn introspect(provider: &Provider, token: &str) -> Value {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token);
    let request = Request::post("/token/introspection")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", basic("basic"))
        .body(form.finish().into());
    json(&provider.send(request.unwrap()).await)["active"].clone()
}

fn basic(client: &str) -> String {
    use base64::Engine;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = format!("{}:{}", encoded(client), encoded(&Provider::secret(client)));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both))
}

async fn userinfo(provider: &Provider, token: &str) -> u16 {
    let request = Request::get("/me").header("authorization", format!("Bearer {token}"));
    provider.send(request.body(bytes::Bytes::new()).unwrap()).await.status().as_u16()
}
