//! What passes through leaves no trace in memory. Measured on the real binary, from outside.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use bearward::demo::simulator::{AuthorizationServer, ResourceServer, Resources, Simulator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use crate::support::{Application, PATIENCE, Process, ask, configuration};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r116_r124_ten_gibibytes_pass_in_constant_memory() {
    let stage = Stage::new("").await;
    let idle = stage.idle().await;
    let address = stage.api().await;
    let down = thread::spawn(move || download(address, 5 * GIB));
    let up = thread::spawn(move || upload(address, 5 * GIB));
    let passed =
        tokio::task::spawn_blocking(move || (down.join().unwrap(), up.join().unwrap())).await.unwrap();
    assert!(passed.0 >= 5 * GIB && passed.1 == 5 * GIB, "{passed:?}");
    let grown = stage.peak() - idle;
    assert!(grown < 20 * MIB, "{} KiB above idle", grown >> 10);
}

/// Two hundred uploads just below `replay_limit`, each one octet short of its end: they would hold 200 MB for replays, and
/// may hold 4 MiB. Those beyond the budget are streamed, which their applications cannot tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r113_uploads_beyond_the_replay_budget_are_streamed() {
    const UPLOADS: usize = 200;
    let stage = Stage::new(r#"limits = { replay_memory = "4MiB" }"#).await;
    let idle = stage.idle().await;
    let address = stage.api().await;
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS {
        uploads.spawn(async move {
            let mut application = tokio::net::TcpStream::connect(address).await.unwrap();
            let head = format!(
                "POST /up HTTP/1.1\r\nhost: {address}\r\ncontent-length: {MIB}\r\nconnection: close\r\n\r\n"
            );
            application.write_all(head.as_bytes()).await.unwrap();
            application.write_all(&vec![b'u'; (MIB - 1) as usize]).await.unwrap();
            application
        });
    }
    let applications =
        tokio::time::timeout(PATIENCE, uploads.join_all()).await.expect("all but the end passes");
    // What the sockets still hold is read before a body's end can be.
    for mut application in applications {
        application.write_all(b"u").await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, application.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(
        stage.resources.requests().iter().filter(|request| request.call.length == MIB).count(),
        UPLOADS
    );
    let grown = stage.peak() - idle;
    assert!(grown < 60 * MIB, "{} KiB above idle", grown >> 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r106_applications_that_do_not_read_bind_bounded_memory() {
    const STALLED: u64 = 20;
    let stage = Stage::new("").await;
    let idle = stage.idle().await;
    let address = stage.api().await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut application = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET /zeros/{GIB} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        application.write_all(head.as_bytes()).await.unwrap();
        application.readable().await.unwrap();
        stalled.push(application);
    }
    // Long enough at rest to say that nothing comes any more.
    let (mut calm, mut before) = (0, 0);
    while calm < 20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = stage.peak();
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
        assert!(now - idle < STALLED * 2 * MIB, "{} KiB above idle", (now - idle) >> 10);
    }
    let mut other = Application::new(address);
    assert_eq!(ask(&mut other, "/").await.status(), 200, "others are served meanwhile");
}

#[tokio::test]
async fn r112_a_connection_beyond_the_cap_waits_until_one_ends() {
    let stage = Stage::new("limits = { connections = 4 }").await;
    let address = stage.api().await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let mut application = Application::new(address);
        assert_eq!(ask(&mut application, "/").await.status(), 200);
        served.push(application);
    }
    let mut waiting = tokio::spawn(async move { ask(&mut Application::new(address), "/fifth").await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "it was served beyond the cap");
    assert!(stage.resources.requests().iter().all(|request| request.call.path != "/fifth"));
    served.pop();
    assert_eq!(waiting.await.unwrap().status(), 200);
}

/// The real binary before an API that takes and gives anything.
struct Stage {
    bearward: Process,
    resources: Resources,
    _authorization_server: Simulator,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(more: &str) -> Self {
        let authorization_server = AuthorizationServer::new().start().await.unwrap();
        let resources = ResourceServer::new(&authorization_server).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearward.toml");
        let shortest = configuration(&authorization_server.url(), &resources.url());
        let configuration = format!("{more}\n{shortest}replay_limit = \"1MiB\"\n");
        fs::write(&file, configuration).unwrap();
        let bearward = Process::run(&file);
        Self { bearward, resources, _authorization_server: authorization_server, _folder: folder }
    }

    async fn api(&self) -> SocketAddr {
        self.bearward.address("api").await
    }

    /// What it takes once it has served, in octets; the peak is counted anew from here on.
    async fn idle(&self) -> u64 {
        let mut application = Application::new(self.api().await);
        assert_eq!(ask(&mut application, "/").await.status(), 200);
        // proc_pid_clear_refs(5): the value 5 sets the peak back.
        fs::write(format!("/proc/{}/clear_refs", self.bearward.id()), "5").unwrap();
        self.memory("VmRSS:")
    }

    fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.bearward.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

/// Octets that arrived, chunk lines included, up to the last chunk.
fn download(address: SocketAddr, length: u64) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /zeros/{length} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let (mut buffer, mut octets, mut end) = (vec![0; 256 << 10], 0, Vec::new());
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            assert!(end.ends_with(b"\r\n0\r\n\r\n"), "the last chunk is there");
            return octets;
        }
        octets += read as u64;
        end.extend_from_slice(&buffer[read.saturating_sub(8)..read]);
        end.drain(..end.len().saturating_sub(8));
    }
}

/// Content octets that the API says it has got.
fn upload(address: SocketAddr, length: u64) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /up HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    // The API keeps the first MiB, and its echo names the length.
    let piece = vec![b'u'; 256 << 10];
    for _ in 0..length / piece.len() as u64 {
        stream.write_all(&piece).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, after) = answer.split_once(r#""length":"#).unwrap_or_else(|| panic!("{answer:.400}"));
    after.split(',').next().unwrap().trim_end_matches('}').parse().unwrap()
}
