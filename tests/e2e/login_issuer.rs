//! Logins at a server of which only its issuer is configured: a loopback redirect, a device, and a logout that revokes.

use std::time::Duration;

use bearward::demo::simulator::{
    AuthorizationServer, Outcome, Person, Simulator,
    authorization_server::FIRST_REFRESH_TOKEN,
    person::{Decided, Decision},
};

use crate::support::{
    kitchen::{LOOPBACK, Login},
    outside::{Ended, bearward},
};

const LOGIN_REQUIRED: i32 = 4;

/// A folder with a configuration that names the issuer, and these further keys of `[tokens.id]`.
fn folder(server: &Simulator, further: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = (server.url(), folder.path().join("state"));
    let text = format!(
        r#"
        store = {{ path = "{state}" }}
        [tokens.id]
        issuer = "{url}"
        client_id = "app"
        {further}
        [upstreams.api]
        url = "{url}"
        token = "id"
        listen = "127.0.0.1:0"
        "#,
        state = state.display(),
    );
    std::fs::write(folder.path().join("bearward.toml"), text).unwrap();
    folder
}

fn browser() -> String {
    format!(
        "grant_type = \"authorization_code\"\nclient_secret = \"canary-secret\"\nredirect_uri = \"{LOOPBACK}\""
    )
}

fn server() -> AuthorizationServer {
    let server = AuthorizationServer::new().client("app", "canary-secret").rotating();
    server.redirect_uri(LOOPBACK).requiring_pkce().iss().metadata("").revocation().introspection()
}

fn expect(server: &Simulator, ended: &Ended, status: i32, words: &[&str]) {
    assert_eq!(ended.status, status, "{ended:?}");
    let said = format!("{}{}", ended.out, ended.err);
    for words in words {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let mut secrets = server.active_refresh_tokens();
    secrets.push("canary".to_owned());
    for request in server.token_requests() {
        secrets.extend(request.parameters.one("device_code").map(str::to_owned));
        if let Outcome::Granted { token, .. } = request.outcome {
            secrets.push(token);
        }
    }
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
}

#[tokio::test]
async fn r141_an_issuer_is_enough_to_log_in_to_look_and_to_log_out() {
    let server = server().start().await.unwrap();
    let folder = folder(&server, &browser());
    let login = Login::begin(folder.path(), "id", &[]).await;
    let page = Person::new().allow(&login.url).await.unwrap();
    assert_eq!(page.status, 200, "{page:?}");
    expect(&server, &login.ended().await, 0, &["Logged in: id"]);

    let run = async |arguments: &[&str]| bearward(folder.path(), arguments, &[]).await;
    expect(&server, &run(&["token", "id", "--introspect"]).await, 0, &["active     yes"]);
    assert_eq!((server.active_tokens().len(), server.active_refresh_tokens().len()), (1, 2));
    let words = ["the refresh token is revoked", "the access token is revoked"];
    expect(&server, &run(&["logout", "id"]).await, 0, &words);
    assert!(server.active_tokens().is_empty());
    assert_eq!(server.active_refresh_tokens(), [FIRST_REFRESH_TOKEN], "which is nobody's here");
    expect(&server, &run(&["logout", "id"]).await, 0, &["id: nothing was stored"]);
    expect(&server, &run(&["token", "id"]).await, LOGIN_REQUIRED, &["bearward login id"]);
}

#[tokio::test]
async fn r133_an_answer_of_another_issuer_ends_the_login_and_its_code_goes_nowhere() {
    let server = server().wrong_iss("https://evil.example").start().await.unwrap();
    let folder = folder(&server, &browser());
    let login = Login::begin(folder.path(), "id", &[]).await;
    let page = Person::new().allow(&login.url).await.unwrap();
    assert_eq!(page.status, 400, "{page:?}");
    assert!(page.text.contains("nothing of it is used"), "{page:?}");
    let words = ["not logged in", "https://evil.example", "nothing of it is used"];
    expect(&server, &login.ended().await, LOGIN_REQUIRED, &words);
    assert_eq!(server.counts().token_requests, 0);
}

#[tokio::test]
async fn r137_a_device_login_ends_as_its_person_decides() {
    for decision in [Decision::Allow, Decision::Refuse] {
        let server = AuthorizationServer::new().public_client("app").rotating().metadata("");
        let interval = Duration::from_secs(1);
        let server = server.device_authorization(interval, Duration::from_secs(60)).start().await.unwrap();
        let further = "grant_type = \"device_code\"\ntoken_endpoint_auth_method = \"none\"";
        let folder = folder(&server, further);
        let login = Login::begin(folder.path(), "id", &[]).await;
        Person::new().confirm(&login.url, decision).await.unwrap();
        let ended = login.ended().await;
        match decision {
            Decision::Allow => expect(&server, &ended, 0, &["Logged in: id"]),
            Decision::Refuse => expect(&server, &ended, LOGIN_REQUIRED, &["refused on the other device"]),
        }
    }
}

#[tokio::test]
async fn a_code_is_bound_to_its_login() {
    let server = server().start().await.unwrap();
    let folder = folder(&server, &browser());
    let one = Login::begin(folder.path(), "id", &[]).await;
    let other = Login::begin(folder.path(), "id", &[]).await;
    let Decided::Sent(back) = Person::new().decide(&other.url, Decision::Allow).await.unwrap() else {
        panic!("nobody was sent anywhere");
    };
    // Another login's code with the right state: PKCE refuses it (RFC 9700 section 4.5).
    let query = one.url.split_once('?').unwrap().1;
    let state = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "state").unwrap().1;
    let Decided::Sent(own) = Person::new().decide(&one.url, Decision::Allow).await.unwrap() else {
        panic!("nobody was sent anywhere");
    };
    let injected = own.with("code", &back.parameter("code").unwrap()).with("state", &state);
    let page = injected.follow().await.unwrap();
    assert_eq!(page.status, 400, "{page:?}");
    expect(&server, &one.ended().await, LOGIN_REQUIRED, &["the code was too old or used"]);
    assert!(server.active_tokens().is_empty());
    drop(other);
}
