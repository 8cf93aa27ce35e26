//! `bearward login`, `logout` and `token --introspect` against the simulated Apicbase: each end in words that help.

use std::time::{Duration, SystemTime};

use bearward::{
    clock::Clock,
    demo::simulator::{Answer, Apicbase, Person, person::Decision},
    login::{Begun, PATIENCE},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Application, Process, ask,
    kitchen::{LOOPBACK, Place, sent},
    outside::Ended,
    until,
};

const USAGE: i32 = 2;
const LOGIN_REQUIRED: i32 = 4;
const UNAVAILABLE: i32 = 69;
const TRY_AGAIN: i32 = 75;
const CONFIG: i32 = 78;

fn expect(ended: &Ended, status: i32, words: &[&str]) {
    assert_eq!(ended.status, status, "{ended:?}");
    for words in words {
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
    }
    assert!(!ended.err.contains("panic"), "{}", ended.err);
}

/// A whole login by the pasted code.
async fn log_in(place: &Place) -> Ended {
    let mut login = place.login(&[]).await;
    let code = Person::new().copy_code(&login.url).await.unwrap();
    login.paste(&code).await;
    let ended = place.end(login).await;
    expect(&ended, 0, &["Logged in: kitchen"]);
    ended
}

async fn comes_to(application: &mut Application, status: u16) {
    let come = tokio::time::timeout(crate::support::PATIENCE, async {
        while ask(application, "/api/v1/items").await.status() != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(come.await.is_ok(), "it never came to {status}");
}

#[tokio::test]
async fn a_pasted_code_logs_in_and_a_running_bearward_uses_it_without_a_restart() {
    let place = Place::new(Apicbase::new(), "").await;
    let bearward = Process::run(&place.file);
    let mut application = Application::new(bearward.address("api").await);
    let refused = ask(&mut application, "/api/v1/items").await;
    assert_eq!(refused.status(), 503);
    assert!(String::from_utf8_lossy(refused.body()).contains("bearward login kitchen"), "{refused:?}");

    let ended = log_in(&place).await;
    assert_eq!(ended.out.lines().count(), 1, "the URL alone is data: {}", ended.out);
    expect(&ended, 0, &["for library stock", "Open this address in a browser"]);
    comes_to(&mut application, 200).await;
    assert_eq!(place.kitchen.simulator.counts().token_requests, 1, "the login's own");
    place.expect_no_secret(&bearward.log());
}

#[tokio::test]
async fn the_request_carries_pkce_and_state_and_no_redirect_uri_that_is_not_configured() {
    let place = Place::new(Apicbase::new(), "").await;
    let mut login = place.login(&["--no-browser"]).await;
    let query = login.url.split_once('?').unwrap().1.to_owned();
    let said: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let one = |name: &str| said.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    assert_eq!(one("code_challenge_method"), Some("S256"), "r134");
    assert_eq!(one("state").unwrap().len(), 43, "r135");
    assert_eq!((one("scope"), one("redirect_uri")), (Some("library stock"), None));
    let code = Person::new().copy_code(&login.url).await.unwrap();
    // The address it stands in does as well.
    login.paste(&format!("https://app.apicbase.com/done?code={code}&state={}", one("state").unwrap())).await;
    expect(&place.end(login).await, 0, &["Logged in"]);
}

#[tokio::test]
async fn each_code_that_cannot_be_redeemed_ends_in_words_that_help_and_leaves_the_old_login() {
    let place = Place::new(Apicbase::new(), "").await;
    let mut login = place.login(&[]).await;
    let used = Person::new().copy_code(&login.url).await.unwrap();
    login.paste(&used).await;
    expect(&place.end(login).await, 0, &[]);
    let before = place.stored();
    assert_eq!(before.len(), 1);
    let again = "To log in: bearward login kitchen";
    for (pasted, words) in [
        (used.as_str(), "the code was too old or used"),
        ("no code at all", "there is no code in it"),
        ("", "there is no code in it"),
        ("code=abc&state=another", "belongs to another login"),
        ("https://app.example/?error=access_denied", "the person refused"),
    ] {
        let mut login = place.login(&[]).await;
        login.paste(pasted).await;
        let ended = place.end(login).await;
        expect(&ended, LOGIN_REQUIRED, &["not logged in", words, again]);
        assert_eq!(place.stored(), before, "{pasted}");
    }
}

#[tokio::test]
async fn a_code_that_is_too_old_is_shown_for_what_it_is() {
    let place = Place::new(Apicbase::new().code_lifetime(Duration::ZERO), "").await;
    let mut login = place.login(&[]).await;
    let code = Person::new().copy_code(&login.url).await.unwrap();
    login.paste(&code).await;
    expect(&place.end(login).await, LOGIN_REQUIRED, &["the code was too old or used", "begin again"]);
    assert!(place.stored().is_empty());
}

#[tokio::test]
async fn r134_a_code_is_redeemed_by_a_second_process_with_the_firsts_verifier_once() {
    let place = Place::new(Apicbase::new(), "").await;
    let nothing = place.run(&["login", "kitchen", "--code", "abc"]).await;
    expect(&nothing, LOGIN_REQUIRED, &["no login of kitchen waits for a code", "login kitchen --no-browser"]);

    let first = place.run(&["login", "kitchen", "--no-browser"]).await;
    expect(&first, LOGIN_REQUIRED, &["no code came on stdin", "bearward login kitchen --code CODE"]);
    let url = first.out.trim_end();
    let code = Person::new().copy_code(url).await.unwrap();
    let typing = place.run(&["login", "kitchen", "--code", "two words"]).await;
    expect(&typing, LOGIN_REQUIRED, &["there is no code in it"]);
    let another = place.run(&["login", "kitchen", "--code", &format!("code={code}&state=x")]).await;
    expect(&another, LOGIN_REQUIRED, &["belongs to another login"]);
    assert_eq!(place.kitchen.simulator.counts().token_requests, 0, "the code was not spent on them");

    let second = place.run(&["login", "kitchen", "--code", &code]).await;
    expect(&second, 0, &["Logged in: kitchen"]);
    assert_eq!(second.out, "");
    let stored = place.stored();
    let third = place.run(&["login", "kitchen", "--code", &code]).await;
    expect(&third, LOGIN_REQUIRED, &["no login of kitchen waits for a code"]);
    assert_eq!(place.stored(), stored);
}

#[tokio::test]
async fn what_to_type_next_names_the_configuration_that_was_named() {
    let place = Place::new(Apicbase::new(), "").await;
    let file = place.folder.path().join("bearward.toml").display().to_string();
    let aside = place.run(&["-c", &file, "login", "kitchen"]).await;
    expect(&aside, LOGIN_REQUIRED, &[&format!("bearward login kitchen -c '{file}' --code CODE")]);
    let wrong = place.run(&["login", "kitchen", "-c", &file, "--code", "wrong"]).await;
    expect(&wrong, LOGIN_REQUIRED, &[&format!("To log in: bearward login kitchen -c '{file}'")]);
}

#[tokio::test]
async fn a_login_set_aside_is_no_other_recipes_and_lies_where_only_we_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new(Apicbase::new(), "").await;
    expect(&place.run(&["login", "kitchen"]).await, LOGIN_REQUIRED, &["--code CODE"]);
    let state = place.folder.path().join("state");
    let files: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(
        files.iter().any(|file| file.file_name().to_string_lossy().ends_with("-login.json")),
        "{files:?}"
    );
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    place.edit("\"library\", \"stock\"", "\"library\"");
    let ended = place.run(&["login", "kitchen", "--code", "abc"]).await;
    expect(&ended, LOGIN_REQUIRED, &["no login of kitchen waits for a code"]);
}

#[tokio::test]
async fn r135_a_login_set_aside_is_good_for_ten_minutes_and_for_one_of_two_who_take_it_up() {
    let place = Place::new(Apicbase::new(), "").await;
    let mut account = place.account();
    account.clock = Clock::manual(SystemTime::now());
    let begin = async || match account.begin().await.unwrap() {
        Begun::Paste(paste) => paste,
        other => panic!("no code to paste: {other:?}"),
    };
    begin().await.set_aside().await.unwrap();
    account.clock.suspend(PATIENCE - Duration::from_secs(1));
    assert!(account.resume().await.unwrap().is_some());
    account.clock.suspend(Duration::from_secs(1));
    assert!(account.resume().await.unwrap().is_none(), "too old");

    let paste = begin().await;
    paste.set_aside().await.unwrap();
    let code = Person::new().copy_code(paste.url()).await.unwrap();
    let (one, other) = (account.resume().await.unwrap().unwrap(), account.resume().await.unwrap().unwrap());
    one.finish(&code).await.unwrap();
    let refused = other.finish(&code).await.unwrap_err();
    assert!(refused.to_string().contains("finished by another process"), "{refused}");
    assert_eq!(place.kitchen.simulator.counts().token_requests, 1, "the code was sent once");

    begin().await.set_aside().await.unwrap();
    account.log_out().await.unwrap();
    assert!(account.resume().await.unwrap().is_none(), "a logout ends it too");
}

#[tokio::test]
async fn a_browser_that_comes_back_logs_in() {
    let place = Place::with_redirect().await;
    let login = place.login(&[]).await;
    let page = Person::new().allow(&login.url).await.unwrap();
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("You are logged in"), "{page:?}");
    place.expect_no_secret(&page.text);
    let ended = place.end(login).await;
    expect(&ended, 0, &["Logged in: kitchen", "Waiting for the browser to come back to http://127.0.0.1:"]);
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    let request = &place.kitchen.simulator.token_requests()[0];
    let sent = request.parameters.one("redirect_uri").unwrap();
    assert!(sent.starts_with("http://127.0.0.1:") && !sent.contains(":0/"), "the port it had: {sent}");
}

