//! `bearward exec`: programs with hard-wired https URLs, as they are, get their token; the command's end and signals are its own.

use std::{convert::Infallible, path::Path, process::Output};

use bearward::ca::{Authority, Files};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    outer_proxy::{OPEN, OuterProxy},
    support::{PATIENCE, until},
    tls::{
        served,
        server::{Ca, TlsServer},
    },
};

/// An API behind TLS as api.localhost, a configuration for it, and a state of bearward's own.
struct World {
    folder: TempDir,
    server: TlsServer,
    host: &'static str,
}

impl World {
    async fn new() -> Self {
        Self::at("api.localhost").await
    }

    /// The same under another name or address of this machine.
    async fn at(host: &'static str) -> Self {
        let ca = Ca::new();
        let server = served(&ca, host, &["h2", "http/1.1"], answer).await;
        let folder = tempfile::tempdir().unwrap();
        let root = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, ca.root());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{root}\n-----END CERTIFICATE-----\n");
        std::fs::write(folder.path().join("api-ca.pem"), pem).unwrap();
        let world = Self { folder, server, host };
        world.configure("");
        world
    }

    fn configure(&self, more: &str) {
        let configuration = format!(
            r#"
            [tokens.api]
            grant_type = "static"
            access_token = "good"

            [upstreams.api]
            url = "{}"
            token = "api"
            tls = {{ ca = "api-ca.pem" }}
            {more}
            "#,
            self.url()
        );
        std::fs::write(self.folder.path().join("bearward.toml"), configuration).unwrap();
    }

    fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.server.address.port())
    }

    /// `bearward exec -- sh -c SCRIPT` in an environment without any setting. In the script `$URL` is the API's.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        let file = self.folder.path().join("bearward.toml");
        command.arg("exec").arg("-c").arg(file).args(["--", "sh", "-c", script]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("TMPDIR", self.folder.path()).env("URL", self.url());
        command.kill_on_drop(true);
        command
    }

    async fn exec(&self, script: &str) -> Output {
        ended(self.command(script)).await
    }

    /// What bearward left among the temporary files.
    fn left_behind(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("bearward-"))
            .count()
    }
}

async fn ended(mut command: Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap()
}

fn out(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {err}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says what was asked for, to who has the token.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let content = body.collect().await.unwrap().to_bytes();
    let authorized = head.headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer good");
    let status = if authorized { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    let said = format!("{} {} {}\n", head.method, head.uri.path(), String::from_utf8_lossy(&content));
    Ok(Response::builder().status(status).body(Full::new(said.into())).unwrap())
}

/// Whether this machine has the program.
fn has(program: &str) -> bool {
    let found = std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|found| found.status.success())
}

/// curl, Python and Node ask the API, each as it does without bearward.
const EACH: &str = r#"set -e
    curl -sSf -d hello "$URL/curl"
    python3 -c 'import os, urllib.request as r; print(r.urlopen(os.environ["URL"] + "/python").read().decode(), end="")'
    node -e '
        const https = require("node:https");
        const url = process.env.URL;
        (async () => {
            const fetched = await fetch(url + "/fetch", { method: "POST", body: "hi" });
            process.stdout.write(`${fetched.status} ${await fetched.text()}`);
            https.get(url + "/https", (answer) => answer.pipe(process.stdout));
        })();
    '"#;
const EACH_GOT: &str = "POST /curl hello\nGET /python \n200 POST /fetch hi\nGET /https \n";

