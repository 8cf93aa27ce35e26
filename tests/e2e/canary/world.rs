//! The remote parties, some of which say back what they were sent, and the configuration that leads to them.

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bearward::demo::simulator::{
    Answer, AuthorizationServer, Cybrid, ResourceServer, Resources, Simulator, Then, cybrid,
};
use bearward::{
    ca::{Authority, Files, Hosts, Overwrite},
    clock::Clock,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{API_KEY, FILE, FIRST_REFRESH, ISSUED, KINDS, OUTER, PARAMETER, PASSWORD, ROTATED, STATIC, TEXT};

/// The remote parties.
pub(super) struct World {
    pub(super) server: Simulator,
    /// By the kind of credentials: each says what it was sent.
    refusing: BTreeMap<&'static str, Simulator>,
    limiting: Simulator,
    pub(super) bank: Simulator,
    pub(super) api: Resources,
    pub(super) http2: Http2Api,
    pub(super) outer: RefusingProxy,
    pub(super) folder: tempfile::TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
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
        let (files, hosts) = (Files::in_folder(folder.path()), Hosts::only(["api.example"]).unwrap());
        Authority::make(&files, &hosts, Overwrite::Never, &Clock::system()).unwrap();
        let (http2, outer) = (Http2Api::start().await, RefusingProxy::start().await);
        Self { server, refusing, limiting, bank, api, http2, outer, folder }
    }

    /// A line of the local CA's key.
    pub(super) fn authority_key(&self) -> String {
        let key = std::fs::read_to_string(self.folder.path().join("ca.key")).unwrap();
        key.lines().nth(1).unwrap().to_owned()
    }

    pub(super) fn configuration(&self, admin: &str, format: &str, store: &str) -> String {
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
        let outer = format!("proxy = \"http://user:{OUTER}@{}\"\n", self.outer.address);
        let further = format!("{outer}allow_cleartext = true\n");
        whole += &upstream("behind", "text-good", "http://api.example", &further);
        write!(
            whole,
            "[proxy]\nlisten = \"127.0.0.1:0\"\nunmatched = \"tunnel\"\n\
             ca = {{ certificate = \"ca.pem\", key = \"ca.key\" }}\n{outer}"
        )
        .unwrap();
        whole += &upstream("gone", "text-good", "http://127.0.0.1:1", "");
        whole
    }
}

/// An API that speaks HTTP/2 by prior knowledge, and what it saw of Authorization and x-api-key.
pub(super) struct Http2Api {
    pub(super) url: String,
    pub(super) seen: Arc<Mutex<Vec<String>>>,
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

/// An outer proxy that opens no tunnel and says back, in every place where it can, what it was asked.
pub(super) struct RefusingProxy {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Mutex<Vec<String>>>,
}

impl RefusingProxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let said = head.replace("\r\n", " ");
                    let answer = format!(
                        "HTTP/1.1 407 {said}\r\nProxy-Authenticate: Basic realm=\"{said}\"\r\n\r\n{head}"
                    );
                    kept.lock().unwrap().push(head);
                    // Whoever has read enough may be gone.
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, seen }
    }
}
