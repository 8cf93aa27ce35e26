//! CHECKLIST 146: canary secrets in every place where a secret can stand, and a search of all that bearward says.
//!
//! The real binary goes through success, rejection, refusal with an echo of what was sent, limits, a broken upstream and
//! a bad reload, at every log level and in both formats. Searched for each secret, as it is, percent-encoded, escaped and
//! within base64: stdout, stderr, every answer of bearward's own, the admin listener's, the commands', the command line.
//! That a panic shows only its place is `cli::run`'s hook; there is no known way to cause one from outside.

mod said;
mod world;

use std::{net::SocketAddr, path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};

use bearward::demo::simulator::{Outcome, authorization_server, cybrid};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::{said::Said, world::World};
use crate::support::{
    Application, PATIENCE, Process, get,
    outside::{bearward, look},
    raw, until,
};

const TEXT: &str = "cnry-text+/&=1 %é\"x";
const ENV: &str = "cnry-env+/&=2";
const FILE: &str = "cnry-file:3";
const PASSWORD: &str = "cnry password+4";
const FIRST_REFRESH: &str = authorization_server::FIRST_REFRESH_TOKEN;
const STATIC: &str = "cnry-static-6";
const API_KEY: &str = "cnry-api-key-7";
const PARAMETER: &str = "cnry-parameter-8";
const APPLICATIONS_OWN: &str = "cnry-own-authorization-9";
const COOKIE: &str = "cnry-cookie-10";
const QUERY: &str = "cnry-query-11";
const BROKEN_LINE: &str = "cnry-broken-line-12";
const USERINFO: &str = "cnry-userinfo-13";
const BODY: &str = "cnry-body-14";
const ISSUED: &str = "cnry-issued.access/token-15";
const ROTATED: &str = "cnry-rotated-refresh-16";
const OUTER: &str = "cnry-outer-proxy-17";
const PROXY_AUTHORIZATION: &str = "cnry-proxy-authorization-18";
const ALL: [&str; 18] = [
    TEXT,
    ENV,
    FILE,
    PASSWORD,
    FIRST_REFRESH,
    STATIC,
    API_KEY,
    PARAMETER,
    APPLICATIONS_OWN,
    COOKIE,
    QUERY,
    BROKEN_LINE,
    USERINFO,
    BODY,
    ISSUED,
    ROTATED,
    OUTER,
    PROXY_AUTHORIZATION,
];

/// The kinds of credentials, and the secrets that are sent with each.
const KINDS: &[(&str, &[&str])] = &[
    ("text", &[TEXT]),
    ("raw", &[TEXT]),
    ("post", &[TEXT, PARAMETER]),
    ("env", &[ENV]),
    ("file", &[FILE]),
    ("password", &[PASSWORD]),
    ("refresh", &[FIRST_REFRESH]),
];

/// A request with secrets of the application's own in every place where it may have some.
fn request(path: &str, subject: Option<&str>) -> Request<Bytes> {
    let mut request = Request::post(format!("{path}?key={QUERY}"))
        .header("authorization", format!("Bearer {APPLICATIONS_OWN}"))
        .header("cookie", format!("session={COOKIE}"));
    if let Some(subject) = subject {
        request = request.header("x-bearward-subject", subject);
    }
    request.body(Bytes::from(format!("password={BODY}"))).unwrap()
}

async fn send(said: &Said, running: &Process, name: &str, path: &str, subject: Option<&str>) -> StatusCode {
    let mut application = Application::new(running.address(name).await);
    let answer = tokio::time::timeout(PATIENCE, application.send(request(path, subject))).await;
    let answer = answer.unwrap().unwrap_or_else(|error| panic!("{name}{path}: {error}"));
    said.answer(&format!("the answer to {name}{path}"), &answer);
    answer.status()
}

