//! Floods of HTTP/2 frames while somebody else asks the same worker: the flood ends, the others are served, the memory comes back.
//!
//! In a release build the figures mean something, as `floods` says.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{
    Application, PATIENCE, Process, ask,
    h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, PING,
        PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, number,
    },
    origin::Origin,
    until,
};

const MIB: u64 = 1 << 20;
/// What a release build keeps, and a debug build on a busy machine need not.
pub const WORST: Duration = Duration::from_millis(50);

/// How many pieces a flood has.
pub fn times() -> u32 {
    std::env::var("BEARWARD_FLOODS")
        .map_or(20_000, |times| times.parse().expect("BEARWARD_FLOODS is a number"))
}

const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/x")];

/// What is sent: first this, then so many times that, with the number of the turn.
struct Flood {
    what: &'static str,
    first: Vec<u8>,
    each: fn(u32) -> Vec<u8>,
    /// It is more than anybody needs: the connection is told so.
    ends: bool,
}

fn floods() -> Vec<Flood> {
    let open = frame(HEADERS, END_HEADERS, 1, &block(POST));
    let flood = |what, each: fn(u32) -> Vec<u8>| Flood { what, first: Vec::new(), each, ends: true };
    vec![
        flood("PING", |turn| frame(PING, 0, 0, &u64::from(turn).to_be_bytes())),
        flood("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
        flood("SETTINGS that move windows", |turn| {
            frame(SETTINGS, 0, 0, &[&[0, 4][..], &(turn % 60_000).to_be_bytes()].concat())
        }),
        flood("SETTINGS acknowledgements", |_| frame(SETTINGS, 1, 0, &[])),
        flood("rapid reset", |turn| {
            let stream = turn * 2 + 1;
            let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            [frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(POST)), reset].concat()
        }),
        flood("RST_STREAM", |_| frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        flood("PRIORITY", |turn| frame(PRIORITY, 0, turn * 2 + 1, &[0, 0, 0, 0, 9])),
        flood("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        Flood { first: open.clone(), ..flood("empty DATA", |_| frame(DATA, 0, 1, &[])) },
        Flood { first: open, ends: false, ..flood("small DATA", |_| frame(DATA, 0, 1, b"a")) },
        Flood {
            first: frame(HEADERS, END_STREAM, 1, &block(POST)),
            ..flood("CONTINUATION", |_| frame(CONTINUATION, 0, 1, &[0x10, 1, b'a', 1, b'b']))
        },
        Flood {
            first: frame(HEADERS, END_STREAM, 1, &block(POST)),
            ..flood("empty CONTINUATION", |_| frame(CONTINUATION, 0, 1, &[]))
        },
        flood("GOAWAY", |_| frame(GOAWAY, 0, 0, &[0; 8])),
        flood("unknown types", |turn| frame(0x20 + (turn % 200) as u8, 0, 0, b"whatever")),
        flood("requests beyond the limit", |turn| frame(HEADERS, END_HEADERS, turn * 2 + 1, &block(POST))),
        flood("malformed requests", |turn| {
            let fields = [POST, &[("connection", "close")]].concat();
            frame(HEADERS, END_HEADERS | END_STREAM, turn * 2 + 1, &block(&fields))
        }),
        Flood {
            ends: false,
            ..flood("requests without a path", |turn| {
                frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    turn * 2 + 1,
                    &block(&[POST[0], POST[1], ("host", "a")]),
                )
            })
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r104_a_flood_of_frames_ends_and_others_are_served_meanwhile() {
    let stage = Stage::new("").await;
    let address = stage.bearward.address("api").await;
    for flood in floods() {
        let before = stage.idle(address).await;
        let probing = Probing::start(address);
        probing.underway().await;
        let begun = Instant::now();
        let (sent, code) = send(address, &flood).await;
        let took = begun.elapsed();
        let (probes, worst) = probing.stop().await;
        let after = stage.memory("VmRSS:");
        println!(
            "{:<28} {sent:>6} frames taken in {took:>9.1?}, GOAWAY {code:?}; {probes} probes, worst {worst:.1?}; \
             memory {:+} KiB",
            flood.what,
            (after as i64 - before as i64) / 1024
        );
        assert!(probes > 0, "{}: nobody else was served", flood.what);
        // h2 ends some of them itself, with a code of its own; a GOAWAY it may answer with one before there are many.
        assert!(!flood.ends || code != Some(0) || flood.what == "GOAWAY", "{}: {code:?}", flood.what);
        assert!(after < before + 8 * MIB, "{}: {} KiB stay", flood.what, (after - before) >> 10);
        assert!(cfg!(debug_assertions) || worst < WORST, "{}: a probe took {worst:?}", flood.what);
    }
}

#[tokio::test]
async fn r104_each_limit_is_what_it_is_configured_to_be() {
    let limits =
        "limits = { http2_resets = 3, http2_control_frames = 10, http2_streams = 2, head_size = \"8KiB\" }\n";
    let stage = Stage::new(limits).await;
    let address = stage.bearward.address("api").await;
    let settings = Frames::connect(address).await.until(SETTINGS).await.unwrap().payload;
    let told = |id: u8| settings.chunks(6).find(|entry| entry[1] == id).map(|entry| number(&entry[2..]));
    assert_eq!(
        (told(3), told(6)),
        (Some(2), Some(8 << 10)),
        "SETTINGS_MAX_CONCURRENT_STREAMS, _HEADER_LIST_SIZE"
    );
    assert!(
        matches!(told(2), None | Some(0)),
        "r105: a server pushes nothing, and asks for nothing of the kind"
    );
    // The settings that a connection begins with, and their acknowledgement, count among them.
    for (within, beyond, each) in
        [(8, 10, frame(PING, 0, 0, &[0; 8])), (3, 4, frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]))]
    {
        for (count, ends) in [(within, false), (beyond, true)] {
            let mut frames = Frames::connect(address).await;
            frames.request(1, 0, POST).await;
            for _ in 0..count {
                frames.octets(&each).await;
            }
            if ends {
                let goaway = frames.until(GOAWAY).await.expect("it is told");
                assert_eq!(number(&goaway.payload[4..]), ENHANCE_YOUR_CALM, "{count}");
                assert_eq!(number(&goaway.payload), 1, "the last stream that was opened");
            } else {
                let get = [&[(":method", "GET")], &POST[1..]].concat();
                frames.request(3, END_STREAM, &get).await;
                assert_eq!(frames.answer(3).await.0, 200, "{count}");
            }
        }
    }
}

#[tokio::test]
async fn r106_an_application_that_reads_nothing_binds_bounded_memory() {
    let stage = Stage::new("").await;
    let address = stage.bearward.address("big").await;
    let before = stage.idle(stage.bearward.address("api").await).await;
    let get = [&[(":method", "GET")], &POST[1..]].concat();
    let mut held = Vec::new();
    // Windows as large as they can be: only the socket and we hold it back.
    for _ in 0..4 {
        let mut frames = Frames::connect(address).await;
        frames.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
        frames.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]).await;
        for stream in (1..40).step_by(2) {
            frames.request(stream, END_STREAM, &get).await;
        }
        held.push(frames);
    }
    let (mut calm, mut last) = (0, 0);
    while calm < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = stage.memory("VmRSS:");
        calm = if now <= last { calm + 1 } else { 0 };
        last = now;
        assert!(now < before + 80 * MIB, "{} KiB above idle for 80 answers", (now - before) >> 10);
    }
    println!("80 answers that nobody reads: {} KiB", last.saturating_sub(before) >> 10);
    let mut other = Application::new(stage.bearward.address("api").await);
    assert_eq!(ask(&mut other, "/").await.status(), 200);
}

