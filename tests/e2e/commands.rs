//! The commands: exit statuses, what goes to stdout and what to stderr, and where the configuration is found.

use std::path::Path;

use bearward::demo::simulator::{
    Answer, AuthorizationServer, Cybrid, ResourceServer, Simulator, authorization_server,
    cybrid::{CLIENT_ID, CLIENT_SECRET, CUSTOMERS},
};
use http::StatusCode;

use crate::support::{
    Process,
    outside::{Ended, bearward, json, look},
    until,
};

const USAGE: i32 = 2;
const LOGIN_REQUIRED: i32 = 4;
const UNAVAILABLE: i32 = 69;
const TRY_AGAIN: i32 = 75;
const CONFIG: i32 = 78;

/// A folder with a `bearward.toml`: one token, one upstream, an admin listener, a file store in the folder.
fn folder(server: &str, further: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        r#"
        store = {{ path = "state" }}
        admin = {{ listen = "127.0.0.1:0" }}

        [tokens.key]
        grant_type = "client_credentials"
        token_endpoint = "{server}/token"
        client_id = "app"
        client_secret = "canary-secret"

        [upstreams.api]
        url = "{server}"
        token = "key"
        listen = "127.0.0.1:0"
        {further}
        "#
    );
    std::fs::write(folder.path().join("bearward.toml"), configuration).unwrap();
    folder
}

fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("bearward.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(&file, text.replace(from, to)).unwrap();
}

/// It ended so, with these words on stderr and nothing on stdout.
fn expect(ended: &Ended, status: i32, words: &[&str]) {
    assert_eq!(ended.status, status, "{ended:?}");
    assert_eq!(ended.out, "", "messages go to stderr");
    for words in words {
        assert!(ended.err.contains(words), "no {words:?} in {}", ended.err);
    }
    assert!(!ended.err.contains("canary"), "{}", ended.err);
    assert!(!ended.err.contains("panic"), "{}", ended.err);
}

/// Where nobody listens.
async fn nowhere() -> String {
    let server = AuthorizationServer::new().start().await.unwrap();
    server.url()
}

#[tokio::test]
async fn wrong_usage_is_status_2() {
    let folder = folder("http://127.0.0.1:1", "");
    let run = async |arguments: &[&str]| bearward(folder.path(), arguments, &[]).await;
    expect(&run(&["fly"]).await, USAGE, &["fly"]);
    expect(&run(&["run", "--client-secret", "x"]).await, USAGE, &["--client-secret"]);
    expect(&run(&["token"]).await, USAGE, &["NAME"]);
    expect(&run(&["token", "other"]).await, USAGE, &["there is no [tokens.other]", "key"]);
    expect(&run(&["token", "key", "--subject", "x"]).await, USAGE, &["leave --subject out"]);
    expect(&run(&["wait", "--timeout", "soon"]).await, USAGE, &["30s"]);
    expect(&run(&["completions", "cmd.exe"]).await, USAGE, &["cmd.exe"]);
    expect(&run(&[]).await, USAGE, &["Usage: bearward"]);
}

const COMMANDS: [&str; 11] =
    ["init", "run", "check", "demo", "token", "login", "logout", "status", "wait", "schema", "completions"];

#[tokio::test]
async fn help_and_version_are_data_and_no_secret_is_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let version = bearward(folder.path(), &["--version"], &[]).await;
    assert_eq!((version.status, version.out.trim()), (0, concat!("bearward ", env!("CARGO_PKG_VERSION"))));
    for command in COMMANDS {
        let help = bearward(folder.path(), &[command, "--help"], &[]).await;
        assert_eq!((help.status, help.err.as_str()), (0, ""), "{command}");
        // `--secrets` takes one of three words that say where secrets go, and no secret.
        let flags = help.out.split_whitespace().filter(|word| word.starts_with("--") && *word != "--secrets");
        for word in flags {
            let flag = word.to_lowercase();
            for secret in ["secret", "password", "refresh", "access", "key"] {
                assert!(!flag.contains(secret), "{command} takes {flag}");
            }
        }
    }
    let help = bearward(folder.path(), &["--help"], &[]).await;
    for command in COMMANDS {
        assert!(help.out.contains(&format!("  {command} ")), "{command} is not in {}", help.out);
    }
}

