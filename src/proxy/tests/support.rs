//! A raw origin, a raw application and a worker between them.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::spawn_local,
};

use crate::{
    clock::Clock,
    demo::simulator::strict::{Checker, Tally},
    ingress::{connection, drain::Drain, http2},
    proxy::{Budget, Entry, Room, Route, Settings, Via, Worker, exchange, rejection::Rule},
    telemetry::Metrics,
    token::Supply,
    upstream::{Endpoint, Origin as Place, Protocol, client::Limits, tls},
    wire::{Content, Incoming, Stream},
};

/// Runs a test on a worker's kind of runtime; a test that hangs fails.
pub fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("it hangs") });
    let violations = VIOLATIONS.with(Tally::forgive);
    assert!(violations.is_empty(), "an origin received invalid requests: {violations:#?}");
}

thread_local! {
    /// What the origins of this test received and should not have (r060).
    static VIOLATIONS: Tally = Tally::default();
}

/// Runs hyper's tasks on this thread.
#[derive(Clone)]
pub struct Here;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// One connection of a raw origin or a raw application.
pub struct Wire {
    socket: TcpStream,
    read: Vec<u8>,
    /// Of an origin: what it reads is checked.
    checker: Option<Checker>,
}

impl Wire {
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, read: Vec::new(), checker: None }
    }

    /// An origin's; what bearward sends there is checked.
    pub fn of_origin(socket: TcpStream) -> Self {
        Self { checker: Some(Checker::requests()), ..Self::new(socket) }
    }

    /// The next message head, blank line included; empty at the end of the connection.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
            }
            if self.more().await == 0 {
                return String::new();
            }
        }
    }

    /// The next `len` octets.
    pub async fn octets(&mut self, len: usize) -> Vec<u8> {
        while self.read.len() < len {
            assert_ne!(self.more().await, 0, "the connection ended early");
        }
        self.read.drain(..len).collect()
    }

    /// A whole request with a body of known length or in chunks (as it came, framing included).
    pub async fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head().await;
        if head.is_empty() {
            return None;
        }
        let lower = head.to_ascii_lowercase();
        let body = if let Some(at) = lower.find("content-length: ") {
            let digits: String = lower[at + 16..].chars().take_while(char::is_ascii_digit).collect();
            self.octets(digits.parse().unwrap()).await
        } else if lower.contains("transfer-encoding: chunked") {
            while !self.read.ends_with(b"0\r\n\r\n") {
                assert_ne!(self.more().await, 0, "the body was cut");
            }
            std::mem::take(&mut self.read)
        } else {
            Vec::new()
        };
        Some((head, body))
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    pub async fn more(&mut self) -> usize {
        let before = self.read.len();
        let length = self.socket.read_buf(&mut self.read).await.unwrap_or(0);
        if let Some(checker) = &mut self.checker
            && let Err(violation) = checker.push(&self.read[before..])
        {
            VIOLATIONS.with(|tally| tally.add(violation));
        }
        length
    }

    /// Says no more, and may still listen.
    pub async fn end(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    pub async fn say(&mut self, octets: impl AsRef<[u8]>) {
        let octets = octets.as_ref();
        if let Some(checker) = &mut self.checker
            && checker.may_leave()
            && (octets.starts_with(b"HTTP/1.1 101") || octets.starts_with(b"HTTP/1.1 2"))
        {
            checker.leave();
        }
        self.socket.write_all(octets).await.unwrap();
    }
}

/// A raw origin: `serve` is called for each connection, with its number from 0.
pub struct Origin {
    pub port: u16,
}

impl Origin {
    pub async fn with<F: Future<Output = ()> + 'static>(serve: impl Fn(usize, Wire) -> F + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        spawn_local(async move {
            for number in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                spawn_local(serve(number, Wire::of_origin(socket)));
            }
        });
        Self { port }
    }

    /// Answers every request of every connection as `answer` says, given how many there were before, and writes down
    /// what it saw. `GET /warm` is always answered 200 and not written down.
    pub async fn answering(answer: impl Fn(usize, &str) -> Vec<u8> + 'static) -> (Self, Seen) {
        let (seen, answer) = (Seen::default(), Rc::new(answer));
        let log = seen.clone();
        let origin = Self::with(move |_, mut wire| {
            let (log, answer) = (log.clone(), Rc::clone(&answer));
            log.connections.set(log.connections.get() + 1);
            async move {
                while let Some((head, body)) = wire.request().await {
                    if head.starts_with("GET /warm ") {
                        wire.say(ok()).await;
                        continue;
                    }
                    let number = log.requests.borrow().len();
                    log.requests.borrow_mut().push((head.clone(), body));
                    wire.say(answer(number, &head)).await;
                }
            }
        })
        .await;
        (origin, seen)
    }
}

/// A head and a body.
pub type Message = (String, Vec<u8>);

/// What an origin saw, over all connections.
#[derive(Clone, Default)]
pub struct Seen {
    pub requests: Rc<RefCell<Vec<Message>>>,
    pub connections: Rc<Cell<usize>>,
}

