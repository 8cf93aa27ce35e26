//! What logins and logouts leave in the store where something else happens: a disk that refuses, a server that hangs, a
//! configured refresh token beside them.

use std::{fs, time::Duration};

use bearward::{
    demo::simulator::{Apicbase, Person},
    login::{Account, Begun, Paste},
};

use crate::support::kitchen::Place;

const LOGIN_REQUIRED: i32 = 4;
const TRY_AGAIN: i32 = 75;

async fn begin(account: &Account) -> Paste {
    match account.begin().await.unwrap() {
        Begun::Paste(paste) => paste,
        other => panic!("no code to paste: {other:?}"),
    }
}

async fn log_in(account: &Account) {
    let paste = begin(account).await;
    let code = Person::new().copy_code(paste.url()).await.unwrap();
    paste.finish(&code).await.unwrap();
}

/// Tokens that are forgotten here can be revoked by nobody.
#[tokio::test]
async fn r141_a_logout_that_the_store_does_not_take_leaves_the_tokens_for_the_next_one() {
    let place = Place::new(Apicbase::new(), "").await;
    let account = place.account();
    log_in(&account).await;
    let before = place.stored();
    begin(&account).await.set_aside().await.unwrap();
    let state = place.folder.path().join("state");
    let files = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let lock = files.into_iter().find(|file| file.to_string_lossy().ends_with("-login.lock")).unwrap();
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    account.log_out().await.unwrap_err();
    assert_eq!(place.stored(), before);
    fs::remove_dir(&lock).unwrap();
    assert!(account.log_out().await.unwrap().refresh_token.is_some());
}

#[tokio::test]
async fn a_login_set_aside_ends_with_any_change_of_its_recipe() {
    let place = Place::new(Apicbase::new(), "").await;
    begin(&place.account()).await.set_aside().await.unwrap();
    assert!(place.account().resume().await.unwrap().is_some());
    place.edit("[upstreams.api]", "scope_parameter = \"scopes\"\n[upstreams.api]");
    assert!(place.account().resume().await.unwrap().is_none());
}

/// Its file was changed when nobody ran; it is older than the login all the same.
#[tokio::test]
async fn a_login_goes_before_a_refresh_token_that_was_configured_before_it() {
    let place = Place::new(Apicbase::new(), "refresh_token = { file = \"first\" }").await;
    let first = place.folder.path().join("first");
    fs::write(&first, "canary-r0").unwrap();
    assert_eq!(
        place.run(&["token", "kitchen"]).await.status,
        LOGIN_REQUIRED,
        "the server knows no such token"
    );
    fs::write(&first, "canary-r1").unwrap();
    let mut login = place.login(&[]).await;
    let code = Person::new().copy_code(&login.url).await.unwrap();
    login.paste(&code).await;
    assert_eq!(place.end(login).await.status, 0);
    let asked = place.kitchen.simulator.counts().token_requests;
    let token = crate::support::outside::bearward(place.folder.path(), &["token", "kitchen"], &[]).await;
    assert_eq!((token.status, token.out.lines().count()), (0, 1), "{token:?}");
    assert_eq!(place.kitchen.simulator.counts().token_requests, asked, "the login's token serves");
}

#[tokio::test]
async fn a_server_that_hangs_ends_a_login_and_does_not_hold_a_logout_up() {
    let place = Place::new(Apicbase::new(), "token_request_timeout = \"1s\"").await;
    let url = place.kitchen.simulator.url();
    log_in(&place.account()).await;
    let hangs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", hangs.local_addr().unwrap());
    place.edit("[upstreams.api]", &format!("revocation_endpoint = \"{nobody}/revoke\"\n[upstreams.api]"));
    let out = place.run(&["logout", "kitchen"]).await;
    assert_eq!(out.status, 0, "{out:?}");
    assert_eq!(out.err.matches("is forgotten here, but it could not be revoked").count(), 2, "{out:?}");

    place.edit(&format!("token_endpoint = \"{url}"), &format!("token_endpoint = \"{nobody}"));
    let mut login = place.login(&[]).await;
    login.paste("some-code").await;
    let ended = tokio::time::timeout(Duration::from_secs(20), place.end(login)).await.unwrap();
    assert_eq!(ended.status, TRY_AGAIN, "{ended:?}");
    assert!(ended.err.contains("the authorization server granted nothing"), "{ended:?}");
}
