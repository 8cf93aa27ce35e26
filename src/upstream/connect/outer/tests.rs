//! What an outer proxy is asked, which origins have one, and how its failures are told. The proxy is a fake that takes CONNECT alone.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::upstream::{
    Endpoint,
    testing::{Ca, TlsServer, server_config},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// An outer proxy that answers every request with `answer`, and then, if that is a 200, connects it to `far`.
struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn new(answer: &'static str, far: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let record = record.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    record.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                    // A slow proxy's answer comes in pieces.
                    for piece in answer.as_bytes().chunks(7) {
                        let _ = stream.write_all(piece).await;
                        tokio::task::yield_now().await;
                    }
                    if let Some(far) = far {
                        let mut far = TcpStream::connect(far).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn connect(
        &self,
        credentials: &str,
        origin: &str,
        tls: &tls::Settings,
    ) -> Result<Stream, ConnectError> {
        let url = Secret::new(format!("http://{credentials}{}", self.address));
        let origin = origin_of(origin);
        let outer = Outer::fixed(&url).unwrap().towards(&origin).unwrap();
        let endpoint = Endpoint::through(outer, origin, tls, Protocol::Auto, PATIENCE).unwrap();
        endpoint.connect().await.map(|connection| connection.io)
    }

    async fn problem(&self) -> String {
        let settings = tls::Settings::default();
        self.connect("user:canary@", "https://api.example", &settings).await.unwrap_err().to_string()
    }
}

fn origin_of(url: &str) -> Origin {
    Origin::of(&url.parse().unwrap()).unwrap()
}

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn r001_tls_is_spoken_with_the_origin_itself_through_the_outer_proxy() {
    let ca = Ca::new();
    let identity = ca.identity("api.example");
    let server = TlsServer::new(server_config(identity, &["http/1.1"], None), |mut stream| async move {
        stream.write_all(b"!").await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let far = server.url().authority().unwrap().as_str().replace("localhost", "127.0.0.1").parse().unwrap();
    let proxy = Fake::new(ESTABLISHED, Some(far)).await;
    let trusting = tls::Settings { roots: Some(vec![ca.root()]), ..tls::Settings::default() };
    let mut stream = proxy.connect("", "https://api.example", &trusting).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'!');
    assert_eq!(proxy.asked(), ["CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n"]);
    // The proxy cannot pose as the origin.
    let refused = proxy.connect("", "https://other.example", &trusting).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Tls(_)), "{refused}");
}

#[tokio::test]
async fn cleartext_origins_get_a_tunnel_too_and_the_proxy_its_credentials() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Fake::new("HTTP/1.0 200 OK\r\n\r\n", Some(origin.local_addr().unwrap())).await;
    let settings = tls::Settings::default();
    let mut stream = proxy.connect("user:p%40ss@", "http://api.example:8080", &settings).await.unwrap();
    stream.write_all(b"?").await.unwrap();
    let (mut far, _) = origin.accept().await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'?', "nothing but what was sent");
    assert_eq!(
        proxy.asked(),
        ["CONNECT api.example:8080 HTTP/1.1\r\nHost: api.example:8080\r\n\
          Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n"]
    );
}

#[tokio::test]
async fn what_is_no_tunnel_is_said_with_whose_fault_it_is() {
    for (answer, expected) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nno\r\n",
            "wants credentials",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n<html>canary</html>", "it answered 403"),
        ("HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "it answered 302"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "no final status"),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "octets follow"),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "is no HTTP"),
        ("HTTP/1.1 200 OK\r\nX: 1\n\r\n", "is no HTTP"),
        ("HTTP/1.1 200 OK\r\n", "ended the connection"),
    ] {
        let proxy = Fake::new(answer, None).await;
        let problem = proxy.problem().await;
        assert!(problem.contains(expected), "{answer:?}: {problem}");
        assert!(problem.contains(&format!("outer proxy http://{}", proxy.address)), "{problem}");
        assert!(problem.contains("HTTPS_PROXY"), "{problem}");
        assert!(!problem.contains("canary"), "{problem}");
    }
    let long = Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD.size)).into_boxed_str());
    assert!(Fake::new(long, None).await.problem().await.contains("too large"));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = Fake { address: gone, asked: Arc::default() };
    assert!(gone.problem().await.contains("cannot be reached"));
}

