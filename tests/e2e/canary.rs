//! CHECKLIST 146: canary secrets in every place where a secret can stand, and a search of all that bearward says.
//!
//! The real binary goes through success, rejection, refusal with an echo of what was sent, limits, a broken upstream and
//! a bad reload, at every log level and in both formats. Searched for each secret, as it is, percent-encoded, escaped and
//! within base64: stdout, stderr, every answer of bearward's own, the admin listener's, the commands', the command line.
//! That a panic shows only its place is `cli::run`'s hook; there is no known way to cause one from outside.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bearward::demo::simulator::{
    Answer, AuthorizationServer, Cybrid, Outcome, ResourceServer, Resources, Simulator, Then,
    authorization_server, cybrid,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

use crate::support::{
    Application, PATIENCE, Process, get,
    outside::{bearward, look},
    until,
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
const ALL: [&str; 16] = [
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

/// Every way in which `secret` could be written.
fn forms(secret: &str) -> Vec<String> {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let debug = format!("{secret:?}");
    let json = serde_json::Value::from(secret).to_string();
    let mut forms =
        vec![secret.to_owned(), percent.to_lowercase(), percent, debug[1..debug.len() - 1].to_owned()];
    forms.push(json[1..json.len() - 1].to_owned());
    for plain in [secret.to_owned(), form.clone()] {
        // However many octets stand before it: what of its base64 does not depend on its neighbours.
        for before in 0..3 {
            let encoded = BASE64_STANDARD.encode([&b"\0\0"[..before], plain.as_bytes()].concat());
            let start = if before == 0 { 0 } else { 4 };
            let core = encoded.trim_end_matches('=');
            forms.push(core[start..core.len() - 2].to_owned());
        }
    }
    forms.push(form);
    forms
}

/// What was said, by where it was said.
#[derive(Default)]
struct Said(Mutex<Vec<(String, String)>>);

impl Said {
    fn note(&self, place: impl Into<String>, words: impl Into<String>) {
        self.0.lock().unwrap().push((place.into(), words.into()));
    }

    fn answer(&self, place: &str, answer: &Response<Bytes>) {
        let mut words = String::new();
        for (name, value) in answer.headers() {
            let _ = writeln!(words, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        words.push_str(&String::from_utf8_lossy(answer.body()));
        self.note(place, words);
    }

    fn expect_none_of(&self, secrets: &[String]) {
        for secret in secrets {
            for form in forms(secret) {
                for (place, words) in self.0.lock().unwrap().iter() {
                    if let Some(at) = words.find(&form) {
                        let from = words[..at].rfind('\n').map_or(0, |end| end + 1);
                        let line = words[from..].lines().next().unwrap_or_default();
                        panic!("{place} shows {secret:?} as {form:?}:\n{line}");
                    }
                }
            }
        }
    }
}

/// The remote parties.
struct World {
    server: Simulator,
    /// By the kind of credentials: each says what it was sent.
    refusing: BTreeMap<&'static str, Simulator>,
    limiting: Simulator,
    bank: Simulator,
    api: Resources,
    http2: Http2Api,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let server = AuthorizationServer::new()
            .rotating()
            .member("access_token", ISSUED.into())
            .member("refresh_token", ROTATED.into())
            .start()
            .await
            .unwrap();
        let mut refusing = BTreeMap::new();
        for (kind, secrets) in KINDS {
            let echoes = secrets.iter().map(|secret| {
                let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
                let basic = |secret: &str| BASE64_STANDARD.encode(format!("app:{secret}"));
                let basic = if *kind == "raw" { basic(secret) } else { basic(&form) };
                match *kind {
                    "text" | "raw" | "env" | "file" => format!("bad {secret} {percent} {form} Basic {basic}"),
                    _ => format!("bad {secret} {percent} {form}"),
                }
            });
            let echo = echoes.collect::<Vec<_>>().join("; ");
            let server = AuthorizationServer::new().start().await.unwrap();
            server.fail_token_endpoint(Answer::oauth_error(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                &echo,
            ));
            refusing.insert(*kind, server);
        }
        let limiting = AuthorizationServer::new().start().await.unwrap();
        limiting.fail_token_endpoint(
            Answer::status(StatusCode::TOO_MANY_REQUESTS)
                .field(header::RETRY_AFTER, "1")
                .content(format!("too many of {TEXT}")),
        );
        let bank = Cybrid::new().start().await.unwrap();
        let rejection = r#"{"error":{"key":"token.invalid"}}"#;
        let api = ResourceServer::new(&server)
            .always("/ok", Answer::status(StatusCode::OK))
            .always(
                "/rejected",
                Answer::status(StatusCode::UNAUTHORIZED)
                    .field(header::CONTENT_TYPE, "application/json")
                    .content(rejection),
            )
            .always("/cut", Answer::reset())
            .always("/garbage", Answer::raw("cnry nonsense\r\n\r\n", Then::Close))
            .start()
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{FILE}\n")).unwrap();
        Self { server, refusing, limiting, bank, api, http2: Http2Api::start().await, folder }
    }

    fn configuration(&self, admin: &str, format: &str, store: &str) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let token = |name: &str, server: &Simulator, rest: &str| {
            format!(
                "[tokens.{name}]\ntoken_endpoint = \"{}/token\"\nclient_id = \"app\"\nacquire = \"lazy\"\n{rest}\n",
                server.url()
            )
        };
        let upstream = |name: &str, token: &str, url: &str, rest: &str| {
            format!(
                "[upstreams.{name}]\nurl = \"{url}\"\ntoken = \"{token}\"\nlisten = \"127.0.0.1:0\"\n\
                 headers = {{ x-api-key = \"{API_KEY}\" }}\n{rest}\n"
            )
        };
        let client = "grant_type = \"client_credentials\"\n";
        let text = format!("{client}client_secret = {}\n", quoted(TEXT));
        let post = "token_endpoint_auth_method = \"client_secret_post\"\n";
        let user = format!("username = \"someone\"\npassword = {}\n", quoted(PASSWORD));
        let refresh = format!(
            "grant_type = \"refresh_token\"\nclient_secret = \"x\"\nrefresh_token = \"{FIRST_REFRESH}\"\n"
        );
        let mut whole = format!(
            "store = {{ path = {} }}\nadmin = {{ listen = \"{admin}\" }}\nlog = {{ format = \"{format}\" }}\n",
            quoted(store)
        );
        let kinds = [
            ("text", text.clone()),
            ("raw", format!("{text}basic_encoding = \"raw\"\n")),
            ("post", format!("{text}{post}parameters = {{ assertion = \"{PARAMETER}\" }}\n")),
            ("env", format!("{client}client_secret = {{ env = \"CANARY\" }}\n")),
            (
                "file",
                format!(
                    "{client}client_secret = {{ file = \"{}\" }}\n",
                    self.folder.path().join("secret").display()
                ),
            ),
            ("password", format!("grant_type = \"password\"\nclient_secret = \"x\"\n{user}")),
            ("refresh", refresh),
        ];
        for (kind, rest) in &kinds {
            for (what, server) in
                [("good", &self.server), ("refused", &self.refusing[kind]), ("limited", &self.limiting)]
            {
                whole += &token(&format!("{kind}-{what}"), server, rest);
                whole += &upstream(&format!("{kind}-{what}"), &format!("{kind}-{what}"), &self.api.url(), "");
            }
        }
        let bank = self.bank.url();
        write!(
            whole,
            "[tokens.static]\ngrant_type = \"static\"\naccess_token = \"{STATIC}\"\n\
             [tokens.bank]\npreset = \"cybrid\"\ntoken_endpoint = \"{bank}/oauth/token\"\nclient_id = \"{}\"\n\
             client_secret = \"{}\"\nscope = \"customers:read customers:write\"\n\
             [tokens.customer]\ngrant_type = \"request\"\nurl = \"{bank}/api/customer_tokens\"\n\
             authorize_with = \"bank\"\nbody = {{ customer_guid = \"{{subject}}\", scopes = [\"trades:read\"] }}\n",
            cybrid::CLIENT_ID,
            cybrid::CLIENT_SECRET,
        )
        .unwrap();
        whole += &upstream("static", "static", &self.api.url(), "");
        whole += &upstream("customer", "customer", &self.api.url(), "");
        whole += &upstream("http2", "text-good", &self.http2.url, "http = \"2\"");
        whole += &upstream("gone", "text-good", "http://127.0.0.1:1", "");
        whole
    }
}

/// An API that speaks HTTP/2 by prior knowledge, and what it saw of Authorization and x-api-key.
struct Http2Api {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Http2Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let shown = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
                    kept.lock().unwrap().extend([shown("authorization"), shown("x-api-key")]);
                    let status = if request.uri().path() == "/rejected" { 401 } else { 200 };
                    async move {
                        let content = Full::new(Bytes::from_static(br#"{"error":{"key":"token.invalid"}}"#));
                        let answer =
                            Response::builder().status(status).header("content-type", "application/json");
                        answer.body(content)
                    }
                });
                tokio::spawn(async move {
                    let served = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service);
                    // How the connection ends is nothing that this test is about.
                    let _ = served.await;
                });
            }
        });
        Self { url, seen }
    }
}

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
fn fixed_ports(file: &Path) -> Vec<(String, std::net::SocketAddr)> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut taken = Vec::new();
    let mut ports = Vec::new();
    let mut out = String::new();
    let mut name = String::new();
    for line in text.lines() {
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

#[test]
fn the_search_finds_a_secret_however_it_is_written() {
    for said in [
        TEXT.to_owned(),
        utf8_percent_encode(TEXT, NON_ALPHANUMERIC).to_string(),
        serde_json::json!({ "message": TEXT }).to_string(),
        format!("{:?}", Some(TEXT)),
        BASE64_STANDARD.encode(format!("app:{TEXT}")),
        BASE64_STANDARD
            .encode(format!("a:{}", form_urlencoded::byte_serialize(TEXT.as_bytes()).collect::<String>())),
    ] {
        assert!(forms(TEXT).iter().any(|form| said.contains(form)), "{said}");
    }
}
