//! The upstream of the matrix: does with each request what its fields say, and writes down what it should not have seen.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bearward::demo::simulator::strict::{Tally, Watched};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    ext::Protocol,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{Body, Fate, Spoken, accept_of, digest};
use crate::tls::server::{Ca, TlsServer, server_config};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Content = UnsyncBoxBody<Bytes, Error>;

pub const REJECTION: &str = r#"{"error":{"key":"token.invalid"}}"#;
pub const SCOPE: &str = r#"{"error":{"key":"scope.wrong"}}"#;
pub const TARGET: &str = "/cell/%7e//%C3%a9?x=1%20&/..=%2F;z";

/// An upstream, and what it saw.
pub struct Upstream {
    pub url: String,
    pub seen: Arc<Seen>,
    _tls: Option<TlsServer>,
    _tasks: JoinSet<()>,
}

/// What was seen, by cell.
#[derive(Default)]
pub struct Seen {
    cells: Mutex<HashMap<String, Arc<Cell>>>,
    pub tally: Tally,
}

/// One cell's requests.
pub struct Cell {
    tokens: Mutex<Vec<String>>,
    problems: Mutex<Vec<String>>,
    /// What the application says it has got.
    pub got: Semaphore,
}

impl Seen {
    pub fn cell(&self, name: &str) -> Arc<Cell> {
        let new = || {
            Arc::new(Cell { tokens: Mutex::default(), problems: Mutex::default(), got: Semaphore::new(0) })
        };
        self.cells.lock().unwrap().entry(name.to_owned()).or_insert_with(new).clone()
    }
}

impl Cell {
    /// The Authorization of each sending.
    pub fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().clone()
    }

    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap().clone()
    }

    async fn until_got(&self) {
        self.got.acquire().await.expect("it is never closed").forget();
    }
}

impl Upstream {
    pub async fn start(spoken: Spoken, ca: &Ca) -> Self {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        let shared = seen.clone();
        if spoken.is_tls() {
            let offered: &[&str] =
                if spoken == Spoken::Http2Tls { &["h2", "http/1.1"] } else { &["http/1.1"] };
            let config = server_config(ca.identity("localhost"), offered, None);
            let server = TlsServer::new(config, move |stream| {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, http2, shared.clone())
            })
            .await;
            let url = format!("https://localhost:{}", server.address.port());
            return Self { url, seen, _tls: Some(server), _tasks: tasks };
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, spoken == Spoken::Http2Known, shared.clone()));
            }
        });
        Self { url, seen, _tls: None, _tasks: tasks }
    }
}

async fn serve<S>(stream: S, is_http2: bool, seen: Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tally = seen.tally.clone();
    let service = service_fn(move |request| answer(request, seen.clone()));
    // How a connection ends is bearward's to decide, or a cell's.
    if is_http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        let _ = http.enable_connect_protocol().serve_connection(TokioIo::new(stream), service).await;
    } else {
        let watched = TokioIo::new(Watched::new(stream, tally));
        let _ = http1::Builder::new().serve_connection(watched, service).with_upgrades().await;
    }
}

