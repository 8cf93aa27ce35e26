//! A port that leads to another one, and that can be led elsewhere, as a name of DNS can. It keeps what went through.
//!
//! Knows octets, and where a request of HTTP/1.1 begins. Answers nothing itself.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What went one way, by connection.
type Octets = Arc<Mutex<Vec<Vec<u8>>>>;

/// A relay; its port closes when it is dropped.
pub struct Relay {
    address: SocketAddr,
    to: watch::Sender<SocketAddr>,
    sent: Octets,
    answered: Octets,
    serving: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// One that leads to `to`.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (to, mut led) = watch::channel(to);
        let (sent, answered) = (Octets::default(), Octets::default());
        let (forth, back) = (sent.clone(), answered.clone());
        let serving = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let to = *led.borrow_and_update();
                let mut led = led.clone();
                let (forth, back) = (forth.clone(), back.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        // Either side may end the connection as it likes.
                        _ = relay(from, to, forth, back) => {}
                        _ = led.changed() => {}
                    }
                });
            }
        });
        Self { address, to, sent, answered, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It leads there from now on; connections that led elsewhere end.
    pub fn leads_to(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }

    /// The head of the first request whose head holds `text`.
    pub fn head_with(&self, text: &str) -> Option<String> {
        heads(&self.sent).into_iter().find(|head| head.contains(text))
    }

    /// The statuses of all answers so far.
    pub fn statuses(&self) -> Vec<String> {
        let heads = heads(&self.answered);
        heads.iter().filter_map(|head| head.rsplit_once("HTTP/1.1 ")?.1.get(..3)).map(str::to_owned).collect()
    }

    /// Forgets what went through.
    pub fn forget(&self) {
        self.sent.lock().unwrap().iter_mut().for_each(Vec::clear);
        self.answered.lock().unwrap().iter_mut().for_each(Vec::clear);
    }
}

/// Everything that ends with an empty line: each head, what lies before it included.
fn heads(octets: &Octets) -> Vec<String> {
    let mut heads = Vec::new();
    for connection in octets.lock().unwrap().iter() {
        let text = String::from_utf8_lossy(connection);
        heads.extend(
            text.split_inclusive("\r\n\r\n").filter(|head| head.ends_with("\r\n\r\n")).map(str::to_owned),
        );
    }
    heads
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn relay(from: TcpStream, to: SocketAddr, forth: Octets, back: Octets) -> std::io::Result<()> {
    let (from_read, from_write) = from.into_split();
    let (to_read, to_write) = TcpStream::connect(to).await?.into_split();
    tokio::try_join!(pass(from_read, to_write, forth), pass(to_read, from_write, back))?;
    Ok(())
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, record: Octets) -> std::io::Result<()> {
    let connection = {
        let mut record = record.lock().unwrap();
        record.push(Vec::new());
        record.len() - 1
    };
    let mut octets = [0; 4096];
    loop {
        let length = from.read(&mut octets).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        record.lock().unwrap()[connection].extend_from_slice(&octets[..length]);
        to.write_all(&octets[..length]).await?;
    }
}
