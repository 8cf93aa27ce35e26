//! The application of the matrix: one request by any way in, and all that came of it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    ext::Protocol,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::oneshot,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Body, Fate, Way,
    upstream::{Cell, Content, TARGET, channel},
};

/// Where bearward is, by every way.
#[derive(Clone, Debug)]
pub struct Doors {
    pub own: SocketAddr,
    pub gateway: SocketAddr,
    pub tls: SocketAddr,
    /// Who is trusted there.
    pub root: CertificateDer<'static>,
    pub unix: PathBuf,
    pub proxy: SocketAddr,
    /// Who is trusted inside its tunnels.
    pub authority: CertificateDer<'static>,
    /// The upstream's own URL.
    pub url: String,
}

impl Doors {
    fn host(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }
}

/// All that came of one request.
#[derive(Debug)]
pub struct Outcome {
    pub status: u16,
    pub fields: HeaderMap,
    pub content: String,
    pub trailers: HeaderMap,
    /// It ended in order.
    pub whole: bool,
}

enum Sender {
    Http1(http1::SendRequest<Content>),
    Http2(http2::SendRequest<Content>),
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Asks once, by `way`, on a connection of its own.
pub async fn ask(way: Way, doors: &Doors, body: Body, fate: Fate, name: &str, cell: &Cell) -> Outcome {
    let mut sender = connect(way, doors, body).await;
    let (content, talk) = content(body, fate, way);
    let mut request = head(way, doors, body, fate, name).body(content).unwrap();
    if way.is_http2() && body == Body::WebSocket {
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    let Talk { go_on, pieces } = talk;
    if body == Body::Expect {
        let go_on = Mutex::new(go_on);
        hyper::ext::on_informational(&mut request, move |interim| {
            assert_eq!(interim.status(), 100);
            go_on.lock().unwrap().take().map(|go_on| go_on.send(()));
        });
    }
    let answer = match &mut sender {
        Sender::Http1(sender) => sender.send_request(request).await,
        Sender::Http2(sender) => sender.send_request(request).await,
    };
    let answer = answer.unwrap_or_else(|error| panic!("{name}: no answer: {error:?}"));
    if body == Body::WebSocket && matches!(answer.status().as_u16(), 101 | 200) {
        return tunnelled(answer).await;
    }
    read(answer, body, pieces, cell).await
}

async fn connect(way: Way, doors: &Doors, body: Body) -> Sender {
    let stream = reached(way, doors).await;
    let stream = TokioIo::new(stream);
    if !way.is_http2() {
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        return Sender::Http1(sender);
    }
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    // What is enabled has to be known before it is asked for.
    while body == Body::WebSocket && !connection.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::spawn(async move { drop(connection.await) });
    Sender::Http2(sender)
}

/// What requests are spoken on.
async fn reached(way: Way, doors: &Doors) -> Box<dyn Io> {
    let to = async |address| TcpStream::connect(address).await.unwrap();
    match way {
        Way::Unix | Way::Http2Unix => Box::new(UnixStream::connect(&doors.unix).await.unwrap()),
        Way::OwnPort | Way::Http2Known => Box::new(to(doors.own).await),
        Way::Tls | Way::Http2Tls => {
            let stream = Box::new(to(doors.tls).await);
            Box::new(within_tls(stream, &doors.root, way.is_http2()).await)
        }
        Way::GatewayPath | Way::GatewayHost | Way::Http2GatewayPath | Way::Http2GatewayHost => {
            Box::new(to(doors.gateway).await)
        }
        Way::Absolute | Way::Http2Absolute => Box::new(to(doors.proxy).await),
        Way::Tunnel | Way::Http2Tunnel => {
            let mut stream = to(doors.proxy).await;
            let host = doors.host();
            let connect = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(connect.as_bytes()).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", head.escape_ascii());
            inside(Box::new(stream), way, doors).await
        }
        Way::TunnelInHttp2 => {
            let stream = TokioIo::new(to(doors.proxy).await);
            let (mut sender, connection) =
                http2::handshake::<_, _, Content>(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let connect = Request::connect(doors.host()).version(Version::HTTP_2).body(nothing).unwrap();
            let answer = sender.send_request(connect).await.unwrap();
            assert_eq!(answer.status(), 200);
            let tunnel = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
            inside(Box::new(tunnel), way, doors).await
        }
    }
}

/// A tunnel's inside: TLS, where the upstream's URL says so.
async fn inside(stream: Box<dyn Io>, way: Way, doors: &Doors) -> Box<dyn Io> {
    if doors.url.starts_with("https:") {
        Box::new(within_tls(stream, &doors.authority, way.is_http2()).await)
    } else {
        stream
    }
}

async fn within_tls(
    stream: Box<dyn Io>,
    root: &CertificateDer<'static>,
    http2: bool,
) -> TlsStream<Box<dyn Io>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert!(stream.get_ref().1.alpn_protocol().is_some());
    stream
}

fn head(way: Way, doors: &Doors, body: Body, fate: Fate, name: &str) -> http::request::Builder {
    let prefix = if matches!(way, Way::GatewayPath | Way::Http2GatewayPath) { "/matrix" } else { "" };
    let host = match way {
        Way::GatewayHost | Way::Http2GatewayHost => "matrix.local",
        _ if way.is_forward() => doors.host(),
        _ => "localhost",
    };
    let http2 = way.is_http2();
    let uri = match way {
        _ if way.is_forward() && (http2 || way == Way::Absolute) => format!("{}{TARGET}", doors.url),
        _ if http2 => format!("http://{host}{prefix}{TARGET}"),
        _ => format!("{prefix}{TARGET}"),
    };
    let mut head = Request::builder().uri(uri).method(body.method());
    if http2 {
        head = head.version(Version::HTTP_2);
    } else {
        head = head.header(header::HOST, host).header("x-hop", "1").header("keep-alive", "5");
    }
    let mut options = vec!["x-hop"];
    head = head.header("x-cell", name).header("x-body", body.name()).header("x-fate", fate.name());
    head = head.header(header::AUTHORIZATION, "Basic b3duOm93bg==");
    if way.is_forward() {
        head = head.header(header::PROXY_AUTHORIZATION, "Basic b3duOm93bg==");
    }
    match body {
        Body::Trailers => {
            head = head.header(header::TE, "trailers").header(header::TRAILER, "x-sum, authorization");
            options.push("te");
        }
        Body::Bidi => {
            head = head.header(header::TE, "trailers").header("grpc-timeout", "10S");
            head = head.header(header::CONTENT_TYPE, "application/grpc");
            options.push("te");
        }
        Body::Expect => head = head.header(header::EXPECT, "100-continue").header(header::CONTENT_LENGTH, 11),
        Body::WebSocket if http2 => {
            head = head.method(Method::CONNECT).header(header::SEC_WEBSOCKET_VERSION, "13");
        }
        Body::WebSocket => {
            head = head.header(header::UPGRADE, "websocket").header(header::SEC_WEBSOCKET_VERSION, "13");
            head = head.header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
            options.push("upgrade");
        }
        _ => {}
    }
    if http2 { head } else { head.header(header::CONNECTION, options.join(", ")) }
}

/// What is still to be said while the answer comes.
struct Talk {
    /// Fires when a 100 has come.
    go_on: Option<oneshot::Sender<()>>,
    /// The second message of a stream whose first is out.
    pieces: Option<tokio::sync::mpsc::UnboundedSender<Result<Frame<Bytes>, super::upstream::Error>>>,
}

fn content(body: Body, fate: Fate, way: Way) -> (Content, Talk) {
    let whole = |octets: Vec<u8>| Full::from(octets).map_err(|never| match never {}).boxed_unsync();
    let (mut go_on, mut left) = (None, None);
    let content = match body {
        Body::Nothing | Body::Events | Body::WebSocket => {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        }
        Body::Small | Body::Long => whole(body.content()),
        Body::Chunked | Body::Trailers => {
            let (pieces, content) = channel();
            for piece in body.content().chunks(4) {
                let _ = pieces.send(Ok(Frame::data(Bytes::copy_from_slice(piece))));
            }
            if body == Body::Trailers {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", "7".parse().unwrap());
                trailers.insert(header::AUTHORIZATION, "Bearer forged".parse().unwrap());
                let _ = pieces.send(Ok(Frame::trailers(trailers)));
            }
            content
        }
        Body::Expect => {
            let (pieces, content) = channel();
            let (told, continues) = oneshot::channel();
            // hyper's HTTP/2 sends no 100, and nobody has to wait for one (RFC 9110 section 10.1.1).
            go_on = if way.is_http2() { told.send(()).map_or(None, |()| None) } else { Some(told) };
            tokio::spawn(async move {
                if continues.await.is_ok() {
                    let _ = pieces.send(Ok(Frame::data(body.content().into())));
                }
            });
            content
        }
        Body::Bidi => {
            let (pieces, content) = channel();
            let _ = pieces.send(Ok(Frame::data("m1".into())));
            if fate == Fate::Accepted {
                left = Some(pieces);
            } else {
                let _ = pieces.send(Ok(Frame::data("m2".into())));
            }
            content
        }
    };
    (content, Talk { go_on, pieces: left })
}

async fn read(
    answer: Response<Incoming>,
    body: Body,
    mut pieces: Option<tokio::sync::mpsc::UnboundedSender<Result<Frame<Bytes>, super::upstream::Error>>>,
    cell: &Cell,
) -> Outcome {
    let (head, mut incoming) = answer.into_parts();
    let (mut content, mut trailers, mut whole) = (String::new(), HeaderMap::new(), true);
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            whole = false;
            break;
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                content.push_str(&String::from_utf8_lossy(&data));
                cell.got.add_permits(1);
                // Only after the first message has come back.
                if body == Body::Bidi
                    && let Some(pieces) = pieces.take()
                {
                    let _ = pieces.send(Ok(Frame::data("m2".into())));
                }
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Outcome { status: head.status.as_u16(), fields: head.headers, content, trailers, whole }
}

async fn tunnelled(mut answer: Response<Incoming>) -> Outcome {
    let (status, fields) = (answer.status().as_u16(), answer.headers().clone());
    let mut tunnel = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    tunnel.write_all(b"hello").await.unwrap();
    // Both may have ended within a tunnel before the end of the tunnel itself is said (RFC 9113 section 8.1).
    let _ = tunnel.shutdown().await;
    let mut heard = String::new();
    let whole = tunnel.read_to_string(&mut heard).await.is_ok();
    Outcome { status, fields, content: heard, trailers: HeaderMap::new(), whole }
}
