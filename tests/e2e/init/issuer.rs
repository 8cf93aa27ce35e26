//! Another API: by its issuer, which is asked for its metadata, and by its token endpoint; each to the first 200.

use std::time::Duration;

use bearward::demo::simulator::{AuthorizationServer, ResourceServer, Simulator, person::Decision};
use serde_json::{Value, json};

use super::*;
use crate::support::kitchen::{LOOPBACK, Login};

const SECRET: &str = "canary-secret";

fn confidential() -> AuthorizationServer {
    AuthorizationServer::new().client("app", SECRET)
}

/// `init --issuer` for the API at `api`, with secrets on stdin.
async fn init_issuer(folder: &Path, issuer: &str, api: &str, set: &[(&str, &str)]) -> Ended {
    let set = [&[("client_id", "app"), ("upstream.url", api)], set].concat();
    let (folder, issuer) = (folder.to_owned(), issuer.to_owned());
    let owned: Vec<_> = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    // The simulator answers on this thread meanwhile.
    let ran = tokio::task::spawn_blocking(move || {
        let set: Vec<_> = owned.iter().map(|(key, value)| (&**key, &**value)).collect();
        init(&folder, &["--issuer", &issuer, "--secrets", "file"], &set, &format!("{SECRET}\n{SECRET}\n"))
    });
    ran.await.unwrap()
}

