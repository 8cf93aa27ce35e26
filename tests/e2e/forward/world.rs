//! What the tests of the forward proxy need: origins that say what they were asked, a local CA, and applications that keep their URLs.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bearward::{
    app::Running,
    ca::{Authority, Files, Hosts, Overwrite},
    clock::Clock,
    demo::simulator::strict::{Tally, Watched},
};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    support::{PATIENCE, start},
    tls::{pem, served, server::Ca, server::TlsServer},
};

/// The token of every upstream.
pub const TOKEN: &str = "the-token";

/// An origin without TLS that answers with what it was asked, in JSON.
pub struct Plain {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    tally: Tally,
    _tasks: JoinSet<()>,
}

impl Plain {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, tally) = (connections.clone(), Tally::default());
        let checked = tally.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let stream = Watched::new(stream, checked.clone());
                open.spawn(async move {
                    let service = service_fn(|request| async move { Ok::<_, hyper::Error>(echo(&request)) });
                    // How a connection ends is bearward's to decide.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, connections, tally, _tasks: tasks }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How often it was sent what is no HTTP, which is no fault then.
    pub fn forgive(&self) -> usize {
        self.tally.forgive().len()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let violations = self.tally.violations();
        // One fault is told at a time.
        assert!(std::thread::panicking() || violations.is_empty(), "r060: {violations:?}");
    }
}

fn echo(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let target = match request.uri().path_and_query() {
        Some(target) => target.as_str().to_owned(),
        None => request.uri().to_string(),
    };
    let host = match request.uri().authority() {
        Some(authority) => authority.to_string(),
        None => request.headers().get(header::HOST).map_or("", |host| host.to_str().unwrap()).to_owned(),
    };
    let said =
        json!({ "method": request.method().as_str(), "target": target, "host": host, "fields": fields });
    Response::new(Full::new(Bytes::from(said.to_string())))
}

/// An origin with TLS that answers in the same way.
pub async fn secure(ca: &Ca, host: &str) -> TlsServer {
    served(ca, host, &["http/1.1"], |request| async move { Ok(echo(&request)) }).await
}

/// bearward with a forward proxy, and the remote parties.
pub struct World {
    pub bearward: Running,
    pub proxy: SocketAddr,
    /// Without TLS; an upstream.
    pub plain: Plain,
    /// With TLS, as `api.localhost`; an upstream.
    pub secure: TlsServer,
    /// Nobody configured it.
    pub other: Plain,
    pub authority: Authority,
    pub folder: TempDir,
    pub file: PathBuf,
    ca: Ca,
}

impl World {
    /// One whose `[proxy]` has these keys.
    pub async fn with(proxy: &str) -> Self {
        Self::made(proxy, "").await
    }

    /// The same with further tables. `PLAIN`, `SECURE` and `OTHER` in them are ports, `UPSTREAM_CA` the file of what signed the
    /// certificate of the secure one.
    pub async fn made(proxy: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        let authority = Authority::make(&files, &Hosts::any(), Overwrite::Never, &Clock::system()).unwrap();
        let ca = Ca::new();
        std::fs::write(folder.path().join("upstream.pem"), pem(&ca)).unwrap();
        let (plain, other) = (Plain::start().await, Plain::start().await);
        let secure = secure(&ca, "api.localhost").await;
        let file = folder.path().join("bearward.toml");
        let mut world = Self {
            bearward: start("store = { kind = \"memory\" }"),
            proxy: ([127, 0, 0, 1], 0).into(),
            plain,
            secure,
            other,
            authority,
            folder,
            file,
            ca,
        };
        world.write(proxy, tables);
        let loaded = bearward::config::Config::load(Some(&world.file)).unwrap_or_else(|why| panic!("{why}"));
        let bearward = bearward::app::App::start(loaded).unwrap_or_else(|error| panic!("{error}"));
        world.proxy = bearward.address("proxy").expect("the proxy listens");
        world.bearward = bearward;
        world
    }

    /// Writes the configuration.
    pub fn write(&self, proxy: &str, tables: &str) {
        self.write_with(&self.upstreams(), proxy, tables);
    }

    /// The same with other upstreams.
    pub fn write_with(&self, upstreams: &str, proxy: &str, tables: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "store = {{ kind = \"memory\" }}\n[proxy]\nlisten = \"127.0.0.1:0\"\n\
             ca = {{ certificate = \"{folder}/ca.pem\", key = \"{folder}/ca.key\" }}\n{proxy}\n\
             [tokens.t]\ngrant_type = \"static\"\naccess_token = \"{TOKEN}\"\n{upstreams}{tables}"
        );
        let text = text
            .replace("PLAIN", &self.plain.port().to_string())
            .replace("SECURE", &self.secure.address.port().to_string())
            .replace("OTHER", &self.other.port().to_string())
            .replace("UPSTREAM_CA", &format!("{folder}/upstream.pem"));
        std::fs::write(&self.file, text).unwrap();
    }

    fn upstreams(&self) -> String {
        "[upstreams.plain]\nurl = \"http://plain.localhost:PLAIN\"\ntoken = \"t\"\n\
         [upstreams.secure]\nurl = \"https://api.localhost:SECURE\"\ntoken = \"t\"\ntls = { ca = \"UPSTREAM_CA\" }\n"
            .to_owned()
    }

    /// Where the secure upstream is.
    pub fn api(&self) -> String {
        format!("api.localhost:{}", self.secure.address.port())
    }

    /// Where the plain upstream is.
    pub fn plain(&self) -> String {
        format!("plain.localhost:{}", self.plain.port())
    }

    /// What the proxy answers to these octets, until it closes.
    pub async fn say(&self, octets: impl AsRef<[u8]>) -> Vec<u8> {
        crate::support::raw::exchange(self.proxy, octets).await
    }

    /// What is answered to CONNECT, and the connection, which is a tunnel if that is 200.
    pub async fn connect(&self, authority: &str) -> (String, TcpStream) {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        stream
            .write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        (head(&mut stream).await, stream)
    }

    /// A tunnel.
    pub async fn tunnel(&self, authority: &str) -> TcpStream {
        let (head, stream) = self.connect(authority).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream
    }

    /// TLS in a tunnel to the secure upstream; whoever is at its end is trusted if the local CA signed its certificate.
    pub async fn opened(&self, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
        tls(self.tunnel(&self.api()).await, sni, &[self.authority.certificate().clone()]).await
    }

    /// What signed the certificate of the secure upstream itself.
    pub fn upstream_root(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.ca.root()
    }
}