async fn answer(mut request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Content>, Error> {
    let field = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (name, body, fate) =
        (field("x-cell").to_owned(), Body::named(field("x-body")), Fate::named(field("x-fate")));
    let (Some(body), Some(fate)) = (body, fate) else { return Ok(plain(StatusCode::OK, "warm")) };
    let cell = seen.cell(&name);
    cell.problems.lock().unwrap().extend(problems(&request, body));
    let number = {
        let mut tokens = cell.tokens.lock().unwrap();
        tokens.push(field("authorization").to_owned());
        tokens.len()
    };
    if fate == Fate::Accepted || fate == Fate::AnswerCut || (fate == Fate::Rejected && number > 1) {
        let cut = fate == Fate::AnswerCut;
        return Ok(agreed(request, body, cut, cell).await);
    }
    // Wholly read, so that nothing of it is in the way of what follows.
    request.body_mut().collect().await?;
    match fate {
        Fate::Cut => Err("cut".into()),
        Fate::Rejected => Ok(plain(StatusCode::UNAUTHORIZED, REJECTION)),
        _ => {
            let mut answer = plain(StatusCode::UNAUTHORIZED, SCOPE);
            let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            Ok(answer)
        }
    }
}

/// The answer to a request that is accepted.
async fn agreed(request: Request<Incoming>, body: Body, cut: bool, cell: Arc<Cell>) -> Response<Content> {
    if body == Body::WebSocket {
        return switched(request);
    }
    if cut {
        let (pieces, content) = channel();
        tokio::spawn(async move {
            let _ = pieces.send(Ok(Frame::data("half".into())));
            cell.until_got().await;
            let _ = pieces.send(Err("cut".into()));
        });
        return Response::new(content);
    }
    match body {
        Body::Events => events(cell),
        Body::Bidi => echo(request, cell),
        _ => {
            let collected = request.into_body().collect().await;
            let collected = match collected {
                Ok(collected) => collected,
                Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
            };
            let trailers = collected.trailers().cloned();
            let text = digest(&collected.to_bytes());
            let Some(mut trailers) = trailers else { return plain(StatusCode::OK, &text) };
            trailers.insert("x-answer", HeaderValue::from_static("1"));
            trailers.insert("www-authenticate", HeaderValue::from_static("forged"));
            let names: Vec<&str> = trailers.keys().map(|name| name.as_str()).collect();
            let names = HeaderValue::try_from(names.join(", ")).unwrap();
            let (pieces, content) = channel();
            let _ = pieces.send(Ok(Frame::data(text.into())));
            let _ = pieces.send(Ok(Frame::trailers(trailers)));
            let mut answer = Response::new(content);
            answer.headers_mut().insert(header::TRAILER, names);
            answer
        }
    }
}

/// Each event after the application has got the one before it.
fn events(cell: Arc<Cell>) -> Response<Content> {
    let (pieces, content) = channel();
    tokio::spawn(async move {
        for number in 1..=3 {
            let _ = pieces.send(Ok(Frame::data(format!("data: {number}\n\n").into())));
            cell.until_got().await;
        }
    });
    let mut answer = Response::new(content);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

/// What a gRPC stream does: messages both ways at once, and a status behind them.
fn echo(request: Request<Incoming>, cell: Arc<Cell>) -> Response<Content> {
    let (pieces, content) = channel();
    if request.headers().get("grpc-timeout").is_none_or(|timeout| timeout != "10S") {
        cell.problems.lock().unwrap().push("the deadline is gone".to_owned());
    }
    let mut body = request.into_body();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                let _ = pieces.send(Ok(Frame::data(data)));
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let _ = pieces.send(Ok(Frame::trailers(trailers)));
    });
    let mut answer = Response::new(content);
    answer.headers_mut().insert(header::TRAILER, HeaderValue::from_static("grpc-status"));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

fn switched(mut request: Request<Incoming>) -> Response<Content> {
    let mut answer = plain(StatusCode::OK, "");
    *answer.body_mut() = Full::default().map_err(|never: Infallible| match never {}).boxed_unsync();
    if *request.method() != Method::CONNECT {
        let key = request.headers()[header::SEC_WEBSOCKET_KEY].to_str().unwrap();
        let fields =
            [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", &accept_of(key))];
        for (name, value) in fields {
            answer.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
        }
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    answer.headers_mut().remove("x-own");
    let tunnel = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(tunnel) = tunnel.await else { return };
        let mut tunnel = TokioIo::new(tunnel);
        let mut said = Vec::new();
        if tunnel.read_to_end(&mut said).await.is_ok() {
            let _ = tunnel.write_all(&[b"heard ", &*said].concat()).await;
            let _ = tunnel.shutdown().await;
        }
    });
    answer
}

/// What of a request should not be so.
fn problems(request: &Request<Incoming>, body: Body) -> Vec<String> {
    let (fields, mut problems) = (request.headers(), Vec::new());
    let mut check = |right: bool, what: &str| {
        if !right {
            problems.push(format!("{what}: {} {} {fields:?}", request.method(), request.uri()));
        }
    };
    check(fields.get_all(header::AUTHORIZATION).iter().count() == 1, "one credential");
    check(
        fields.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer ")),
        "ours",
    );
    check(
        fields.get(header::VIA).is_some_and(|via| via.as_bytes().windows(8).any(|w| w == b"bearward")),
        "Via",
    );
    let target = request.uri().path_and_query().map(|target| target.as_str());
    check(target == Some(TARGET), "the target, octet for octet");
    for gone in ["x-hop", "keep-alive", "proxy-connection", "http2-settings", "expect", "proxy-authorization"]
    {
        check(!fields.contains_key(gone), gone);
    }
    check(fields.get(header::TE).is_none_or(|te| te == "trailers"), "te");
    let handshake = body == Body::WebSocket;
    if request.version() == Version::HTTP_2 {
        check(!fields.contains_key(header::CONNECTION) && !fields.contains_key(header::HOST), "h2 fields");
        check(request.uri().host() == Some("localhost"), ":authority");
        check((*request.method() == Method::CONNECT) == handshake, "CONNECT");
        check(request.extensions().get::<Protocol>().is_some() == handshake, ":protocol");
    } else {
        check(fields.get_all(header::HOST).iter().count() == 1, "one Host");
        check(fields[header::HOST].as_bytes().starts_with(b"localhost:"), "the upstream's Host");
        check(fields.contains_key(header::UPGRADE) == handshake, "upgrade");
    }
    problems
}

fn plain(status: StatusCode, text: &str) -> Response<Content> {
    let content = Full::from(Bytes::copy_from_slice(text.as_bytes()));
    let mut answer = Response::new(content.map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

type Pieces = mpsc::UnboundedSender<Result<Frame<Bytes>, Error>>;

/// Content that comes bit by bit, without a length.
pub fn channel() -> (Pieces, Content) {
    let (pieces, mut received) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| received.poll_recv(cx));
    (pieces, StreamBody::new(stream).boxed_unsync())
}

/// Long enough for anything that happens at all.
pub const PATIENCE: Duration = crate::support::PATIENCE;