async fn begin(server: AuthorizationServer) -> (Simulator, tempfile::TempDir) {
    (server.start().await.unwrap(), tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn r133_client_credentials_come_from_an_issuer_to_their_first_200() {
    let described = confidential().metadata("/tenant");
    let scopes = json!(["read:orders", "a\nb = \"injected\"", 7, "offline_access"]);
    let (server, folder) = begin(described.metadata_member("scopes_supported", scopes)).await;
    let api = ResourceServer::new(&server).start().await.unwrap();
    let issuer = format!("{}/tenant", server.url());
    let ended = init_issuer(folder.path(), &issuer, &api.url(), &[]).await;
    serves(folder.path(), &ended, "api", &[]).await;
    let file = shown(folder.path(), &server.url()).replace(&api.url(), "http://API");
    insta::assert_snapshot!("issuer", file);
}

#[tokio::test]
async fn a_person_logs_in_at_an_issuer_and_the_first_200_follows() {
    let server = confidential().rotating().redirect_uri(LOOPBACK).requiring_pkce().iss();
    let (server, folder) =
        begin(server.metadata("").metadata_member("grant_types_supported", Value::Null)).await;
    let api = ResourceServer::new(&server).start().await.unwrap();
    // No grant_types_supported means authorization_code (RFC 8414 section 2): that is the only way proposed.
    let ended = init_issuer(folder.path(), &server.url(), &api.url(), &[]).await;
    assert!(ended.out.contains("\nbearward login api\nbearward run\n"), "{ended:?}");
    let login = Login::begin(folder.path(), "api", &[]).await;
    assert_eq!(Person::new().allow(&login.url).await.unwrap().status, 200);
    assert_eq!(login.ended().await.status, OK);
    serves(folder.path(), &ended, "api", &[]).await;
}

#[tokio::test]
async fn a_device_without_a_secret_logs_in_at_an_issuer_and_the_first_200_follows() {
    let server = AuthorizationServer::new().public_client("app").rotating();
    let server = server.device_authorization(Duration::from_secs(1), Duration::from_secs(60)).metadata("");
    let (server, folder) = begin(server).await;
    let api = ResourceServer::new(&server).start().await.unwrap();
    // A server of public clients alone: no client credentials are proposed, and no secret is asked for.
    let ended = init_issuer(folder.path(), &server.url(), &api.url(), &[]).await;
    assert!(written(folder.path()).contains("\ntoken_endpoint_auth_method = \"none\"\n"));
    assert!(!ended.out.contains("SECRET") && !written(folder.path()).contains("secret ="), "{ended:?}");
    let login = Login::begin(folder.path(), "api", &[]).await;
    Person::new().confirm(&login.url, Decision::Allow).await.unwrap();
    assert_eq!(login.ended().await.status, OK);
    serves(folder.path(), &ended, "api", &[]).await;
}

#[tokio::test]
async fn only_what_the_server_and_bearward_both_know_is_proposed() {
    let lists = |grants: Value, methods: Value| {
        let server = AuthorizationServer::new().authorizing().metadata("");
        server
            .metadata_member("grant_types_supported", grants)
            .metadata_member("token_endpoint_auth_methods_supported", methods)
    };
    for (grants, methods, expected) in [
        (
            json!(["password", "client_credentials"]),
            json!(["client_secret_post"]),
            Ok(["client_credentials", "client_secret_post"]),
        ),
        (json!(["implicit", "password"]), Value::Null, Ok(["password", "client_secret_basic"])),
        (
            json!(["urn:ietf:params:oauth:grant-type:device_code", "authorization_code"]),
            json!(["none"]),
            Ok(["authorization_code", "none"]),
        ),
        (json!(["implicit", "\u{1b}[31m"]), Value::Null, Err("grant types implicit, \\u{1b}[31m")),
        (json!(["client_credentials"]), json!(["private_key_jwt"]), Err("authenticate by private_key_jwt")),
    ] {
        let (server, folder) = begin(lists(grants, methods)).await;
        let more = [("username", "u")];
        let more = if expected.is_ok_and(|[grant, _]| grant == "password") { &more[..] } else { &[] };
        let ended = init_issuer(folder.path(), &server.url(), "https://api.example", more).await;
        match expected {
            Ok([grant_type, method]) => {
                assert_eq!(ended.status, OK, "{ended:?}");
                let file = written(folder.path());
                assert!(file.contains(&format!("\ngrant_type = \"{grant_type}\"\n")), "{file}");
                assert!(file.contains(&format!("\ntoken_endpoint_auth_method = \"{method}\"\n")), "{file}");
            }
            Err(words) => {
                assert_eq!(ended.status, USAGE, "{ended:?}");
                assert!(
                    ended.err.contains("nothing was written") && ended.err.contains(words),
                    "{}",
                    ended.err
                );
                assert_eq!(folder.path().read_dir().unwrap().count(), 0);
            }
        }
    }
}

#[tokio::test]
async fn r133_metadata_of_an_issuer_that_was_not_typed_is_refused() {
    let (server, folder) = begin(confidential().metadata("/tenant")).await;
    let foreign = confidential().metadata("").metadata_member("issuer", json!("https://other.example"));
    let foreign = foreign.start().await.unwrap();
    for (typed, words) in [
        (format!("{}/tenant/", server.url()), ["there is a slash too many at the end", "/tenant/\""]),
        (foreign.url(), ["\"https://other.example\"", &foreign.url()]),
        (server.url(), ["404", &server.url()]),
        (format!("{}/?tenant=1", server.url()), ["`issuer`", "without query"]),
    ] {
        let ended = init_issuer(folder.path(), &typed, "https://api.example", &[]).await;
        assert_eq!(ended.status, USAGE, "{ended:?}");
        for words in words.into_iter().chain(["nothing was written"]) {
            assert!(ended.err.contains(words), "no {words} in {}", ended.err);
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_written_all_the_same() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ended = init_issuer(folder.path(), &format!("http://{closed}"), "https://api.example", &[]).await;
    assert_eq!(ended.status, OK, "{ended:?}");
    assert!(ended.err.contains("does not answer") && ended.err.contains("nothing checked"), "{}", ended.err);
    assert!(written(folder.path()).contains(&format!("\nissuer = \"http://{closed}\"\n")));
}

#[tokio::test]
async fn a_token_endpoint_comes_to_its_first_200() {
    let (server, folder) = begin(confidential()).await;
    let api = ResourceServer::new(&server).start().await.unwrap();
    let (url, endpoint) = (api.url(), format!("{}/token", server.url()));
    let set = [("token_endpoint", &*endpoint), ("client_id", "app"), ("upstream.url", &url)];
    let ended = init(folder.path(), &["--secrets", "file", "--name", "orders"], &set, "canary-secret\n");
    serves(folder.path(), &ended, "orders", &[]).await;
    let file = shown(folder.path(), &server.url()).replace(&url, "http://API");
    insta::assert_snapshot!("endpoint", file);
}

#[tokio::test]
async fn a_person_logs_in_by_endpoints_that_are_piped_in() {
    let server = AuthorizationServer::new().public_client("app").rotating().redirect_uri(LOOPBACK);
    let (server, folder) = begin(server).await;
    let api = ResourceServer::new(&server).start().await.unwrap();
    let set = [("grant_type", "authorization_code"), ("token_endpoint_auth_method", "none")];
    let lines = format!("endpoint\n{0}/token\n{0}/authorize\napp\n{1}\n", server.url(), api.url());
    let ended = init(folder.path(), &[], &set, &lines);
    assert_eq!(ended.status, OK, "{ended:?}");
    let login = Login::begin(folder.path(), "api", &[]).await;
    assert_eq!(Person::new().allow(&login.url).await.unwrap().status, 200);
    assert_eq!(login.ended().await.status, OK);
    serves(folder.path(), &ended, "api", &[]).await;
}

#[test]
fn a_token_endpoint_names_what_else_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("token_endpoint", "https://id.example/token"), ("grant_type", "device_code")];
    let ended = init(folder.path(), &[], &set, "");
    assert_eq!(ended.status, USAGE);
    for words in ["--set device_authorization_endpoint=", "--set client_id=", "--set upstream.url="] {
        assert!(ended.err.contains(words), "no {words} in {}", ended.err);
    }
    let unknown = [("token_endpoint", "https://id.example/token"), ("grant_type", "implicit")];
    let ended = init(folder.path(), &[], &unknown, "");
    assert!(ended.err.contains("init knows no grant_type \"implicit\""), "{}", ended.err);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn r133_a_person_types_the_issuer_again_until_it_is_right() {
    let (server, folder) = begin(confidential().authorizing().metadata("/tenant")).await;
    let url = server.url();
    let answers = [
        ">=issuer".to_owned(),
        "issuer:=nonsense".to_owned(),
        format!("issuer:={url}/tenant/"),
        format!("issuer:={url}/tenant"),
        ">=authorization_code".to_owned(),
        ">=env".to_owned(),
        "client_id:=app".to_owned(),
        "upstream.url:=api.example".to_owned(),
        "upstream.url:=https://api.example".to_owned(),
        "scope:=".to_owned(),
    ];
    let place = folder.path().to_owned();
    let person = tokio::task::spawn_blocking(move || {
        let answers: Vec<_> = answers.iter().map(String::as_str).collect();
        at_a_terminal(&place, &answers)
    });
    let Some((status, seen)) = person.await.unwrap() else { return };
    assert_eq!(status, OK, "{seen}");
    insta::assert_snapshot!("at_a_terminal", seen.replace(&url, "http://SIMULATOR"));
    assert!(written(folder.path()).contains(&format!("\nissuer = \"{url}/tenant\"\n")));
}