/// The real binary before an origin.
pub struct Stage {
    pub bearward: Process,
    _origin: Origin,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub async fn new(more: &str) -> Self {
        let origin = Origin::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        let big =
            format!("[upstreams.big]\nurl = \"http://{}\"\nlisten = \"127.0.0.1:0\"\n", endless().await);
        fs::write(&file, format!("{more}{}{big}", origin.configuration())).unwrap();
        Self { bearward: Process::run(&file), _origin: origin, _folder: folder }
    }

    /// What it takes once it has served, in octets.
    pub async fn idle(&self, address: SocketAddr) -> u64 {
        let mut application = Application::new(address);
        assert_eq!(ask(&mut application, "/").await.status(), 200);
        self.memory("VmRSS:")
    }

    pub fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.bearward.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

/// An origin whose answers do not end.
async fn endless() -> SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let mut open =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.is_ok();
                let piece = vec![b'z'; 64 << 10];
                while open {
                    open = stream.write_all(&piece).await.is_ok();
                }
            });
        }
    });
    address
}

/// Frames that were written before the connection was closed, and the code it was closed with.
async fn send(address: SocketAddr, flood: &Flood) -> (u32, Option<u32>) {
    let mut frames = Frames::connect(address).await;
    frames.octets(&flood.first).await;
    let mut sent = 0;
    for turn in 0..times() {
        // All in one go: nothing is waited for.
        if !frames.octets(&(flood.each)(turn)).await {
            break;
        }
        sent += 1;
    }
    let mut code = None;
    if flood.ends {
        // That the connection ends is what is waited for.
        while let Some(frame) = frames.next().await {
            if frame.kind == GOAWAY {
                code = Some(number(&frame.payload[4..]));
            }
        }
    }
    (sent, code)
}

/// Small requests, one after the other, on a connection of their own.
pub struct Probing {
    over: Arc<AtomicBool>,
    first: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(u32, Duration)>,
}

impl Probing {
    pub fn start(address: SocketAddr) -> Self {
        let (over, first) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (until, begun) = (over.clone(), first.clone());
        let task = tokio::spawn(async move {
            let mut application = Application::new(address);
            assert_eq!(ask(&mut application, "/first").await.status(), 200);
            begun.store(true, Ordering::Relaxed);
            let (mut count, mut worst) = (0, Duration::ZERO);
            while !until.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(ask(&mut application, "/probe").await.status(), 200, "a probe failed");
                (count, worst) = (count + 1, worst.max(asked.elapsed()));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (count, worst)
        });
        Self { over, first, task }
    }

    pub async fn underway(&self) {
        until("probes are under way", || self.first.load(Ordering::Relaxed)).await;
    }

    pub async fn stop(self) -> (u32, Duration) {
        self.over.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.task).await.expect("the last probe is answered").unwrap()
    }
}