/// To an upstream, and to others, which the outer proxy refuses with an echo of its credentials.
async fn through_the_forward_proxy(world: &World, said: &Said, proxy: SocketAddr) {
    let own = format!(
        "Authorization: Bearer {APPLICATIONS_OWN}\r\nProxy-Authorization: Basic {PROXY_AUTHORIZATION}\r\nConnection: close\r\n"
    );
    for (request, status) in [
        (format!("GET {}/ok?key={QUERY} HTTP/1.1\r\nHost: x\r\n{own}\r\n", world.http2.url), 200),
        (format!("GET http://other.invalid/?key={QUERY} HTTP/1.1\r\nHost: x\r\n{own}\r\n"), 502),
        (format!("CONNECT other.invalid:443 HTTP/1.1\r\nHost: x\r\n{own}\r\n"), 502),
        (format!("GET /{QUERY} HTTP/1.1\r\nHost: x\r\n{own}\r\n"), 421),
        (format!("GET http://user:{USERINFO}@other.invalid/ HTTP/1.1\r\nHost: x\r\n{own}\r\n"), 400),
    ] {
        let answer = raw::exchange(proxy, &request).await;
        let first = request.lines().next().unwrap();
        assert_eq!(raw::status(&answer), status, "{first}: {}", String::from_utf8_lossy(&answer));
        said.note(format!("the answer to {first}"), String::from_utf8_lossy(&answer));
    }
    let mut asked = world.outer.seen.lock().unwrap().clone();
    // Another test may look whether its bearward is at this port.
    asked.retain(|head| head.starts_with("CONNECT "));
    let credentials = BASE64_STANDARD.encode(format!("user:{OUTER}"));
    assert!(asked.len() >= 3 && asked.iter().all(|head| head.contains(&credentials)), "{asked:?}");
    assert!(!asked.iter().any(|head| head.contains(PROXY_AUTHORIZATION)), "{asked:?}");
}

async fn everything_happens(world: &World, said: &Said, running: &Process, file: &Path, level: &str) {
    for (kind, _) in KINDS {
        assert_eq!(send(said, running, &format!("{kind}-good"), "/ok", None).await, 200, "{level} {kind}");
        assert_eq!(send(said, running, &format!("{kind}-refused"), "/ok", None).await, 502, "{level} {kind}");
        assert_eq!(send(said, running, &format!("{kind}-limited"), "/ok", None).await, 503, "{level} {kind}");
    }
    assert_eq!(send(said, running, "static", "/ok", None).await, 200);
    assert_eq!(send(said, running, "customer", "/ok", Some(cybrid::CUSTOMERS[0])).await, 200);
    assert_eq!(send(said, running, "customer", "/ok", Some("nobody")).await, 503);
    assert_eq!(send(said, running, "customer", "/ok", None).await, 400);
    assert_eq!(send(said, running, "http2", "/ok", None).await, 200);
    assert_eq!(send(said, running, "gone", "/ok", None).await, 502);
    assert_eq!(send(said, running, "text-good", "/cut", None).await, 502);
    assert_eq!(send(said, running, "text-good", "/garbage", None).await, 502);
    assert_eq!(send(said, running, "behind", "/ok", None).await, 502, "the outer proxy refuses");
    through_the_forward_proxy(world, said, running.address("proxy").await).await;
    for name in ["text-good", "static", "http2"] {
        let status = send(said, running, name, "/rejected", None).await;
        assert!([401, 503].contains(&status.as_u16()), "{level} {name}: {status}");
    }
    let mut foreign = request("/ok", None);
    foreign.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let answer = Application::new(running.address("text-good").await).send(foreign).await.unwrap();
    assert_eq!(answer.status(), 403);
    said.answer("the answer to a foreign page", &answer);

    let admin = running.address("admin").await;
    for path in ["/livez", "/readyz", "/metrics", "/status", "/"] {
        said.answer(path, &look(admin, path).await);
    }
    let good = std::fs::read_to_string(file).unwrap();
    let bad = format!(
        "{good}\n[tokens.broken]\ngrant_type = \"client_credentials\"\nclient_secret = \"{BROKEN_LINE}\n\
         password = {BROKEN_LINE}\n[upstreams.userinfo]\nurl = \"https://user:{USERINFO}@api.example\"\n"
    );
    std::fs::write(file, bad).unwrap();
    running.signal("HUP");
    let reported = || running.log().contains("the configuration was not reloaded");
    until(&format!("a bad reload is reported at {level}"), reported).await;
    std::fs::write(
        file,
        good.clone()
            + "\n[upstreams.userinfo]\n"
            + &format!("url = \"https://user:{USERINFO}@api.example\"\n"),
    )
    .unwrap();
    said.note("check", {
        let ended =
            bearward(file.parent().unwrap(), &["check", "-c", file.to_str().unwrap()], &[("CANARY", ENV)])
                .await;
        assert_eq!(ended.status, 78, "{ended:?}");
        ended.out + &ended.err
    });
    std::fs::write(file, good).unwrap();
    // What stands on the command line everybody may read.
    let id = running.id();
    let command_line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap();
    assert!(!command_line.is_empty());
    said.note("its command line", String::from_utf8_lossy(&command_line).into_owned());
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().next(), Some("0"), "a core file would hold every secret: {core}");
    assert!(!world.api.requests().is_empty());
}

