//! The outer proxy: APIs and authorization servers that are reached through one, each by its own setting.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bearward::{
    app::{App, Running},
    config::Config,
    demo::simulator::{Shopware, Simulator, shopware},
};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::support::{application, ask};

/// An outer proxy that knows one far end, whatever it is called, and takes requests for tunnels and nothing else.
pub struct OuterProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl OuterProxy {
    pub async fn new(answer: &'static str, far: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, far, record.clone()));
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answer: &str, far: SocketAddr, record: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("CONNECT "), "{head}");
    record.lock().unwrap().push(head);
    stream.write_all(answer.as_bytes()).await.unwrap();
    if answer.starts_with("HTTP/1.1 200") {
        let mut far = TcpStream::connect(far).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut far).await;
    }
}

pub const OPEN: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";

fn configuration(token: &str, upstream: &str) -> String {
    format!(
        r#"
        store = {{ kind = "memory" }}

        [tokens.shop]
        preset = "shopware"
        base_url = "http://id.example:8000"
        client_id = "{}"
        client_secret = "{}"
        allow_cleartext = true
        acquire = "lazy"
        {token}

        [upstreams.shop]
        url = "http://api.example"
        token = "shop"
        allow_cleartext = true
        listen = "127.0.0.1:0"
        {upstream}
        "#,
        shopware::CLIENT_ID,
        shopware::CLIENT_SECRET
    )
}

fn start(configuration: &str, env: &[(&str, String)]) -> Running {
    let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let loaded =
        Config::parse_with(configuration, "test.toml", &env).unwrap_or_else(|problems| panic!("{problems}"));
    App::start(loaded).unwrap()
}

async fn shop() -> Simulator {
    Shopware::new().start().await.unwrap()
}

fn tunnel(to: &str, credentials: &str) -> String {
    let credentials = match credentials {
        "" => String::new(),
        credentials => format!("Proxy-Authorization: Basic {credentials}\r\n"),
    };
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{credentials}\r\n")
}

#[tokio::test]
async fn the_environments_proxy_is_on_the_way_to_the_token_endpoint_and_to_the_api() {
    let shop = shop().await;
    let proxy = OuterProxy::new(OPEN, shop.address()).await;
    let env = [("http_proxy", format!("http://user:pass@{}", proxy.address))];
    let running = start(&configuration("", ""), &env);
    let answer = ask(&mut application(&running, "shop"), "/api/_info/version").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        proxy.asked(),
        [tunnel("id.example:8000", "dXNlcjpwYXNz"), tunnel("api.example:80", "dXNlcjpwYXNz")]
    );
    assert_eq!(shop.api_requests()[0].call.fields["host"], "api.example", "the API is asked as itself");
    let leaked = |fields: &http::HeaderMap| fields.contains_key("proxy-authorization");
    assert!(!shop.api_requests().iter().any(|request| leaked(&request.call.fields)));
    running.stop().await;
}

#[tokio::test]
async fn each_token_and_each_upstream_has_its_own_proxy() {
    let shop = shop().await;
    let [of_token, of_upstream, of_environment] = [(); 3].map(|()| OuterProxy::new(OPEN, shop.address()));
    let (of_token, of_upstream, of_environment) = tokio::join!(of_token, of_upstream, of_environment);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy");
    std::fs::write(&file, format!("http://{}\n", of_upstream.address)).unwrap();
    let configuration = configuration(
        &format!("proxy = \"http://{}\"", of_token.address),
        &format!("proxy = {{ file = {file:?} }}"),
    );
    let env = [("HTTP_PROXY", format!("http://{}", of_environment.address))];
    let running = start(&configuration, &env);
    assert_eq!(ask(&mut application(&running, "shop"), "/api/_info/version").await.status(), StatusCode::OK);
    assert_eq!(of_token.asked(), [tunnel("id.example:8000", "")]);
    assert_eq!(of_upstream.asked(), [tunnel("api.example:80", "")]);
    assert_eq!(of_environment.asked(), [""; 0]);
    running.stop().await;
}

#[tokio::test]
async fn r082_r146_a_proxy_that_opens_no_tunnel_is_named_and_its_password_is_not() {
    let shop = shop().await;
    let (open, refusing) =
        (OuterProxy::new(OPEN, shop.address()).await, OuterProxy::new(REFUSED, shop.address()).await);
    let with = |proxy: &OuterProxy| format!("proxy = \"http://user:canary@{}\"", proxy.address);
    for (token, upstream, status) in
        [(&open, &refusing, StatusCode::BAD_GATEWAY), (&refusing, &open, StatusCode::SERVICE_UNAVAILABLE)]
    {
        let running = start(&configuration(&with(token), &with(upstream)), &[]);
        let answer = ask(&mut application(&running, "shop"), "/api/_info/version").await;
        assert_eq!(answer.status(), status);
        let problem = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(problem.contains(&format!("outer proxy http://{}", refusing.address)), "{problem}");
        assert!(problem.contains("407") && !problem.contains("canary"), "{problem}");
        running.stop().await;
    }
    assert!(shop.api_requests().is_empty());
}