#[tokio::test]
async fn check_is_0_or_78_with_every_mistake_at_once() {
    let folder = folder("http://127.0.0.1:1", "");
    let fine = bearward(folder.path(), &["check"], &[]).await;
    expect(&fine, 0, &["bearward.toml: fine, 1 upstream and 1 token"]);

    edit(folder.path(), "client_id", "client_ide");
    edit(folder.path(), "token = \"key\"", "token = \"kye\"");
    edit(folder.path(), "client_secret = \"canary-secret\"", "client_secret = [\"canary-secret\"]");
    for command in ["check", "run"] {
        let ended = bearward(folder.path(), &[command], &[]).await;
        assert_eq!((ended.status, ended.out.as_str()), (CONFIG, ""), "{ended:?}");
        for words in ["client_ide", "client_id", "kye", "client_secret", "bearward.toml:"] {
            assert!(ended.err.contains(words), "no {words} in {}", ended.err);
        }
        assert!(!ended.err.contains("canary"), "r146: {}", ended.err);
        assert!(!ended.err.contains('\u{1b}'), "no colour where no terminal is: {:?}", ended.err);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_status_78_for_every_command_that_needs_one() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["run"][..], &["check"], &["token", "key"], &["status"], &["wait"]] {
        let missing = [command, &["-c", "/nowhere/bearward.toml"]].concat();
        let ended = bearward(folder.path(), &missing, &[]).await;
        expect(&ended, CONFIG, &["/nowhere/bearward.toml", "does not exist"]);
        let ended = bearward(folder.path(), command, &[("XDG_CONFIG_HOME", "/nowhere")]).await;
        expect(&ended, CONFIG, &["there is no configuration", "./bearward.toml", "-c FILE"]);
    }
}

#[tokio::test]
async fn the_configuration_is_found_in_the_order_that_is_documented() {
    let named = |upstreams: usize| {
        let upstream = |at: usize| {
            format!("[upstreams.u{at}]\nurl = \"http://127.0.0.1:1\"\nlisten = \"127.0.0.1:0\"\n")
        };
        (0..upstreams).map(upstream).collect::<String>()
    };
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, upstreams: usize| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, named(upstreams)).unwrap();
        file.display().to_string()
    };
    let (explicit, by_environment) = (place("explicit.toml", 1), place("environment.toml", 2));
    place("here/bearward.toml", 3);
    place("xdg/bearward/bearward.toml", 4);
    place("home/.config/bearward/bearward.toml", 5);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let (here, empty) = (folder.path().join("here"), folder.path().join("empty"));
    let (xdg, home) = (folder.path().join("xdg"), folder.path().join("home"));
    let xdg = ("XDG_CONFIG_HOME", xdg.to_str().unwrap());
    let home = ("HOME", home.to_str().unwrap());
    let named = ("BEARWARD_CONFIG", by_environment.as_str());
    for (from, arguments, env, upstreams) in [
        (&here, &["check", "-c", explicit.as_str()][..], &[named, xdg, home][..], "1 upstream "),
        (&here, &["check"], &[named, xdg, home], "2 upstreams"),
        (&here, &["check"], &[xdg, home], "3 upstreams"),
        (&here, &["check"], &[("BEARWARD_CONFIG", ""), xdg, home], "3 upstreams"),
        (&empty, &["check"], &[xdg, home], "4 upstreams"),
        (&empty, &["check"], &[home], "5 upstreams"),
    ] {
        let ended = bearward(from, arguments, env).await;
        expect(&ended, 0, &[upstreams]);
    }
}

#[tokio::test]
async fn what_is_needed_and_not_there_is_status_69() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let taken = server.address().to_string();

    let in_use = folder(&server.url(), "");
    edit(
        in_use.path(),
        "token = \"key\"\n        listen = \"127.0.0.1:0\"",
        &format!("token = \"key\"\n        listen = \"{taken}\""),
    );
    let ended = bearward(in_use.path(), &["run"], &[]).await;
    expect(&ended, UNAVAILABLE, &[&taken, "another program has it"]);

    let no_store = folder(&server.url(), "");
    std::fs::write(no_store.path().join("state"), "a file where a folder should be").unwrap();
    for command in [&["run"][..], &["token", "key"]] {
        expect(&bearward(no_store.path(), command, &[]).await, UNAVAILABLE, &["state"]);
    }

    let not_running = folder(&server.url(), "");
    let gone = nowhere().await;
    edit(
        not_running.path(),
        "admin = { listen = \"127.0.0.1:0\" }",
        &format!("admin = {{ listen = {:?} }}", &gone[7..]),
    );
    expect(&bearward(not_running.path(), &["status"], &[]).await, UNAVAILABLE, &["does bearward run?"]);
    assert_eq!(server.counts().token_requests, 0);
}

