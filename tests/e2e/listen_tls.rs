//! TLS on listeners: HTTP/2 and HTTP/1.1 by ALPN, certificates of clients, a certificate that changes, and what is not TLS.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    support::{
        PATIENCE, Process,
        h2::{END_STREAM, Frames},
        origin::Origin,
        outside::bearward,
        raw, until,
    },
    tls::server::{Ca, Identity},
};

const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/x")];

/// bearward with TLS on an upstream's own port, the gateway and the admin listener.
struct Stage {
    ca: Ca,
    origin: Origin,
    folder: tempfile::TempDir,
    bearward: Process,
}

impl Stage {
    async fn new(more: &str) -> Self {
        let (ca, origin) = (Ca::new(), Origin::start().await);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ca.identity("localhost"));
        fs::write(folder.path().join("ca.pem"), pem("CERTIFICATE", &ca.root())).unwrap();
        let tls = format!("listen_tls = {{ certificate = \"c.pem\", key = \"k.pem\"{more} }}");
        let text = format!(
            "{}{tls}\npath = \"/api\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n{tls}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             listen_tls = {{ certificate = \"c.pem\", key = \"k.pem\" }}\n",
            origin.configuration()
        );
        fs::write(folder.path().join("bearward.toml"), text).unwrap();
        let bearward = Process::run(&folder.path().join("bearward.toml"));
        bearward.address("admin").await;
        Self { ca, origin, folder, bearward }
    }

    async fn connect(&self, listener: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.bearward.address(listener).await, &self.ca, alpn, None).await
    }
}

fn write(folder: &Path, (chain, key): Identity) {
    fs::write(folder.join("c.pem"), pem("CERTIFICATE", &chain[0])).unwrap();
    fs::write(folder.join("k.pem"), pem("PRIVATE KEY", key.secret_der())).unwrap();
}

fn pem(what: &str, octets: &[u8]) -> String {
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", BASE64_STANDARD.encode(octets))
}

