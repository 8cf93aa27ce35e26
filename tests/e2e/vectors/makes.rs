//! Origin servers of other makes: nginx, Node's `http`, and h11 in Python. Each says what it read in the octets that bearward sent.
//!
//! Knows how they are started and asked. Does not know bearward.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use bearward::demo::simulator::strict::{Message, Start};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::origin::Received;
use crate::support::{
    PATIENCE,
    node::{found, leave_out},
    python, until,
};

/// After what was recorded: the connection ends once all was read.
const END: &str = "GET /end HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Method, target, Host and content of a request.
type Read = (String, String, String, String);

/// What a server read, by the peer's port.
type Said = Arc<Mutex<BTreeMap<u16, Vec<Read>>>>;

/// A running server of another make.
struct Make {
    name: &'static str,
    address: SocketAddr,
    said: Said,
    child: Child,
    _folder: tempfile::TempDir,
}

/// What a run with `--nocapture` shows: how much was compared.
#[expect(clippy::print_stdout, reason = "for whoever looks at what the test compares")]
fn say(name: &str, requests: usize, refused: &[String]) {
    println!("{name}: {requests} requests read alike, {} refused: {refused:#?}", refused.len());
}

/// Every recorded connection is read alike by the strict checker and by all three.
pub async fn agree(received: &[Received]) {
    for started in [nginx().await, node().await, h11().await] {
        let make = match started {
            Ok(make) => make,
            Err((what, why)) => {
                leave_out(what, &why);
                continue;
            }
        };
        let (mut wrong, mut refused, mut requests) = (Vec::new(), Vec::new(), 0);
        for connection in received {
            let end = |message: &Message| usize::try_from(message.end).unwrap();
            let (mut from, mut rest, mut alone) = (0, &connection.messages[..], false);
            while !rest.is_empty() {
                let part = if alone { &rest[..1] } else { rest };
                let to = end(&part[part.len() - 1]);
                let mut meant: Vec<Read> = part.iter().map(read).collect();
                meant.push(("GET".into(), "/end".into(), "localhost".into(), String::new()));
                let (read, status) = make.replay(&connection.octets[from..to], meant.len()).await;
                requests += read.len();
                let known = if read == meant {
                    part.len()
                } else if status == Some(400) && alone && read.is_empty() {
                    // To refuse what it does not know is no other reading.
                    refused.push(format!("{} {}", meant[0].0, meant[0].1));
                    1
                } else if status == Some(400) && !alone && meant.starts_with(&read) && read.len() < part.len()
                {
                    // One of those behind them; the first one is asked about alone.
                    alone = true;
                    if let Some(last) = read.len().checked_sub(1) {
                        from = end(&rest[last]);
                    }
                    rest = &rest[read.len()..];
                    continue;
                } else {
                    let at = read.iter().zip(&meant).take_while(|(read, meant)| read == meant).count();
                    wrong.push(format!(
                        "{} read {} of {} requests, its last status is {status:?}; the first other one: {:?} instead of {:?}",
                        make.name,
                        read.len(),
                        meant.len(),
                        read.get(at),
                        meant.get(at)
                    ));
                    break;
                };
                (from, rest, alone) = (end(&rest[known - 1]), &rest[known..], false);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        say(make.name, requests, &refused);
        assert!(refused.len() * 20 < requests, "{} refuses more than a few", make.name);
    }
}

fn read(message: &Message) -> Read {
    let Start::Request { method, target } = &message.start else { panic!("it is a request") };
    let host = message.values("host").next().unwrap_or_default();
    let text = |octets: &[u8]| octets.escape_ascii().to_string();
    (method.clone(), target.clone(), text(host), text(&message.content))
}

impl Make {
    /// Sends `octets` on a connection of its own; what it read of them, and its last status.
    async fn replay(&self, octets: &[u8], requests: usize) -> (Vec<Read>, Option<u16>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let port = stream.local_addr().unwrap().port();
        // A port is used again once its connection is over.
        self.said.lock().unwrap().remove(&port);
        let (mut from, mut to) = stream.into_split();
        let mut answers = Vec::new();
        let whole = async {
            let write = async {
                // It may end the connection over a method that it does not know.
                let _ = to.write_all(octets).await;
                let _ = to.write_all(END.as_bytes()).await;
            };
            tokio::join!(write, from.read_to_end(&mut answers)).1.ok();
        };
        let ended = tokio::time::timeout(PATIENCE, whole).await.is_ok();
        assert!(ended, "{} waits for more than there is", self.name);
        let text = String::from_utf8_lossy(&answers);
        let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok());
        let statuses: Vec<u16> = statuses.collect();
        let good = statuses.iter().filter(|status| **status == 200).count();
        let said = || self.said.lock().unwrap().get(&port).cloned().unwrap_or_default();
        until("the server has said what it read", || said().len() >= good.min(requests)).await;
        let read = said().into_iter().take(good).collect();
        (read, statuses.last().copied())
    }
}

impl Drop for Make {
    fn drop(&mut self) {
        // nginx ends its workers on a request to end, not when it is killed.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// What it says: one JSON object per line, `port`, `method`, `target`, `host`, and `content` in hexadecimal or `raw`.
fn hear(lines: impl BufRead + Send + 'static, said: &Said) {
    let said = said.clone();
    std::thread::spawn(move || {
        for line in lines.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            let Ok(port) = text("port").parse() else { continue };
            let content = value["raw"].as_str().map_or_else(|| hex(&text("content")), raw);
            let read = (text("method"), text("target"), text("host"), content);
            said.lock().unwrap().entry(port).or_default().push(read);
        }
    });
}

/// Content comes in hexadecimal digits, two for an octet.
fn hex(digits: &str) -> String {
    let octets: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
        .collect();
    octets.escape_ascii().to_string()
}

/// Content as nginx tells it: octets beyond ASCII, of which the vectors have only 0xff, are no UTF-8.
fn raw(content: &str) -> String {
    let octets: Vec<u8> = content.chars().map(|c| u8::try_from(c).unwrap_or(0xff)).collect();
    octets.escape_ascii().to_string()
}

type Missing = (&'static str, String);

async fn node() -> Result<Make, Missing> {
    let node = found(&["node"]).ok_or(("Node's reading", "there is no `node` on the PATH".to_owned()))?;
    script("node", &node, "origin.mjs", include_str!("origin.mjs")).await
}

async fn h11() -> Result<Make, Missing> {
    let python = tokio::task::spawn_blocking(python::installed).await.unwrap();
    let python = python.map_err(|why| ("h11's reading", why.to_owned()))?;
    script("h11", python, "origin.py", include_str!("origin.py")).await
}

/// A script that says its port in its first line, and then what it reads.
async fn script(name: &'static str, program: &Path, file: &str, text: &str) -> Result<Make, Missing> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    fs::write(&path, text).unwrap();
    let mut child = Command::new(program)
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut port = String::new();
    lines.read_line(&mut port).unwrap();
    let address = format!("127.0.0.1:{}", port.trim()).parse().unwrap();
    let said = Said::default();
    hear(lines, &said);
    Ok(Make { name, address, said, child, _folder: folder })
}

async fn nginx() -> Result<Make, Missing> {
    let debian = Path::new("/usr/sbin/nginx");
    let program = found(&["nginx"]).or_else(|| debian.exists().then(|| debian.to_owned()));
    let program = program.ok_or(("nginx's reading", "there is no `nginx` on the PATH".to_owned()))?;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    // It opens its log anew with each start only; a pipe shows each line at once.
    let log = place.join("said");
    assert!(Command::new("mkfifo").arg(&log).status().is_ok_and(|status| status.success()));
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, behind) = (free(), free());
    let configuration = include_str!("nginx.conf")
        .replace("PLACE", &place.display().to_string())
        .replace("LISTEN", &address.to_string())
        .replace("BEHIND", &behind.to_string());
    let file = place.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let child = Command::new(program)
        .arg("-p")
        .arg(place)
        .arg("-c")
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let said = Said::default();
    let heard = said.clone();
    std::thread::spawn(move || {
        // Opening waits until nginx opens the other end.
        if let Ok(log) = fs::File::open(log) {
            hear(BufReader::new(log), &heard);
        }
    });
    let make = Make { name: "nginx", address, said, child, _folder: folder };
    until("nginx listens", || std::net::TcpStream::connect(address).is_ok()).await;
    Ok(make)
}