#[tokio::test]
async fn without_an_admin_listener_there_is_nothing_to_ask() {
    let folder = folder("http://127.0.0.1:1", "");
    edit(folder.path(), "admin = { listen = \"127.0.0.1:0\" }", "");
    for command in ["status", "wait"] {
        expect(&bearward(folder.path(), &[command], &[]).await, CONFIG, &["[admin]", "listen = "]);
    }
}

#[tokio::test]
async fn token_prints_the_token_alone_and_takes_it_from_the_store_the_next_time() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let folder = folder(&server.url(), "");
    let first = bearward(folder.path(), &["token", "key"], &[]).await;
    assert_eq!(first.status, 0, "{first:?}");
    assert_eq!([first.out.trim_end()], server.active_tokens()[..], "{first:?}");
    assert!(first.out.ends_with('\n') && first.out.lines().count() == 1);

    let again = bearward(folder.path(), &["token", "key", "--json"], &[]).await;
    assert_eq!(again.status, 0, "{again:?}");
    let shown: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(shown["access_token"], first.out.trim_end());
    assert_eq!(shown["token_type"], "Bearer");
    let expires_at: jiff::Timestamp = shown["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at > jiff::Timestamp::now(), "{shown}");
    assert_eq!(server.counts().token_requests, 1, "the second one came from the store");
    for said in [&first.err, &again.err] {
        assert!(!said.contains(first.out.trim_end()), "only stdout has it: {said}");
    }
}

#[tokio::test]
async fn token_for_a_subject() {
    let bank = Cybrid::new().start().await.unwrap();
    let folder = cybrid(&bank);
    let of = async |subject: &str| {
        bearward(folder.path(), &["token", "customer", "--subject", subject], &[]).await
    };
    let one = of(CUSTOMERS[0]).await;
    assert_eq!(one.status, 0, "{one:?}");
    assert!(bank.active_tokens().contains(&one.out.trim_end().to_owned()));
    let other = of(CUSTOMERS[1]).await;
    assert_eq!(other.status, 0, "{other:?}");
    assert_ne!(one.out, other.out);
    let asked = bank.counts().token_requests;
    assert_eq!(of(CUSTOMERS[0]).await.out, one.out);
    assert_eq!(bank.counts().token_requests, asked, "it came from the store");
    expect(&bearward(folder.path(), &["token", "customer"], &[]).await, USAGE, &["--subject SUBJECT"]);
}

#[tokio::test]
async fn token_says_by_its_status_whether_trying_again_helps() {
    let server = AuthorizationServer::new().client("app", "another").start().await.unwrap();
    let refused = folder(&server.url(), "");
    let ended = bearward(refused.path(), &["token", "key"], &[]).await;
    expect(&ended, 1, &["no token for key", "invalid_client"]);

    let gone = folder(&nowhere().await, "");
    expect(&bearward(gone.path(), &["token", "key"], &[]).await, TRY_AGAIN, &["no token for key"]);

    let limited =
        AuthorizationServer::new().answer(Answer::status(StatusCode::FORBIDDEN)).start().await.unwrap();
    let folder_of_limited = folder(&limited.url(), "");
    let ended = bearward(folder_of_limited.path(), &["token", "key"], &[]).await;
    expect(&ended, TRY_AGAIN, &["no token for key", "403"]);

    let dead = AuthorizationServer::new().rotating().start().await.unwrap();
    dead.end_logins();
    let folder = folder(&dead.url(), "");
    let refresh =
        format!("refresh_token\"\n        refresh_token = {:?}", authorization_server::FIRST_REFRESH_TOKEN);
    edit(folder.path(), "client_credentials\"", &refresh);
    let ended = bearward(folder.path(), &["token", "key"], &[]).await;
    expect(&ended, LOGIN_REQUIRED, &["no token for key", "refused"]);
}