#[tokio::test]
async fn curl_python_and_node_need_no_setting_for_hard_wired_https_urls() {
    let world = World::new().await;
    let output = world.exec(EACH).await;
    assert_eq!(out(&output), EACH_GOT);
    assert!(err(&output).contains("made a local CA"), "{}", err(&output));
    assert_eq!(world.left_behind(), 0);
    // The next one finds the CA, and has nothing to say.
    let again = world.exec(r#"curl -sSf "$URL/again""#).await;
    assert_eq!((out(&again).as_str(), err(&again).as_str()), ("GET /again \n", ""));
}

#[tokio::test]
async fn r147_programs_take_a_ca_that_is_constrained_to_an_address() {
    let world = World::at("127.0.0.1").await;
    assert_eq!(out(&world.exec(EACH).await), EACH_GOT);
    if has("java") {
        std::fs::write(world.folder.path().join("Ask.java"), JAVA).unwrap();
        assert_eq!(out(&world.exec(r#"java "$HOME/Ask.java""#).await), "GET /java \nGET /java \n");
    }
}

#[tokio::test]
async fn r003_http_urls_come_to_bearward_with_their_authority() {
    let world = World::new().await;
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://plain.localhost:{}", plain.local_addr().unwrap().port());
    world.configure(&format!("[upstreams.plain]\nurl = \"{url}\"\ntoken = \"api\""));
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            let service = hyper::service::service_fn(answer);
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let mut command = world.command(
        r#"set -e
        curl -sSf "$PLAIN/curl"
        python3 -c 'import os, urllib.request as r; print(r.urlopen(os.environ["PLAIN"] + "/python").read().decode(), end="")'
        node -e '
            const http = require("node:http");
            const url = process.env.PLAIN;
            const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
            const get = (path) => new Promise((done, failed) => http.get(url + path, { agent }, (answer) => {
                answer.on("data", (octets) => process.stdout.write(octets)).on("end", done);
            }).on("error", failed));
            (async () => {
                const fetched = await fetch(url + "/fetch", { method: "POST", body: "hi" });
                process.stdout.write(`${fetched.status} ${await fetched.text()}`);
                await get("/one");
                await get("/two");
                // Heads that are written down before an agent is asked.
                const { host } = new URL(url);
                for (const headers of [["Host", host, "Connection", "close"], { expect: "100-continue" }]) {
                    await new Promise((done, failed) => {
                        const asking = http.request(url + "/written", { method: "POST", headers }, (answer) => {
                            answer.on("data", (octets) => process.stdout.write(octets)).on("end", done);
                        });
                        asking.on("error", failed).on("continue", () => asking.end("expected"));
                        if (Array.isArray(headers)) asking.end();
                    });
                }
                const elsewhere = await fetch(process.env.URL + "/secure");
                process.stdout.write(await elsewhere.text());
                agent.destroy();
            })();
        '"#,
    );
    command.env("PLAIN", &url);
    let output = ended(command).await;
    assert_eq!(
        out(&output),
        "GET /curl \nGET /python \n200 POST /fetch hi\nGET /one \nGET /two \nPOST /written \nPOST /written expected\nGET /secure \n"
    );
}

/// Both of Java's clients.
const JAVA: &str = r#"
        import java.net.*; import java.net.http.*;
        public class Ask {
            public static void main(String[] arguments) throws Exception {
                URI uri = URI.create(System.getenv("URL") + "/java");
                var body = HttpResponse.BodyHandlers.ofString();
                System.out.print(HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), body).body());
                System.out.print(new String(uri.toURL().openStream().readAllBytes()));
            }
        }"#;

#[tokio::test]
async fn java_needs_no_setting_either() {
    if !has("java") {
        return;
    }
    let world = World::new().await;
    std::fs::write(world.folder.path().join("Ask.java"), JAVA).unwrap();
    let output = world.exec(r#"java "$HOME/Ask.java""#).await;
    assert_eq!(out(&output), "GET /java \nGET /java \n");
}

#[tokio::test]
async fn the_commands_status_is_the_exit_status() {
    let world = World::new().await;
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let output = world.exec(script).await;
        assert_eq!(output.status.code(), Some(status), "{script}: {}", err(&output));
    }
    for (program, status) in [("/nowhere/at-all", 127), ("/etc/passwd", 126)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        let file = world.folder.path().join("bearward.toml");
        command.arg("exec").arg("-c").arg(file).args(["--", program]);
        command.env("HOME", world.folder.path());
        let output = ended(command).await;
        assert_eq!(output.status.code(), Some(status), "{program}: {}", err(&output));
        assert!(err(&output).contains(program), "{}", err(&output));
    }
    assert_eq!(world.left_behind(), 0);
}

#[tokio::test]
async fn r149_signals_reach_the_command_which_decides_about_its_end() {
    let world = World::new().await;
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1"] {
        let ready = world.folder.path().join(signal);
        let script = format!(
            r#"trap 'curl -sSf "$URL/last-words"; exit 9' {signal}; touch "{}"; while :; do sleep 0.05; done"#,
            ready.display()
        );
        let mut command = world.command(&script);
        let running = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        until("the command runs", || ready.exists()).await;
        let id = running.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success());
        let output = tokio::time::timeout(PATIENCE, running.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(9), "{signal}: {}", err(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "GET /last-words \n", "{signal}");
    }
}

#[tokio::test]
async fn stdin_and_stdout_are_the_commands() {
    use tokio::io::AsyncWriteExt;

    let world = World::new().await;
    let mut command = world.command("cat");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"through and through").await.unwrap();
    let output = tokio::time::timeout(PATIENCE, running.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.stdout, b"through and through");
}

