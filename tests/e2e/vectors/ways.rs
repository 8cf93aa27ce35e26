//! The ways by which the vectors come in, and what each of them makes of a vector.
//!
//! Does not know what is sent or received.

use std::net::SocketAddr;

use bearward::{
    app::Running,
    ca::{Authority, Files, Hosts, Overwrite},
    clock::Clock,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    origin::{Origin, Received},
    table::{Expect, Vector},
};
use crate::{
    forward::tls_offering,
    support::start,
    tls::{pem, server::Ca},
};

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    OwnPort,
    /// Behind a prefix.
    Gateway,
    /// With the upstream's origin before the target.
    ProxyAbsolute,
    ProxyAsTheyAre,
    /// Inside TLS that is opened.
    Tunnel,
}

/// What of ours may refuse a request.
const OURS: &[u16] = &[400, 403, 404, 405, 414, 417, 421, 431, 501, 505];
const PREFIX: &[u8] = b"/gateway";

/// A vector as it goes by one way.
pub struct Led {
    pub vector: Vector,
    pub octets: Vec<u8>,
}

/// A connection of any kind.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One bearward with one way in, and its upstream.
pub struct Stage {
    through: Through,
    origin: Origin,
    bearward: Running,
    door: SocketAddr,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub async fn new(through: Through) -> Self {
        let (ca, folder) = (Ca::new(), tempfile::tempdir().unwrap());
        let files = Files::in_folder(folder.path());
        let authority = Authority::make(&files, &Hosts::any(), Overwrite::Never, &Clock::system()).unwrap();
        let root = folder.path().join("upstream.pem");
        std::fs::write(&root, pem(&ca)).unwrap();
        let (origin, url) = if through == Through::Tunnel {
            let origin = Origin::over_tls(&ca).await;
            let url = format!("https://localhost:{}", origin.address.port());
            (origin, format!("{url}\"\ntls = {{ ca = \"{}\" }}", root.display()))
        } else {
            let origin = Origin::start().await;
            let url = format!("http://localhost:{}\"", origin.address.port());
            (origin, url)
        };
        let (name, way, key) = match through {
            Through::OwnPort => ("api", String::new(), "listen = \"127.0.0.1:0\""),
            Through::Gateway => {
                ("gateway", "[gateway]\nlisten = \"127.0.0.1:0\"".to_owned(), "path = \"/gateway\"")
            }
            Through::ProxyAbsolute | Through::ProxyAsTheyAre | Through::Tunnel => {
                let ca = format!(
                    "ca = {{ certificate = \"{}\", key = \"{}\" }}",
                    files.certificate.display(),
                    files.key.display()
                );
                ("proxy", format!("[proxy]\nlisten = \"127.0.0.1:0\"\n{ca}"), "")
            }
        };
        let bearward = start(&format!(
            "store = {{ kind = \"memory\" }}\n{way}\n[tokens.api]\ngrant_type = \"static\"\n\
             access_token = \"of-no-value\"\n[upstreams.api]\ntoken = \"api\"\n{key}\nurl = \"{url}\n"
        ));
        let door = bearward.address(name).unwrap();
        Self { through, origin, bearward, door, authority, _folder: folder }
    }

    /// What the upstream received, once nothing more is under way.
    pub async fn end(self) -> Vec<Received> {
        self.bearward.stop().await;
        self.origin.received()
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.origin.address.port())
    }

    /// A new connection on which requests are taken.
    pub async fn connection(&self) -> Box<dyn Io> {
        let mut stream = TcpStream::connect(self.door).await.unwrap();
        stream.set_nodelay(true).unwrap();
        if self.through != Through::Tunnel {
            return Box::new(stream);
        }
        let connect = format!("CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host(), self.host());
        stream.write_all(connect.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", head.escape_ascii());
        let roots = [self.authority.certificate().clone()];
        Box::new(tls_offering(stream, "localhost", &roots, &["http/1.1"]).await.unwrap())
    }

    /// A vector as it goes by this way, and what may become of it then.
    pub fn led(&self, mut vector: Vector) -> Led {
        let host = self.host();
        let octets = match self.through {
            Through::OwnPort | Through::ProxyAsTheyAre => vector.octets.clone(),
            Through::Gateway => before_targets(&vector.octets, PREFIX),
            Through::ProxyAbsolute => before_targets(&vector.octets, format!("http://{host}").as_bytes()),
            Through::Tunnel => for_host(&vector.octets, &host),
        };
        vector.expect = self.expected(&vector);
        Led { vector, octets }
    }

    fn expected(&self, vector: &Vector) -> Expect {
        let about = |numbers: &[&str]| numbers.iter().any(|number| vector.category.starts_with(number));
        match (self.through, vector.expect) {
            (Through::OwnPort, expect) => expect,
            (Through::ProxyAsTheyAre, _) => Expect::Kept,
            (_, Expect::Refused(_)) => Expect::Refused(OURS),
            // What is meant there depends on the target and the Host.
            _ if about(&["r002", "r003", "r009", "r052"]) => Expect::Any,
            (_, Expect::Either(_)) => Expect::Either(OURS),
            (_, Expect::Turned(_)) => Expect::Turned(OURS),
            (_, expect) => expect,
        }
    }
}

/// With this host where the head of the first request, or the probe, says `localhost`.
fn for_host(octets: &[u8], host: &str) -> Vec<u8> {
    const HOST: &[u8] = b"Host: localhost";
    let find = |from: usize, text: &[u8]| {
        octets[from..].windows(text.len()).position(|window| window == text).map(|at| from + at)
    };
    let probe = find(0, b"GET /probe/").expect("a probe follows");
    let lines = octets.iter().take_while(|octet| b"\r\n".contains(octet)).count();
    let head = find(lines, b"\r\n\r\n").unwrap_or(probe);
    let (mut with, mut copied) = (Vec::new(), 0);
    for (from, until) in [(0, head), (probe, octets.len())] {
        if let Some(at) = find(from, HOST).filter(|at| *at < until) {
            with.extend_from_slice(&octets[copied..at]);
            with.extend_from_slice(format!("Host: {host}").as_bytes());
            copied = at + HOST.len();
        }
    }
    [&*with, &octets[copied..]].concat()
}

/// With `before` in front of the target of the first request and of the probe, where they are paths.
fn before_targets(octets: &[u8], before: &[u8]) -> Vec<u8> {
    let find = |text: &[u8]| octets.windows(text.len()).position(|window| window == text);
    let probe = find(b"GET /probe/").expect("a probe follows") + 4;
    // A version behind the target, or the first line's end, whichever comes first.
    let line = octets.iter().take_while(|octet| b"\r\n".contains(octet)).count();
    let length = octets[line..].iter().position(|octet| *octet == b'\n').unwrap_or(octets.len() - line);
    let end = find(b" HTTP/1").unwrap_or(usize::MAX).min(line + length);
    let path = octets[..end].windows(2).position(|two| two == b" /").map(|at| at + 1);
    let mut with = Vec::new();
    let mut copied = 0;
    for at in path.into_iter().chain([probe]) {
        with.extend_from_slice(&octets[copied..at]);
        with.extend_from_slice(before);
        copied = at;
    }
    with.extend_from_slice(&octets[copied..]);
    with
}