#[tokio::test]
async fn status_and_wait_ask_a_running_one() {
    let server = AuthorizationServer::new().start().await.unwrap();
    let api = ResourceServer::new(&server).start().await.unwrap();
    server.fail_token_endpoint(Answer::empty());
    let folder = folder(&server.url(), "");
    edit(folder.path(), &format!("url = \"{}\"", server.url()), &format!("url = \"{}\"", api.url()));
    let running = Process::run(&folder.path().join("bearward.toml"));
    let admin = running.address("admin").await;
    // The configuration says port 0; the commands have to be told where that is.
    let asking = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(folder.path().join("bearward.toml")).unwrap();
    let text =
        text.replace("admin = { listen = \"127.0.0.1:0\" }", &format!("admin = {{ listen = \"{admin}\" }}"));
    std::fs::write(asking.path().join("bearward.toml"), text).unwrap();

    let ended = bearward(asking.path(), &["wait", "--timeout", "1s"], &[]).await;
    expect(&ended, TRY_AGAIN, &["not ready after 1s", "key is "]);
    server.mend_token_endpoint();
    let ended = bearward(asking.path(), &["wait"], &[]).await;
    expect(&ended, 0, &[]);
    assert_eq!(look(admin, "/readyz").await.status(), 200);

    let shown = bearward(asking.path(), &["status"], &[]).await;
    assert_eq!((shown.status, shown.err.as_str()), (0, ""), "{shown:?}");
    for words in ["TOKEN", "STATE", "EXPIRES AT", "GENERATION", "UPSTREAM", "REQUESTS", &api.url()] {
        assert!(shown.out.contains(words), "no {words} in {}", shown.out);
    }
    assert!(
        shown.out.lines().any(|line| line.starts_with("key ") && line.contains(" valid ")),
        "{}",
        shown.out
    );
    let shown = bearward(asking.path(), &["status", "--json"], &[]).await;
    assert_eq!((shown.status, shown.err.as_str()), (0, ""));
    let seen: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(seen, json(&look(admin, "/status").await));

    running.signal("TERM");
    assert_eq!(running.ended().await.code(), Some(0));
    let ended = bearward(asking.path(), &["wait", "--timeout", "300ms"], &[]).await;
    expect(&ended, TRY_AGAIN, &["nothing answers on"]);
}

#[tokio::test]
async fn schema_and_completions_are_data() {
    let folder = tempfile::tempdir().unwrap();
    let schema = bearward(folder.path(), &["schema"], &[]).await;
    assert_eq!((schema.status, schema.err.as_str()), (0, ""));
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert!(schema["properties"]["upstreams"].is_object(), "{schema}");
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef bearward"), ("fish", "complete -c bearward")]
    {
        let script = bearward(folder.path(), &["completions", shell], &[]).await;
        assert_eq!((script.status, script.err.as_str()), (0, ""), "{shell}");
        assert!(script.out.contains(word) && script.out.contains("status"), "{shell}: {}", script.out);
    }
}

#[tokio::test]
async fn logs_are_messages_json_without_a_terminal_and_text_where_asked_for() {
    let server = AuthorizationServer::new().start().await.unwrap();
    for (format, is_json) in [("auto", true), ("json", true), ("text", false)] {
        let folder = folder(&server.url(), &format!("[log]\n        format = \"{format}\""));
        let port = free_port();
        edit(
            folder.path(),
            "admin = { listen = \"127.0.0.1:0\" }",
            &format!("admin = {{ listen = \"127.0.0.1:{port}\" }}"),
        );
        let running = Process::run_with(&folder.path().join("bearward.toml"), &[("NO_COLOR", "1")]);
        let ready = bearward(folder.path(), &["wait", "--timeout", "30s"], &[]).await;
        assert_eq!(ready.status, 0, "{ready:?}\n{}", running.log());
        // Two listeners and a token; a log is read a moment after it was written.
        until("three events are logged", || running.log().lines().count() >= 3).await;
        for line in running.log().lines() {
            let parsed = serde_json::from_str::<serde_json::Value>(line);
            assert_eq!(parsed.is_ok(), is_json, "{format}: {line}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
        running.signal("TERM");
        assert_eq!(running.ended().await.code(), Some(0));
    }
}

/// A port that was free a moment ago, for a process whose log is no JSON that could be read for its address.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn cybrid(bank: &Simulator) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let url = bank.url();
    let configuration = format!(
        r#"
        store = {{ path = "state" }}

        [tokens.bank]
        preset = "cybrid"
        token_endpoint = "{url}/oauth/token"
        client_id = "{CLIENT_ID}"
        client_secret = "{CLIENT_SECRET}"
        scope = "customers:read customers:write"

        [tokens.customer]
        grant_type = "request"
        url = "{url}/api/customer_tokens"
        authorize_with = "bank"
        body = {{ customer_guid = "{{subject}}", scopes = ["trades:read"] }}

        [upstreams.customers]
        url = "{url}"
        token = "customer"
        listen = "127.0.0.1:0"
        "#
    );
    std::fs::write(folder.path().join("bearward.toml"), configuration).unwrap();
    folder
}