#[tokio::test]
async fn a_person_who_refuses_ends_the_login_and_not_the_old_one() {
    let place = Place::with_redirect().await;
    let login = place.login(&[]).await;
    Person::new().allow(&login.url).await.unwrap();
    expect(&place.end(login).await, 0, &[]);
    let before = place.stored();
    let login = place.login(&[]).await;
    let page = Person::new().refuse(&login.url).await.unwrap();
    assert_eq!(page.status, 400);
    assert!(page.text.contains("You are not logged in") && page.text.contains("access_denied"), "{page:?}");
    let ended = place.end(login).await;
    expect(&ended, LOGIN_REQUIRED, &["access_denied", "the person refused", "bearward login kitchen"]);
    assert_eq!(place.stored(), before);
}

#[tokio::test]
async fn a_browser_that_is_closed_after_it_came_back_changes_nothing() {
    let place = Place::with_redirect().await;
    let login = place.login(&[]).await;
    sent(&login.url, Decision::Allow).await.follow_and_close().await.unwrap();
    expect(&place.end(login).await, 0, &["Logged in: kitchen"]);
}

#[tokio::test]
async fn an_interrupted_login_leaves_the_old_one() {
    let place = Place::new(Apicbase::new(), "").await;
    log_in(&place).await;
    let before = place.stored();
    let login = place.login(&[]).await;
    let id = login.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ended = place.end(login).await;
    assert_ne!(ended.status, 0, "{ended:?}");
    assert_eq!(place.stored(), before);
}