/// TLS by a client that trusts these roots.
pub async fn tls(
    stream: TcpStream,
    sni: &str,
    roots: &[rustls::pki_types::CertificateDer<'static>],
) -> std::io::Result<TlsStream<TcpStream>> {
    tls_offering(stream, sni, roots, &[]).await
}

/// The same by one that offers these protocols (ALPN).
pub async fn tls_offering(
    stream: TcpStream,
    sni: &str,
    roots: &[rustls::pki_types::CertificateDer<'static>],
    offered: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    tokio::time::timeout(PATIENCE, connected).await.expect("a handshake in time")
}

/// The next head.
pub async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(octet) => read.push(octet),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("a head in time");
    String::from_utf8(read).unwrap()
}

/// One request on a connection that stays, and its answer.
pub async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> (u16, String, Value) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = head(stream).await;
    let status =
        head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {head:?}"));
    let lower = head.to_ascii_lowercase();
    let length = lower.split_once("content-length: ").map(|(_, rest)| rest.split("\r\n").next().unwrap());
    let mut content = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut content)).await.expect("content in time").unwrap();
    (status, head, serde_json::from_slice(&content).unwrap_or(Value::Null))
}

/// The values of a field in what an origin was asked.
pub fn fields<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let fields = echo["fields"].as_array().unwrap_or_else(|| panic!("no echo: {echo}"));
    fields.iter().filter(|field| field[0] == name).map(|field| field[1].as_str().unwrap()).collect()
}

/// A GET.
pub fn get(target: &str, host: &str, further: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{further}\r\n")
}
