//! Floods of HTTP/1.1 while somebody else asks: connections that never finish a head, heads and contents without an end, pipelines that
//! nobody reads. The others are served, and the memory comes back. Those of HTTP/2 frames are in `h2_floods`.
//!
//! `BEARWARD_FLOODS=20000 cargo test --release --test e2e floods -- --nocapture --test-threads 1` prints the figures of both; the worst
//! probe has to be answered within 50 ms there.

use std::{fs, net::SocketAddr, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    h2_floods::{Probing, Stage, WORST, times},
    support::PATIENCE,
};

const MIB: u64 = 1 << 20;
const MOST_KEPT: u64 = 8 * MIB;

/// What one connection sends: this, then so many times that. Whether bearward ends it.
struct Flood {
    what: &'static str,
    first: &'static str,
    each: fn(u32) -> Vec<u8>,
    ends: bool,
}

fn floods() -> Vec<Flood> {
    const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        Flood {
            what: "fields without an end",
            first: GET,
            each: |turn| format!("x-{turn}: y\r\n").into(),
            ends: true,
        },
        Flood {
            what: "a field without an end",
            first: "GET / HTTP/1.1\r\nx: ",
            each: |_| vec![b'y'; 64],
            ends: true,
        },
        Flood { what: "a target without an end", first: "GET /", each: |_| vec![b'y'; 64], ends: true },
        Flood { what: "empty lines", first: "", each: |_| b"\r\n".to_vec(), ends: false },
        Flood {
            what: "pipelined requests, unread",
            first: "",
            each: |_| b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            ends: false,
        },
        Flood { what: "chunks of one octet", first: POST, each: |_| b"1\r\nx\r\n".to_vec(), ends: false },
        Flood {
            what: "a chunk's line without an end",
            first: POST,
            each: |_| b"1;x=yyyyyyyyyyy".to_vec(),
            ends: true,
        },
        Flood {
            what: "trailers without an end",
            first: "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            each: |turn| format!("x-{turn}: y\r\n").into(),
            ends: true,
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r104_r114_a_flood_of_octets_on_a_connection_ends_and_others_are_served_meanwhile() {
    let stage = Stage::new("").await;
    let address = stage.bearward.address("api").await;
    for flood in floods() {
        let before = stage.idle(address).await;
        let probing = Probing::start(address);
        probing.underway().await;
        let begun = Instant::now();
        let sent = send(address, &flood).await;
        let took = begun.elapsed();
        let (probes, worst) = probing.stop().await;
        let after = stage.settled(before).await;
        println!(
            "{:<30} {sent:>6} pieces taken in {took:>9.1?}; {probes} probes, worst {worst:.1?}; memory {:+} KiB",
            flood.what,
            (after as i64 - before as i64) / 1024
        );
        assert!(probes > 0, "{}: nobody else was served", flood.what);
        assert!(after < before + MOST_KEPT, "{}: {} KiB stay", flood.what, (after - before) >> 10);
        assert!(cfg!(debug_assertions) || worst < WORST, "{}: a probe took {worst:?}", flood.what);
    }
}

/// Connections that each begin a head and say nothing more, in three waves. What they took is kept by the allocator for the next wave,
/// and no more than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r111_r112_slow_heads_on_many_connections_leave_the_others_served() {
    // A quarter: both ends of each are ours, and so are their descriptors.
    let most = descriptors() / 4;
    let count = (times() / 4).min(most);
    let stage = Stage::new("limits = { head_timeout = \"5s\" }\n").await;
    let address = stage.bearward.address("api").await;
    let before = stage.idle(address).await;
    let mut waves = Vec::new();
    for _ in 0..3 {
        let probing = Probing::start(address);
        probing.underway().await;
        let begun = Instant::now();
        slowly(address, count).await;
        let took = begun.elapsed();
        let (probes, worst) = probing.stop().await;
        let after = stage.memory("VmRSS:");
        println!(
            "{count} slow heads in {took:.1?}; {probes} probes, worst {worst:.1?}; memory {:+} KiB",
            (after as i64 - before as i64) / 1024
        );
        assert!(cfg!(debug_assertions) || worst < WORST, "a probe took {worst:?}");
        waves.push(after);
    }
    assert!(
        waves[0] < before + u64::from(count) * (64 << 10),
        "{} KiB each",
        (waves[0] - before) / u64::from(count) / 1024
    );
    assert!(waves[2] < waves[1] + MOST_KEPT, "it grows: {waves:?}");
}

/// So many connections, each until bearward ends it.
async fn slowly(address: SocketAddr, count: u32) {
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: local").await.unwrap();
        slow.push(stream);
    }
    for mut stream in slow {
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 512])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "a head that does not come ends its connection");
    }
}

fn descriptors() -> u32 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("Linux says it");
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(u32::MAX)
}

/// How many pieces were taken.
async fn send(address: SocketAddr, flood: &Flood) -> u32 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(flood.first.as_bytes()).await.unwrap();
    let mut sent = 0;
    for turn in 0..times() {
        let piece = (flood.each)(turn);
        // Whoever does not read is not read from for ever.
        match tokio::time::timeout(std::time::Duration::from_secs(2), stream.write_all(&piece)).await {
            Ok(Ok(())) => sent += 1,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    if flood.ends {
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{}: the connection stays open", flood.what);
    }
    sent
}

impl Stage {
    /// What it takes once it has given back all but a little, or does not for a minute.
    async fn settled(&self, before: u64) -> u64 {
        let waited = Instant::now();
        loop {
            let now = self.memory("VmRSS:");
            if now < before + MOST_KEPT || waited.elapsed() > PATIENCE {
                return now;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
