//! What an HTTP/2 upstream says it has not begun with goes out once more, whatever it is (RFC 9113 section 8.7); nothing else that must
//! not be sent twice does. Against an upstream that is written frame by frame.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::{
    h2::{ACK, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS},
    raw, start,
};

/// What becomes of the first request of all; the others are answered 200 and with their content.
#[derive(Clone, Copy, Debug)]
enum First {
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY that names the stream in front of it, or itself, and then the end.
    Goaway { itself: bool },
}

/// Connection and stream of each request that came.
type Seen = Arc<Mutex<Vec<(usize, u32)>>>;

struct Upstream {
    address: SocketAddr,
    seen: Seen,
    _tasks: JoinSet<()>,
}

impl Upstream {
    async fn start(first: First) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
        let mut tasks = JoinSet::new();
        let kept = seen.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, number, first, kept.clone()));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    /// A request with this content through bearward: its status and content, and what came here of it.
    async fn asked(&self, method: &str, content: &str) -> (u16, String, Vec<(usize, u32)>) {
        let api = format!("[upstreams.api]\nurl = \"http://{}\"\nhttp = \"2\"\n", self.address);
        let bearward = start(&format!("store = {{ kind = \"memory\" }}\n{api}listen = \"127.0.0.1:0\"\n"));
        let length = content.len();
        let request = format!(
            "{method} /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}"
        );
        let answer = raw::exchange(bearward.address("api").unwrap(), request).await;
        let content = String::from_utf8_lossy(raw::parts(&answer).1).into_owned();
        (raw::status(&answer), content, self.seen.lock().unwrap().clone())
    }
}

async fn serve(mut stream: TcpStream, number: usize, first: First, seen: Seen) {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.unwrap();
    let mut frames = Frames::over(stream);
    frames.send(SETTINGS, 0, 0, &[]).await;
    let mut content = Vec::new();
    while let Some(Frame { kind, flags, stream, payload }) = frames.next().await {
        let mut is_first = false;
        match kind {
            SETTINGS if flags & ACK == 0 => {
                let push = payload.chunks(6).find(|entry| entry.starts_with(&[0, 2]));
                assert_eq!(
                    push,
                    Some(&[0, 2, 0, 0, 0, 0][..]),
                    "r105: nothing is pushed to whom nobody asked"
                );
                frames.send(SETTINGS, ACK, 0, &[]).await;
            }
            HEADERS => {
                let mut seen = seen.lock().unwrap();
                seen.push((number, stream));
                is_first = seen.len() == 1;
            }
            DATA => content.extend(payload),
            _ => {}
        }
        if is_first {
            match first {
                First::Reset(code) => {
                    frames.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
                    continue;
                }
                First::Goaway { itself } => {
                    let last = if itself { stream } else { 0 };
                    let payload = [last.to_be_bytes(), 0u32.to_be_bytes()].concat();
                    frames.send(GOAWAY, 0, 0, &payload).await;
                    if itself {
                        return;
                    }
                    continue;
                }
            }
        }
        let refused = seen.lock().unwrap().first() == Some(&(number, stream));
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 && !refused {
            frames.send(HEADERS, END_HEADERS, stream, &[0x88]).await;
            frames.send(DATA, END_STREAM, stream, &std::mem::take(&mut content)).await;
        } else if refused {
            content.clear();
        }
    }
}

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

#[tokio::test]
async fn r103_a_refused_stream_is_opened_anew_on_its_connection_also_for_a_post() {
    let upstream = Upstream::start(First::Reset(REFUSED_STREAM)).await;
    let (status, content, seen) = upstream.asked("POST", "twice is once").await;
    assert!(status == 200 && content.contains("twice is once"), "{status} {content}");
    assert_eq!(seen, [(0, 1), (0, 3)]);
}

#[tokio::test]
async fn r103_a_stream_that_goaway_does_not_name_is_opened_on_another_connection() {
    let upstream = Upstream::start(First::Goaway { itself: false }).await;
    let (status, content, seen) = upstream.asked("POST", "twice is once").await;
    assert!(status == 200 && content.contains("twice is once"), "{status} {content}");
    assert_eq!(seen, [(0, 1), (1, 1)]);
}

#[tokio::test]
async fn r103_r118_a_stream_that_may_have_been_begun_with_is_not_opened_again_for_a_post() {
    for first in [First::Reset(INTERNAL_ERROR), First::Goaway { itself: true }] {
        let upstream = Upstream::start(first).await;
        let (status, _, seen) = upstream.asked("POST", "once").await;
        assert_eq!((status, &*seen), (502, &[(0, 1)][..]), "{first:?}");
    }
}

#[tokio::test]
async fn r103_what_is_not_held_is_not_sent_again() {
    let upstream = Upstream::start(First::Reset(REFUSED_STREAM)).await;
    let (status, _, seen) = upstream.asked("POST", &"x".repeat(100 << 10)).await;
    assert_eq!((status, &*seen), (502, &[(0, 1)][..]));
}