#[tokio::test]
async fn r146_the_commands_environment_names_the_proxy_and_bundles_and_no_secret() {
    let world = World::new().await;
    let own = world.folder.path().join("own.pem");
    std::fs::write(&own, "# my roots\n").unwrap();
    world.configure("[tokens.other]\ngrant_type = \"static\"\naccess_token = { env = \"A_SECRET\" }");
    let mut command = world
        .command("env; cat \"$REQUESTS_CA_BUNDLE\" | head -1; stat -c %a \"$(dirname \"$SSL_CERT_FILE\")\"");
    command.env("NO_PROXY", "intranet.example, .localhost").env("REQUESTS_CA_BUNDLE", &own);
    command.env("A_SECRET", "canary");
    command.env("NODE_OPTIONS", "--no-warnings").env("JAVA_TOOL_OPTIONS", "-Dx=y");
    let output = ended(command).await;
    let said = out(&output);
    let value = |name: &str| {
        let start = format!("{name}=");
        said.lines()
            .find_map(|line| line.strip_prefix(&start))
            .unwrap_or_else(|| panic!("{name} is not set:\n{said}"))
    };
    let proxy = value("HTTP_PROXY");
    assert!(proxy.starts_with("http://127.0.0.1:"), "{proxy}");
    for name in ["http_proxy", "HTTPS_PROXY", "https_proxy"] {
        assert_eq!(value(name), proxy, "{name}");
    }
    // What would keep the upstream from us is left out, and said; `localhost` would, too.
    assert_eq!(
        (value("NO_PROXY"), value("no_proxy")),
        ("intranet.example,127.0.0.1,::1", "intranet.example,127.0.0.1,::1")
    );
    assert!(
        err(&output).contains(".localhost") && err(&output).contains("[upstreams.api]"),
        "{}",
        err(&output)
    );
    for name in [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "AWS_CA_BUNDLE",
        "PIP_CERT",
        "CARGO_HTTP_CAINFO",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "NODE_EXTRA_CA_CERTS",
        "DENO_CERT",
    ] {
        assert!(value(name).ends_with(".pem"), "{name}");
    }
    assert!(value("NODE_OPTIONS").starts_with("--no-warnings --require="), "{said}");
    assert!(value("JAVA_TOOL_OPTIONS").starts_with("-Dx=y -Dhttp.proxyHost=127.0.0.1 "), "{said}");
    assert!(
        value("JAVA_TOOL_OPTIONS")
            .contains("-Dhttp.nonProxyHosts=intranet.example|*.intranet.example|127.0.0.1|[::1] ")
    );
    assert!(said.contains("\n# my roots\n") && said.ends_with("\n700\n"), "{said}");
    assert!(!said.contains("good") && !said.contains("canary"), "secrets are bearward's: {said}");
    assert_eq!(world.left_behind(), 0);
}

