//! An origin server of HTTP/1.1 that keeps every octet it gets and answers each whole request with 200 `ok`. What it gets has to be
//! valid (r060): a test that ends with anything else fails.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bearward::demo::simulator::strict::{Tally, Watched};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The server; ends when dropped.
pub struct Origin {
    pub address: SocketAddr,
    seen: Seen,
    tally: Tally,
    _tasks: JoinSet<()>,
}

type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

impl Origin {
    pub async fn start() -> Self {
        Self::answering("ok").await
    }

    /// The same with other content.
    pub async fn answering(content: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
        let mut tasks = JoinSet::new();
        let (kept, tally) = (seen.clone(), Tally::default());
        let counted = tally.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(Watched::new(stream, counted.clone()), content, kept.clone()));
            }
        });
        Self { address, seen, tally, _tasks: tasks }
    }

    /// bearward in front of it, without a token.
    pub fn configuration(&self) -> String {
        format!(
            "store = {{ kind = \"memory\" }}\n[upstreams.api]\nurl = \"http://{}\"\nlisten = \"127.0.0.1:0\"\n",
            self.address
        )
    }

    /// All octets so far, by connection.
    pub fn octets(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }

    /// All heads so far, as text.
    pub fn text(&self) -> String {
        self.octets().iter().map(|octets| String::from_utf8_lossy(octets).into_owned()).collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let violations = self.tally.violations();
        // One fault is told at a time.
        assert!(std::thread::panicking() || violations.is_empty(), "r060: {violations:?}");
    }
}

async fn serve(mut stream: Watched<TcpStream>, content: &str, seen: Seen) {
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(Vec::new());
        seen.len() - 1
    };
    let mut unread = Vec::new();
    loop {
        let before = unread.len();
        match stream.read_buf(&mut unread).await {
            Ok(read) if read > 0 => seen.lock().unwrap()[number].extend(&unread[before..]),
            _ => return,
        }
        while let Some(length) = whole(&unread) {
            unread.drain(..length);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The length of the request at the front, once it is whole.
fn whole(octets: &[u8]) -> Option<usize> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&octets[..end]).to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        let last = octets[end..].windows(5).position(|five| five == b"0\r\n\r\n");
        let trailers = octets[end..].windows(3).position(|three| three == b"0\r\n");
        return match (last, trailers) {
            (Some(last), _) => Some(end + last + 5),
            (None, Some(from)) => {
                let after = octets[end + from..].windows(4).position(|four| four == b"\r\n\r\n")?;
                Some(end + from + after + 4)
            }
            (None, None) => None,
        };
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let whole = end + length.map_or(0, |length| length.parse::<usize>().unwrap());
    (octets.len() >= whole).then_some(whole)
}