/// One bearward from its start to its end at this level and in this format.
async fn expect_silence(level: &str, format: &str) {
    let world = World::new().await;
    let said = Said::default();
    let folder = world.folder.path();
    let file = folder.join("bearward.toml");
    let running = started(&world, &file, level, format).await;
    everything_happens(&world, &said, &running, &file, level).await;
    let seen = world.http2.seen.lock().unwrap().clone();
    assert!(seen.contains(&API_KEY.to_owned()) && seen.contains(&format!("Bearer {ISSUED}")), "{seen:?}");

    let admin = running.address("admin").await;
    let asking = folder.join("asking.toml");
    std::fs::write(&asking, world.configuration(&admin.to_string(), format, "another-state")).unwrap();
    for arguments in [
        &["check"][..],
        &["status"],
        &["status", "--json"],
        &["wait", "--timeout", "1s"],
        &["token", "text-refused"],
        &["token", "refresh-refused"],
        &["token", "text-limited"],
        &["ca", "show"],
        &["ca", "init"],
        &["exec", "--", "env"],
    ] {
        let arguments = [arguments, &["-c", asking.to_str().unwrap()]].concat();
        let ended = bearward(folder, &arguments, &[("CANARY", ENV), ("RUST_LOG", level)]).await;
        said.note(arguments.join(" "), ended.out + &ended.err);
    }
    let token =
        bearward(folder, &["token", "text-good", "-c", asking.to_str().unwrap()], &[("CANARY", ENV)]).await;
    assert_eq!((token.status, token.out.trim_end()), (0, ISSUED), "`token` alone prints one: {token:?}");
    said.note("the messages of token", token.err);

    running.signal("TERM");
    let log = running.log_to_its_end().await;
    assert!(log.contains("not reloaded"), "{level} {format} was heard");
    if level == "trace" {
        assert!(
            log.contains("token got") && log.contains("TRACE"),
            "nothing of that level was logged:\n{log}"
        );
    }
    said.note(format!("the log at {level}, {format}"), log);

    let mut secrets: Vec<String> = ALL.map(str::to_owned).to_vec();
    for request in world.server.token_requests().iter().chain(&world.bank.token_requests()) {
        if let Outcome::Granted { token, .. } = &request.outcome {
            secrets.push(token.clone());
        }
    }
    secrets.push(cybrid::CLIENT_SECRET.to_owned());
    secrets.push(world.authority_key());
    said.expect_none_of(&secrets);
}

/// Started on ports that are chosen here: a log of warnings alone does not say where it listens. Somebody else may take
/// one of them meanwhile, and then others are chosen.
async fn started(world: &World, file: &Path, level: &str, format: &str) -> Process {
    // That no core is written has to be its own doing, not what it was started with.
    let core = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: core.maximum, ..core }).unwrap();
    loop {
        std::fs::write(file, world.configuration("127.0.0.1:0", format, "state")).unwrap();
        let ports = fixed_ports(file);
        let running = Process::run_on(file, &[("CANARY", ENV), ("RUST_LOG", level)], ports.clone());
        let admin = running.address("admin").await;
        while !running.is_over() {
            // It listens everywhere or nowhere; the address of its API says that it is this one that answers.
            let answer = Application::new(admin).send(get("/status")).await;
            if answer.is_ok_and(|answer| String::from_utf8_lossy(answer.body()).contains(&world.api.url())) {
                return running;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(running.log().contains("another program has it"), "it did not start:\n{}", running.log());
    }
}

/// Gives every listener of a configuration a port; by name.
fn fixed_ports(file: &Path) -> Vec<(String, SocketAddr)> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut taken = Vec::new();
    let mut ports = Vec::new();
    let mut out = String::new();
    let mut name = String::new();
    for line in text.lines() {
        if line == "[proxy]" {
            name = "proxy".to_owned();
        }
        if let Some(upstream) = line.strip_prefix("[upstreams.") {
            name = upstream.trim_end_matches(']').to_owned();
        }
        if line.contains("127.0.0.1:0") {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            taken.push(listener);
            let name = if line.starts_with("admin") { "admin" } else { &name };
            ports.push((name.to_owned(), address));
            out += &line.replace("127.0.0.1:0", &address.to_string());
        } else {
            out += line;
        }
        out.push('\n');
    }
    std::fs::write(file, out).unwrap();
    ports
}

#[tokio::test]
async fn r146_no_secret_is_said_at_any_level_as_json() {
    join_all(["trace", "debug", "info"].map(|level| expect_silence(level, "json"))).await;
}

#[tokio::test]
async fn r146_no_secret_is_said_at_any_level_as_text() {
    join_all(["trace", "warn", "error"].map(|level| expect_silence(level, "text"))).await;
}