#[tokio::test]
async fn the_upstreams_own_ways_in_are_not_opened_and_other_hosts_are_as_without_bearward() {
    let world = World::new().await;
    // Somebody else has the port, a running bearward for one.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.configure(&format!("listen = \"{}\"", taken.local_addr().unwrap()));
    assert_eq!(out(&world.exec(r#"curl -sSf "$URL/beside""#).await), "GET /beside \n");
}

#[tokio::test]
async fn other_hosts_are_reached_through_the_outer_proxy_that_the_environment_names() {
    let world = World::new().await;
    let proxy = OuterProxy::new(OPEN, world.server.address).await;
    let mut command = world.command(
        r#"curl -sSf "$URL/ours"; curl -sS --insecure -w '%{http_code} ' https://other.invalid/others; curl -sS -o /dev/null -w '%{http_connect}' https://10.0.0.1/"#,
    );
    command.env("https_proxy", format!("http://user:canary@{}", proxy.address));
    let output = ended(command).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "GET /ours \nGET /others \n401 403", "{}", err(&output));
    // The upstream is on this machine, and no proxy's business; what may not be reached is not asked for.
    let asked = proxy.asked();
    assert!(asked.len() == 1 && asked[0].starts_with("CONNECT other.invalid:443 "), "{asked:?}");
}

#[tokio::test]
async fn r012_a_private_address_is_refused_aloud_and_reached_where_a_proxy_that_listens_nowhere_allows_it() {
    let world = World::new().await;
    let other = served(&Ca::new(), "other.localhost", &["http/1.1"], answer).await;
    let script = format!("curl -sSk https://other.localhost:{}/inside", other.address.port());
    let refused = world.exec(&script).await;
    assert!(!refused.status.success());
    let said = err(&refused);
    assert!(said.contains("the address 127.0.0.1") && said.contains("allow_addresses"), "{said}");
    world.configure("[proxy]\nunmatched = \"tunnel\"\nallow_addresses = [\"127.0.0.1\"]\n");
    assert_eq!(out(&world.exec(&script).await), "GET /inside \n");
}

#[tokio::test]
async fn r147_a_ca_that_may_not_speak_for_an_upstream_is_said() {
    let world = World::new().await;
    out(&world.exec("true").await);
    let files = Files::in_folder(&world.folder.path().join(".local/state/bearward"));
    let authority = Authority::open(&files, &bearward::clock::Clock::system()).unwrap();
    assert!(authority.server_config("other.example").is_err(), "it was made for api.localhost alone");
    let more = "\n[upstreams.other]\nurl = \"https://other.example\"\n";
    world.configure(more);
    let output = world.exec("true").await;
    assert!(
        err(&output).contains("other.example") && err(&output).contains("ca init --force"),
        "{}",
        err(&output)
    );
    let made = ca(&world, &["init", "--force"]).await;
    assert!(err(&made).contains("api.localhost, other.example"), "{}", err(&made));
    let output = world.exec(r#"curl -sSf "$URL/both""#).await;
    assert_eq!((out(&output).as_str(), err(&output).as_str()), ("GET /both \n", ""));
}

async fn ca(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
    command.arg("-c").arg(world.folder.path().join("bearward.toml")).arg("ca").args(arguments);
    command.env_clear().env("HOME", world.folder.path());
    ended(command).await
}

#[tokio::test]
async fn r147_ca_init_makes_one_for_the_configured_hosts_once_and_ca_show_prints_it() {
    let world = World::new().await;
    let none = ca(&world, &["show"]).await;
    assert_eq!(none.status.code(), Some(69), "{}", err(&none));
    assert!(err(&none).contains("bearward ca init"), "{}", err(&none));
    let made = ca(&world, &["init"]).await;
    assert_eq!(out(&made), "", "messages go to stderr");
    let folder = world.folder.path().join(".local/state/bearward");
    for words in ["api.localhost", "ca.pem", "ca.key", "update-ca-certificates", "NODE_EXTRA_CA_CERTS"] {
        assert!(err(&made).contains(words), "{words}: {}", err(&made));
    }
    let shown = out(&ca(&world, &["show"]).await);
    assert_eq!(shown, std::fs::read_to_string(folder.join("ca.pem")).unwrap());
    let again = ca(&world, &["init"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("--force"), "{}", err(&again));
    assert_eq!(out(&ca(&world, &["show"]).await), shown);
    no_configuration(&world.folder.path().join("elsewhere")).await;
}

/// Without a configuration there are no hosts, and an unconstrained CA is made on demand alone.
async fn no_configuration(home: &Path) {
    std::fs::create_dir(home).unwrap();
    let init = |more: &'static [&'static str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        command.args(["ca", "init"]).args(more).env_clear().env("HOME", home).current_dir(home);
        ended(command)
    };
    let refused = init(&[]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
    assert!(err(&refused).contains("--any-host"), "{}", err(&refused));
    let made = init(&["--any-host"]).await;
    assert!(err(&made).contains("every host"), "{}", err(&made));
    out(&made);
}