#[tokio::test]
async fn connect_timeout_covers_the_outer_proxys_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://{}", silent.local_addr().unwrap()));
    let origin = origin_of("https://api.example");
    let outer = Outer::fixed(&url).unwrap().towards(&origin).unwrap();
    let settings = tls::Settings::default();
    let endpoint =
        Endpoint::through(outer, origin, &settings, Protocol::Auto, Duration::from_millis(50)).unwrap();
    assert!(matches!(endpoint.connect().await, Err(ConnectError::TimedOut)));
}

#[test]
fn the_environment_says_which_origins_have_a_proxy() {
    let env: BTreeMap<&str, &str> = [
        ("HTTPS_PROXY", "http://secure:3128"),
        ("http_proxy", "plain:3128"),
        ("NO_PROXY", "internal.example,.corp.example,10.0.0.0/8"),
    ]
    .into();
    let outer = Outer::of_environment(&|name| env.get(name).map(|value| (*value).to_owned()));
    let towards = |url: &str| {
        let proxy = outer.towards(&origin_of(url)).unwrap();
        proxy.map(|proxy| proxy.origin().to_string())
    };
    for (url, proxy) in [
        ("https://api.example", Some("http://secure:3128")),
        ("http://api.example", Some("http://plain:3128")),
        ("https://internal.example", None),
        ("https://a.corp.example", None),
        ("https://10.1.2.3", None),
        ("https://11.1.2.3", Some("http://secure:3128")),
    ] {
        assert_eq!(towards(url).as_deref(), proxy, "{url}");
    }
    let none = Outer::of_environment(&|_| None);
    assert_eq!(none.towards(&origin_of("https://api.example")), Ok(None));
}

#[test]
fn r011_what_is_for_this_machine_never_leaves_it() {
    let all: &dyn Fn(&str) -> Option<String> =
        &|name| (name == "ALL_PROXY").then(|| "http://proxy".to_owned());
    let fixed = Outer::fixed(&Secret::new("http://proxy:3128")).unwrap();
    for outer in [Outer::of_environment(all), fixed] {
        for url in ["http://localhost:1", "http://a.localhost", "http://127.0.0.1", "https://[::1]"] {
            assert_eq!(outer.towards(&origin_of(url)), Ok(None), "{url}");
        }
        assert!(outer.towards(&origin_of("http://api.example")).unwrap().is_some());
    }
}

#[test]
fn proxies_of_another_kind_are_refused_and_never_passed_by() {
    for url in ["socks5://proxy:1080", "socks5h://u:p@proxy", "ftp://proxy"] {
        assert!(Outer::fixed(&Secret::new(url)).is_err(), "{url}");
    }
    assert!(Outer::fixed(&Secret::new("http://")).is_err());
    let outer =
        Outer::of_environment(&|name| (name == "ALL_PROXY").then(|| "socks5://proxy:1080".to_owned()));
    assert!(outer.towards(&origin_of("https://api.example")).unwrap_err().contains("SOCKS"));
}

#[test]
fn a_proxy_whose_url_cannot_be_read_is_not_passed_by() {
    for url in ["http://user:pa ss@proxy:3128", "http://", "::", "http://[proxy"] {
        for name in ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"] {
            let outer = Outer::of_environment(&|asked| match asked {
                "NO_PROXY" => Some("direct.example".to_owned()),
                asked => (asked == name).then(|| url.to_owned()),
            });
            let problem = outer.towards(&origin_of("https://api.example")).unwrap_err();
            assert!(problem.contains("no URL of a proxy"), "{name}={url}: {problem}");
            for direct in ["https://localhost", "https://direct.example"] {
                assert_eq!(outer.towards(&origin_of(direct)), Ok(None), "{name}={url}: {direct}");
            }
        }
    }
}

#[test]
fn r146_credentials_of_a_proxy_do_not_show() {
    let outer = Outer::fixed(&Secret::new("http://user:canary@proxy:3128")).unwrap();
    let proxy = outer.towards(&origin_of("https://api.example")).unwrap();
    let shown = format!("{outer:?} {proxy:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("dXNlcj") && shown.contains("proxy:3128"),
        "{shown}"
    );
}
