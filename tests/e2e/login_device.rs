//! `bearward login` on another device (RFC 8628), as a person at the terminal sees it.

use bearward::demo::simulator::{Answer, AuthorizationServer, Simulator};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    outside::{Ended, bearward},
    until,
};

const LOGIN_REQUIRED: i32 = 4;
const TRY_AGAIN: i32 = 75;
const USER_CODE: &str = "WDJB-MJHT";
const DEVICE_CODE: &str = "canary-device-code";

/// A server whose answers are scripted, and a folder with a configuration for it.
struct Place {
    server: Simulator,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let server = AuthorizationServer::new().start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (url, state) = (server.url(), folder.path().join("state"));
        let text = format!(
            r#"
            store = {{ path = "{state}" }}
            [tokens.tv]
            grant_type = "device_code"
            device_authorization_endpoint = "{url}/device"
            token_endpoint = "{url}/token"
            client_id = "tv"
            token_endpoint_auth_method = "none"
            [upstreams.api]
            url = "{url}"
            token = "tv"
            listen = "127.0.0.1:0"
            "#,
            state = state.display(),
        );
        std::fs::write(folder.path().join("bearward.toml"), text).unwrap();
        Self { server, folder }
    }

    fn gives(&self, expires_in: u64) {
        let uri = "https://id.example/device";
        let answer = json!({
            "device_code": DEVICE_CODE,
            "user_code": USER_CODE,
            "verification_uri": uri,
            "verification_uri_complete": format!("{uri}?user_code={USER_CODE}"),
            "expires_in": expires_in,
            "interval": 1,
        });
        self.server.answer_next("/device", Answer::json(StatusCode::OK, &answer));
    }

    fn answers(&self, answer: &Value) {
        let status = if answer.get("error").is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        self.server.answer_next_token_request(Answer::json(status, answer));
    }

    async fn login(&self) -> Ended {
        let ended = bearward(self.folder.path(), &["login", "tv"], &[]).await;
        let said = format!("{}{}", ended.out, ended.err);
        assert!(!said.contains("canary"), "{said}");
        ended
    }

    fn stored(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("state")) else { return 0 };
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".json"))
            .count()
    }
}

#[tokio::test]
async fn r137_a_code_is_shown_and_asked_about_until_its_person_is_done() {
    let place = Place::new().await;
    place.gives(600);
    place.answers(&json!({ "error": "authorization_pending" }));
    place.answers(&json!({
        "access_token": "canary-access", "token_type": "Bearer", "expires_in": 600, "refresh_token": "canary-refresh",
    }));
    let ended = place.login().await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.out, format!("https://id.example/device?user_code={USER_CODE}\n"));
    for words in [
        &format!("open https://id.example/device and enter the code {USER_CODE}") as &str,
        "Waiting for you there, until ",
        "Logged in: tv",
    ] {
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
    }
    assert!(!ended.err.contains('\u{1b}'), "a picture is for terminals");
    until("it is stored", || place.stored() == 1).await;
    let asked = place.server.token_requests();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|request| request.parameters.one("device_code") == Some(DEVICE_CODE)));
}

#[tokio::test]
async fn a_login_without_a_refresh_token_says_that_it_will_be_needed_again() {
    let place = Place::new().await;
    place.gives(600);
    place.answers(&json!({ "access_token": "canary-access", "token_type": "Bearer", "expires_in": 600 }));
    let ended = place.login().await;
    assert_eq!(ended.status, 0, "{ended:?}");
    for words in ["No refresh token came", "log in again then", "offline_access"] {
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
    }
}

#[tokio::test]
async fn r137_each_way_to_fail_ends_in_words_that_help() {
    for (expires_in, answer, status, words) in [
        (600, json!({ "error": "access_denied" }), LOGIN_REQUIRED, "the person refused on the other device"),
        (600, json!({ "error": "expired_token" }), LOGIN_REQUIRED, "nobody finished the login in time"),
        (1, json!({ "error": "authorization_pending" }), LOGIN_REQUIRED, "nobody finished the login in time"),
        (600, json!({ "error": "invalid_client" }), 1, "invalid_client"),
    ] {
        let place = Place::new().await;
        place.gives(expires_in);
        place.answers(&answer);
        let ended = place.login().await;
        assert_eq!(ended.status, status, "{answer}: {ended:?}");
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
        assert_eq!(place.stored(), 0, "{answer}");
    }
    let place = Place::new().await;
    place.server.answer_next("/device", Answer::status(StatusCode::SERVICE_UNAVAILABLE));
    let ended = place.login().await;
    assert_eq!((ended.status, ended.out.as_str()), (TRY_AGAIN, ""), "{ended:?}");
}
