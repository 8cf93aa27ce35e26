//! An origin that reads nothing but through the strict checker, keeps every octet, and answers each whole request with a 200.
//!
//! Does not know what was meant to come.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bearward::demo::simulator::strict::{Checker, Message, Start, Violation};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use crate::tls::server::{Ca, TlsServer, server_config};

/// Methods that every make of server knows.
const KNOWN: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// What came over one connection.
#[derive(Debug, Default)]
pub struct Received {
    /// The octets of the whole requests.
    pub octets: Vec<u8>,
    pub messages: Vec<Message>,
    pub violation: Option<Violation>,
    /// What broke the rules, escaped. It holds no secret but the test's own.
    pub broken: String,
}

type Record = Arc<Mutex<Vec<Arc<Mutex<Received>>>>>;

pub struct Origin {
    pub address: SocketAddr,
    record: Record,
    _tls: Option<TlsServer>,
    _serving: JoinSet<()>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Record::default();
        let kept = record.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream, connection(&kept)));
            }
        });
        Self { address, record, _tls: None, _serving: serving }
    }

    /// One over TLS, as `localhost`.
    pub async fn over_tls(ca: &Ca) -> Self {
        let record = Record::default();
        let kept = record.clone();
        let config = server_config(ca.identity("localhost"), &["http/1.1"], None);
        let server = TlsServer::new(config, move |stream| serve(stream, connection(&kept))).await;
        Self { address: server.address, record, _tls: Some(server), _serving: JoinSet::new() }
    }

    /// What came over each connection so far.
    pub fn received(&self) -> Vec<Received> {
        let record = self.record.lock().unwrap();
        record.iter().map(|received| std::mem::take(&mut *received.lock().unwrap())).collect()
    }
}

fn connection(record: &Record) -> Arc<Mutex<Received>> {
    let received = Arc::<Mutex<Received>>::default();
    record.lock().unwrap().push(received.clone());
    received
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, received: Arc<Mutex<Received>>) {
    let mut checker = Checker::requests().keeping();
    let (mut octets, mut answered) = (Vec::new(), 0);
    while let Ok(1..) = stream.read_buf(&mut octets).await {
        let fresh = octets.len();
        let pushed = checker.push(&octets[octets.len().min(usize::try_from(checker.read()).unwrap())..fresh]);
        let whole = usize::try_from(checker.whole_octets()).unwrap();
        {
            let mut received = received.lock().unwrap();
            let (before, messages) = (received.octets.len(), received.messages.len());
            received.octets.extend_from_slice(&octets[before..whole]);
            received.messages.extend_from_slice(&checker.messages()[messages..]);
            if let Err(violation) = pushed {
                received.violation = Some(violation);
                received.broken = octets[whole..].escape_ascii().to_string();
                return;
            }
        }
        while let Some(message) = checker.messages().get(answered) {
            answered += 1;
            let Start::Request { method, .. } = &message.start else { return };
            let known = KNOWN.contains(&method.as_str());
            let close = if known { "" } else { "Connection: close\r\n" };
            let content = if method == "HEAD" { "" } else { "ok" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\n{content}");
            if stream.write_all(answer.as_bytes()).await.is_err() || !known {
                return;
            }
        }
    }
}