impl Seen {
    pub fn count(&self) -> usize {
        self.requests.borrow().len()
    }

    pub fn head(&self, number: usize) -> String {
        self.requests.borrow()[number].0.clone()
    }

    pub fn body(&self, number: usize) -> Vec<u8> {
        self.requests.borrow()[number].1.clone()
    }
}

/// Settings as the configuration's defaults would be, with short times.
pub fn settings() -> Settings {
    Settings {
        name: "api".into(),
        base: String::new(),
        headers: Vec::new(),
        response_timeout: Duration::from_secs(10),
        token_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(10),
        replay_limit: 64 << 10,
        keep_authorization: false,
        preserve_host: false,
        token_invalid: Rule::defaults(),
        upgrades: true,
        tunnel_idle_timeout: None,
        connections: Limits {
            idle_connections: 8,
            idle_timeout: Duration::from_secs(10),
            greatest_age: Duration::from_secs(60),
        },
        via: Via::new(),
    }
}

pub fn route_to(port: u16, settings: Settings, supply: Option<Supply>) -> Rc<Route> {
    route_with(port, Protocol::Http1, settings, supply)
}

pub fn route_with(port: u16, protocol: Protocol, settings: Settings, supply: Option<Supply>) -> Rc<Route> {
    let origin = Place::of(&format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap();
    let endpoint =
        Endpoint::new(origin, &tls::Settings::default(), protocol, Duration::from_secs(5)).unwrap();
    Route::new(Arc::new(settings), endpoint, supply, Metrics::default().upstream("api")).unwrap()
}

const LIMITS: connection::Limits = connection::Limits {
    http2: http2::Limits::DEFAULT,
    head_size: 64 << 10,
    head_fields: 100,
    head_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(60),
    body_timeout: Duration::from_secs(60),
    refuse_underscores: false,
};

/// A worker with one listener, as the ingress will build it.
pub struct Proxy {
    pub port: u16,
    pub budget: Budget,
}

impl Proxy {
    pub async fn to(origin: &Origin) -> Self {
        Self::at(Entry::One(route_to(origin.port, settings(), None))).await
    }

    pub async fn at(entry: Entry) -> Self {
        Self::with_budget(entry, 1 << 20).await
    }

    pub async fn with_budget(entry: Entry, octets: usize) -> Self {
        let budget = Budget::new(octets);
        Self::with_worker(entry, Worker { clock: Clock::system(), budget, room: Room::new(1000), seen: None })
            .await
    }

    /// One that speaks HTTP/2 with prior knowledge, and takes extended CONNECT.
    pub async fn http2(entry: Entry) -> Self {
        let (budget, room) = (Budget::new(1 << 20), Room::new(1000));
        Self::serving(entry, Worker { clock: Clock::system(), budget, room, seen: None }, true).await
    }

    pub async fn with_worker(entry: Entry, worker: Worker) -> Self {
        Self::serving(entry, worker, false).await
    }

    async fn serving(entry: Entry, worker: Worker, http2: bool) -> Self {
        let (listener, budget) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), worker.budget.clone());
        let (port, worker) = (listener.local_addr().unwrap().port(), Rc::new(worker));
        let drain = Drain::new();
        spawn_local(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (entry, worker) = (entry.clone(), Rc::clone(&worker));
                if http2 {
                    spawn_local(over_http2(socket, entry, worker));
                    continue;
                }
                let drain = drain.clone();
                spawn_local(async move {
                    let service = async |request| exchange(&entry, &worker, request).await;
                    connection::serve_stream(Stream::Tcp(socket), &LIMITS, service, drain).await;
                });
            }
        });
        Self { port, budget }
    }

    pub async fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap())
    }

    /// Sends one raw request and returns everything that came until the connection closed.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut wire = self.connect().await;
        wire.say(request).await;
        String::from_utf8_lossy(&wire.rest().await).into_owned()
    }

    /// A GET that asks for the connection to be closed.
    pub async fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
    }
}

async fn over_http2(socket: TcpStream, entry: Entry, worker: Rc<Worker>) {
    let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| {
        let (entry, worker) = (entry.clone(), Rc::clone(&worker));
        async move {
            let connection = hyper::upgrade::on(&mut request);
            let mut answer = exchange(&entry, &worker, request.map(Incoming::from).into()).await;
            if let Some(takeover) = answer.content.take_over() {
                spawn_local(async move {
                    let stream = TokioIo::new(connection.await.unwrap());
                    takeover(Stream::Upgraded(Box::new(stream))).await;
                });
            }
            Ok::<http::Response<_>, Infallible>(answer.into())
        }
    });
    let mut http = hyper::server::conn::http2::Builder::new(Here);
    drop(http.enable_connect_protocol().serve_connection(TokioIo::new(socket), service).await);
}

/// A plain 200.
pub fn ok() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
}

pub fn status_of(answer: &str) -> u16 {
    answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
