//! Origins that end their connections in the worst moment. No GET is lost, no POST is received twice, and hardly one is refused.
//!
//! `BEARWARD_NASTY=100000 cargo test --release --test e2e nasty -- --nocapture` sends so many requests to each and prints what became
//! of them.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

use crate::support::start;

/// Applications that send one request after the other.
const APPLICATIONS: u64 = 16;
/// What each origin gets where nobody asks for more.
const REQUESTS: u64 = 4_000;
/// How many POSTs may be refused before an origin's ways are known: each application may have one under way on a kept connection
/// when the first ends, and may once more when what was learned is forgotten.
const LESSONS: u64 = 2 * APPLICATIONS;

/// When a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With each answer; the FIN comes at once behind it.
    AfterAnswer,
    /// When nothing has come for so long since an answer.
    AfterIdling(Duration),
    /// With a reset behind the n-th answer.
    ResetAfter(u32),
    /// Instead of the n-th answer: the request was read.
    InsteadOf(u32),
}

const NASTY: [End; 4] =
    [End::AfterAnswer, End::AfterIdling(Duration::from_millis(3)), End::ResetAfter(7), End::InsteadOf(7)];

#[tokio::test]
async fn r093_r118_origins_that_end_connections_at_the_worst_moment_lose_no_get_and_get_no_post_twice() {
    let requests = std::env::var("BEARWARD_NASTY").ok().map_or(REQUESTS, |number| number.parse().unwrap());
    for end in NASTY {
        let became = LocalSet::new().run_until(driven(end, requests)).await;
        println!("{end:?}: {became:?}");
        assert_eq!(became.gets_lost, 0, "{end:?}");
        assert_eq!(became.posts_received_twice, 0, "{end:?}");
        assert_eq!(became.posts_answered_but_not_received, 0, "{end:?}");
        let most = LESSONS + became.posts / 10_000;
        assert!(became.posts_refused <= most, "{end:?}: {became:?}");
    }
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
struct Became {
    gets: u64,
    gets_lost: u64,
    posts: u64,
    posts_refused: u64,
    posts_received_twice: u64,
    posts_answered_but_not_received: u64,
    connections: u64,
}

async fn driven(end: End, requests: u64) -> Became {
    let origin = Origin::start(end);
    let bearward = start(&format!(
        r#"
        store = {{ kind = "memory" }}
        [upstreams.api]
        url = "http://{}"
        listen = "127.0.0.1:0"
        "#,
        origin.address
    ));
    let address = bearward.address("api").unwrap();
    let became = Rc::new(RefCell::new(Became::default()));
    let answered = Rc::new(RefCell::new(Vec::new()));
    let applications = (0..APPLICATIONS).map(|application| {
        let (became, answered) = (Rc::clone(&became), Rc::clone(&answered));
        spawn_local(async move {
            let mut wire = Application::connect(address).await;
            for number in (application..requests).step_by(APPLICATIONS as usize) {
                pause(end).await;
                let status = wire.ask(number).await;
                let mut became = became.borrow_mut();
                if number.is_multiple_of(2) {
                    became.gets += 1;
                    became.gets_lost += u64::from(status != 200);
                } else {
                    became.posts += 1;
                    became.posts_refused += u64::from(status != 200);
                    if status == 200 {
                        answered.borrow_mut().push(number);
                    }
                }
            }
        })
    });
    for application in join_all(applications).await {
        application.unwrap();
    }
    bearward.stop().await;

    let (received, connections) = origin.stop().await;
    let mut became = became.borrow().clone();
    became.connections = connections;
    let twice = received.iter().filter(|(number, times)| *number % 2 == 1 && **times > 1);
    became.posts_received_twice = twice.count() as u64;
    let not_received = answered.borrow().iter().filter(|number| !received.contains_key(number)).count();
    became.posts_answered_but_not_received = not_received as u64;
    became
}

/// Some requests come at once, some just when a connection may have idled for too long.
async fn pause(end: End) {
    match end {
        End::AfterIdling(span) => {
            let micros = fastrand::u64(0..2 * span.as_micros() as u64);
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        _ if fastrand::u8(..) < 32 => {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3_000))).await;
        }
        _ => {}
    }
}

/// A connection of an application to bearward.
struct Application {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Application {
    async fn connect(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// A GET if the number is even, else a POST; the answer's status.
    async fn ask(&mut self, number: u64) -> u16 {
        let request = if number.is_multiple_of(2) {
            format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        } else {
            format!("POST /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
        };
        self.socket.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut self.socket, &mut self.read).await.expect("bearward ended the connection");
        let lower = head.to_ascii_lowercase();
        let (_, length) = lower.split_once("content-length: ").unwrap_or_else(|| panic!("{head}"));
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        while self.read.len() < length {
            assert_ne!(self.socket.read_buf(&mut self.read).await.unwrap(), 0);
        }
        self.read.drain(..length);
        head[9..12].parse().unwrap()
    }
}

/// Reads a head; `None` where the connection ends.
async fn head(socket: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            return Some(String::from_utf8(read.drain(..end + 4).collect()).unwrap());
        }
        if socket.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// How often each request was received, and on how many connections in all.
type Received = (HashMap<u64, u32>, u64);

/// An origin on a thread of its own, so that it goes on while bearward works.
struct Origin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    received: oneshot::Receiver<Received>,
}

impl Origin {
    fn start(end: End) -> Self {
        let ((stop, stopped), (tell, received)) = (oneshot::channel(), oneshot::channel());
        let (listens, address) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                listens.send(listener.local_addr().unwrap()).unwrap();
                let log = Rc::new(RefCell::new(HashMap::new()));
                let connections = Cell::new(0);
                let serving = async {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        connections.set(connections.get() + 1);
                        spawn_local(serve(socket, end, Rc::clone(&log)));
                    }
                };
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
                let _ = tell.send((log.borrow().clone(), connections.get()));
            });
        });
        Self { address: address.recv().unwrap(), stop, received }
    }

    async fn stop(self) -> Received {
        self.stop.send(()).unwrap();
        self.received.await.unwrap()
    }
}

async fn serve(mut socket: TcpStream, end: End, log: Rc<RefCell<HashMap<u64, u32>>>) {
    socket.set_nodelay(true).unwrap();
    let mut read = Vec::new();
    for nth in 1.. {
        let next = head(&mut socket, &mut read);
        let next = match end {
            End::AfterIdling(span) if nth > 1 => tokio::time::timeout(span, next).await.ok().flatten(),
            _ => next.await,
        };
        let Some(head) = next else { return };
        while head.starts_with("POST") && read.len() < 3 {
            if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        read.clear();
        let number = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        *log.borrow_mut().entry(number).or_insert(0) += 1;
        if matches!(end, End::InsteadOf(which) if which == nth) {
            return;
        }
        if socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
        match end {
            End::AfterAnswer => return,
            End::ResetAfter(which) if which == nth => {
                SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            _ => {}
        }
    }
}