async fn connect(
    address: SocketAddr,
    ca: &Ca,
    alpn: &[&str],
    shown: Option<Identity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Status and the rest of the answer to a request that asks for the connection's end.
async fn http1(mut stream: TlsStream<TcpStream>, request: &str) -> (u16, String) {
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    // Who is closed without TLS's own goodbye has still read what came before.
    let _end = tokio::time::timeout(PATIENCE, talk).await.expect("the connection ends");
    if answer.is_empty() {
        return (0, String::new());
    }
    (raw::status(&answer), String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn the_application_chooses_by_alpn_on_every_listener() {
    let stage = Stage::new("").await;
    for (listener, path) in [("api", "/x"), ("gateway", "/api/x")] {
        let h2 = stage.connect(listener, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut frames = Frames::over(h2);
        frames.begin().await;
        let fields = [&GET[..3], &[(":path", path)]].concat();
        frames.request(1, END_STREAM, &fields).await;
        assert_eq!(frames.answer(1).await, (200, b"ok".to_vec()), "{listener}");
        for alpn in [&["http/1.1"][..], &[]] {
            let stream = stage.connect(listener, alpn).await.unwrap();
            let (status, answer) = http1(stream, &raw::get(path, "localhost", "")).await;
            assert_eq!((status, answer.ends_with("ok")), (200, true), "{listener}: {answer}");
        }
        let refused = stage.connect(listener, &["spdy/3"]).await;
        assert!(refused.is_err(), "no protocol in common");
    }
    assert_eq!(stage.origin.text().matches("GET /x HTTP/1.1\r\n").count(), 6);
}

#[tokio::test]
async fn r010_the_host_of_each_request_decides_and_not_the_name_that_tls_was_asked_for() {
    let stage = Stage::new("").await;
    let mut frames = Frames::over(stage.connect("api", &["h2"]).await.unwrap());
    frames.begin().await;
    for (stream, authority, status) in [
        (1, "evil.example", 421),
        (3, "127.0.0.1", 200),
        (5, "localhost", 200),
        (7, "localhost.evil.example", 421),
    ] {
        let fields = [&GET[..2], &[(":authority", authority), (":path", "/x")]].concat();
        frames.request(stream, END_STREAM, &fields).await;
        assert_eq!(frames.answer(stream).await.0, status, "{authority}");
    }
}

#[tokio::test]
async fn r023_a_page_is_at_home_on_a_tls_listener_as_an_https_one_alone() {
    let stage = Stage::new("").await;
    for (origin, expected) in [
        ("https://localhost:1", 200),
        ("http://localhost:1", 403),
        ("https://localhost", 403),
        ("https://evil.example", 403),
    ] {
        let stream = stage.connect("api", &[]).await.unwrap();
        let request = raw::get("/x", "localhost:1", &format!("Origin: {origin}\r\n"));
        assert_eq!(http1(stream, &request).await.0, expected, "{origin}");
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_listener_is_told_what_it_is_and_so_is_the_log() {
    let stage = Stage::new("").await;
    let address = stage.bearward.address("api").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(raw::get("/x", "localhost", "").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    ended.expect("it is closed").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("with https://"), "{answer}");
    until("the log says it", || stage.bearward.log().contains("has to be asked with https://")).await;
    assert_eq!(stage.origin.text(), "");
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_on_a_tls_listener_is_closed() {
    let stage = Stage::new("").await;
    let mut stream = TcpStream::connect(stage.bearward.address("api").await).await.unwrap();
    stream.write_all(b"\x05\x01\x00\x05\x01\x00").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // Either end is one; what stands there is TLS's alert at most.
    let _how = ended.expect("it is closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    until("the log says it", || stage.bearward.log().contains("no TLS was spoken")).await;
}

#[tokio::test]
async fn tls_on_a_listener_without_it_is_said_in_the_log() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bearward.toml"), origin.configuration()).unwrap();
    let bearward = Process::run(&folder.path().join("bearward.toml"));
    let refused = connect(bearward.address("api").await, &Ca::new(), &[], None).await;
    assert!(refused.is_err());
    until("the log says it", || bearward.log().contains("has to be asked with http://")).await;
}

#[tokio::test]
async fn r111_a_handshake_that_does_not_come_ends_the_connection() {
    let origin = Origin::start().await;
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::new());
    write(folder.path(), ca.identity("localhost"));
    let text = format!(
        "limits = {{ head_timeout = \"200ms\" }}\n{}listen_tls = {{ certificate = \"c.pem\", key = \"k.pem\" }}\n",
        origin.configuration()
    );
    fs::write(folder.path().join("bearward.toml"), text).unwrap();
    let bearward = Process::run(&folder.path().join("bearward.toml"));
    let address = bearward.address("api").await;
    for said in [&b""[..], b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "it is closed");
    }
}

#[tokio::test]
async fn with_a_ca_only_applications_with_a_certificate_of_it_come_in() {
    let stage = Stage::new(", ca = \"ca.pem\"").await;
    let address = stage.bearward.address("api").await;
    let request = raw::get("/x", "localhost", "");
    for (shown, expected) in
        [(Some(stage.ca.identity("app")), 200), (None, 0), (Some(Ca::new().identity("app")), 0)]
    {
        // TLS 1.3 refuses a client after the client believes the handshake done.
        let status = match connect(address, &stage.ca, &["http/1.1"], shown).await {
            Ok(stream) => http1(stream, &request).await.0,
            Err(_) => 0,
        };
        assert_eq!(status, expected);
    }
    assert_eq!(stage.origin.text().matches("GET /x").count(), 1);
}

#[tokio::test]
async fn a_certificate_that_changes_is_shown_without_a_restart_and_connections_stay() {
    let stage = Stage::new("").await;
    let mut frames = Frames::over(stage.connect("api", &["h2"]).await.unwrap());
    frames.begin().await;
    frames.request(1, END_STREAM, GET).await;
    assert_eq!(frames.answer(1).await.0, 200);
    // Half of a change is a mistake, and changes nothing.
    let (chain, key) = stage.ca.identity("localhost");
    fs::write(stage.folder.path().join("c.pem"), pem("CERTIFICATE", &chain[0])).unwrap();
    stage.bearward.signal("HUP");
    until("the mistake is reported", || stage.bearward.log().contains("was not reloaded")).await;
    let before = stage.connect("api", &[]).await.unwrap();
    assert_ne!(before.get_ref().1.peer_certificates().unwrap()[0], chain[0]);
    write(stage.folder.path(), (chain.clone(), key));
    stage.bearward.signal("HUP");
    until("it is reloaded", || stage.bearward.log().contains("the configuration was reloaded")).await;
    for listener in ["api", "gateway", "admin"] {
        let after = stage.connect(listener, &[]).await.unwrap();
        assert_eq!(after.get_ref().1.peer_certificates().unwrap()[0], chain[0], "{listener}");
    }
    frames.request(3, END_STREAM, GET).await;
    assert_eq!(frames.answer(3).await.0, 200);
}

#[tokio::test]
async fn the_page_and_our_own_commands_know_that_it_is_https() {
    let stage = Stage::new("").await;
    let address = stage.bearward.address("admin").await;
    let api = stage.bearward.address("api").await;
    // Where port 0 was asked for, a command has to be told what came of it.
    let file = stage.folder.path().join("bearward.toml");
    let told = fs::read_to_string(&file).unwrap();
    let told = told.replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"{address}\""));
    let other = stage.folder.path().join("told.toml");
    fs::write(&other, told).unwrap();
    let ended = bearward(stage.folder.path(), &["status", "--json", "-c", "told.toml"], &[]).await;
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.out.contains(&format!("https://{api}")), "{}", ended.out);
    // Another certificate is somebody else.
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), stage.ca.identity("localhost"));
    fs::copy(other, elsewhere.path().join("told.toml")).unwrap();
    let ended = bearward(elsewhere.path(), &["status", "-c", "told.toml"], &[]).await;
    assert_ne!(ended.status, 0, "{}", ended.out);
}