#[tokio::test]
async fn a_login_lasts_across_refreshes_and_a_restart_after_its_access_token_has_expired() {
    let place = Place::new(Apicbase::new().lifetime(Duration::from_secs(1)), "").await;
    log_in(&place).await;
    for _ in 0..2 {
        let bearward = Process::run(&place.file);
        let mut application = Application::new(bearward.address("api").await);
        let before = place.kitchen.simulator.counts().token_requests;
        until("two refreshes", || place.kitchen.simulator.counts().token_requests >= before + 2).await;
        assert_eq!(ask(&mut application, "/api/v1/items").await.status(), 200);
        bearward.signal("TERM");
        place.expect_no_secret(&bearward.log_to_its_end().await);
        until("its token has expired", || place.kitchen.simulator.active_tokens().is_empty()).await;
    }
}

#[tokio::test]
async fn whose_fault_it_is_says_the_status() {
    let place = Place::new(Apicbase::new(), "").await;
    expect(&place.run(&["login", "other"]).await, USAGE, &["there is no [tokens.other]", "kitchen"]);
    expect(&place.run(&["logout", "other"]).await, USAGE, &["there is no [tokens.other]"]);

    place.kitchen.simulator.fail_token_endpoint(Answer::status(StatusCode::SERVICE_UNAVAILABLE));
    let mut login = place.login(&[]).await;
    login.paste("some-code").await;
    expect(&place.end(login).await, TRY_AGAIN, &["the authorization server granted nothing", "503"]);
    place.kitchen.simulator.mend_token_endpoint();

    place.edit("client_secret = \"", "client_secret = \"wrong-");
    let mut login = place.login(&[]).await;
    login.paste("some-code").await;
    expect(&place.end(login).await, 1, &["invalid_client"]);

    place.edit(
        "preset = \"apicbase\"",
        "preset = \"apicbase\"\n            grant_type = \"client_credentials\"",
    );
    let text = std::fs::read_to_string(&place.file).unwrap();
    let lines = text.lines().filter(|line| !line.contains("authorization_endpoint"));
    std::fs::write(&place.file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    expect(&place.run(&["login", "kitchen"]).await, USAGE, &["nobody has to log in for this token"]);

    let taken = Place::with_redirect().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fixed = LOOPBACK.replace(":0", &format!(":{}", listener.local_addr().unwrap().port()));
    taken.edit(LOOPBACK, &fixed);
    expect(&taken.run(&["login", "kitchen"]).await, UNAVAILABLE, &[&fixed, "another program has the port"]);

    let place = Place::new(Apicbase::new(), "").await;
    let state = format!("path = \"{}\"", place.folder.path().join("state").display());
    place.edit(&state, "kind = \"memory\"");
    expect(&place.run(&["login", "kitchen"]).await, CONFIG, &["kind = \"memory\"", "kind = \"file\""]);
    expect(&place.run(&["logout", "kitchen"]).await, CONFIG, &["kind = \"memory\""]);
}

#[tokio::test]
async fn r141_a_logout_says_what_it_could_revoke_and_forgets_it_in_any_case() {
    let place = Place::new(Apicbase::new(), "").await;
    let nothing = place.run(&["logout", "kitchen"]).await;
    expect(&nothing, 0, &["kitchen: nothing was stored"]);

    log_in(&place).await;
    let out = place.run(&["logout", "kitchen"]).await;
    expect(
        &out,
        0,
        &["refresh token is forgotten here", "access token is forgotten", "no revocation_endpoint"],
    );
    expect(&place.run(&["token", "kitchen"]).await, LOGIN_REQUIRED, &["bearward login kitchen"]);

    let revocation = format!("revocation_endpoint = \"{}/oauth/revoke/\"", place.kitchen.simulator.url());
    place.edit("[upstreams.api]", &format!("{revocation}\n[upstreams.api]"));
    log_in(&place).await;
    let simulator = &place.kitchen.simulator;
    simulator.answer_next("/oauth/revoke/", Answer::status(StatusCode::OK));
    let unsupported = json!({ "error": "unsupported_token_type" });
    simulator.answer_next("/oauth/revoke/", Answer::json(StatusCode::BAD_REQUEST, &unsupported));
    let out = place.run(&["logout", "kitchen"]).await;
    expect(
        &out,
        0,
        &["refresh token is revoked", "access token is forgotten here", "does not revoke this kind"],
    );

    log_in(&place).await;
    for _ in 0..2 {
        simulator.answer_next("/oauth/revoke/", Answer::status(StatusCode::SERVICE_UNAVAILABLE));
    }
    let out = place.run(&["logout", "kitchen"]).await;
    expect(&out, 0, &["refresh token is forgotten here, but it could not be revoked", "503"]);
    for (file, content) in place.stored() {
        let text = String::from_utf8(content).unwrap();
        assert!(!text.contains("apicbase-") && !text.contains("refresh-"), "{}: {text}", file.display());
    }
}

#[tokio::test]
async fn r141_a_token_is_introspected_and_not_shown() {
    let place = Place::new(Apicbase::new(), "").await;
    let nobody = place.run(&["token", "kitchen", "--introspect"]).await;
    expect(&nobody, LOGIN_REQUIRED, &["bearward login kitchen"]);
    log_in(&place).await;
    let shown = place.run(&["token", "kitchen", "--introspect"]).await;
    expect(&shown, 0, &[]);
    for line in
        ["active     yes", "scope      library stock", "client     kitchen-app", "username   chef@kitchen"]
    {
        assert!(shown.out.contains(line), "no {line:?} in {}", shown.out);
    }
    let shown = place.run(&["token", "kitchen", "--introspect", "--json"]).await;
    let said: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((&said["active"], &said["scope"]), (&json!(true), &json!("library stock")), "{said}");
    let expires_at: jiff::Timestamp = said["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at > jiff::Timestamp::now(), "{said}");

    place.kitchen.simulator.revoke_all();
    let dead = place.run(&["token", "kitchen", "--introspect"]).await;
    assert_eq!((dead.status, dead.out.trim_end()), (0, "active     no"), "{dead:?}");

    let text = std::fs::read_to_string(&place.file).unwrap();
    let lines = text.lines().filter(|line| !line.contains("introspection_endpoint"));
    let without = lines.collect::<Vec<_>>().join("\n").replace(
        "preset = \"apicbase\"",
        "grant_type = \"authorization_code\"\ntoken_endpoint_auth_method = \"client_secret_post\"",
    );
    std::fs::write(&place.file, without).unwrap();
    let ended = place.run(&["token", "kitchen", "--introspect"]).await;
    expect(&ended, CONFIG, &["set introspection_endpoint in [tokens.kitchen]"]);
}
