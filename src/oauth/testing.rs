//! For tests: configuration tables in memory, and an authorization server that says what it is told to say, octet for
//! octet, and records what it was asked.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Uri;
use serde_json::{Map, Value};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Failure, Grant, Granted, Keys, Start, discovery::Issuer, place::Reach};
use crate::{
    demo::simulator::strict,
    secret::{Secret, SecretSource},
    upstream::{Endpoint, Origin, Outer, Protocol, tls},
};

/// A token's table, and the problems that were reported of it.
pub struct Table {
    values: Map<String, Value>,
    issuer: Option<Arc<Issuer>>,
    pub problems: Vec<String>,
}

impl Table {
    pub fn of(table: Value) -> Self {
        let Value::Object(values) = table else { panic!("a table is an object") };
        Self { values, issuer: None, problems: Vec::new() }
    }

    fn needed<T>(&mut self, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.problems.push(format!("{key} is missing"));
        }
        value
    }
}

impl Keys for Table {
    fn text(&mut self, key: &'static str) -> Option<String> {
        self.values.get(key).map(|value| value.as_str().unwrap().to_owned())
    }

    fn needed_text(&mut self, key: &'static str) -> Option<String> {
        let value = self.text(key);
        self.needed(key, value)
    }

    fn secret(&mut self, key: &'static str) -> Option<SecretSource> {
        Some(match self.values.get(key)? {
            Value::String(text) => SecretSource::Held(Secret::new(text.clone())),
            file => SecretSource::File(file["file"].as_str().unwrap().into()),
        })
    }

    fn needed_secret(&mut self, key: &'static str) -> Option<SecretSource> {
        let value = self.secret(key);
        self.needed(key, value)
    }

    fn words(&mut self, key: &'static str) -> Option<String> {
        Some(match self.values.get(key)? {
            Value::Array(words) => {
                words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
            }
            text => text.as_str().unwrap().to_owned(),
        })
    }

    fn object(&mut self, key: &'static str) -> Option<Map<String, Value>> {
        self.values.get(key).map(|value| value.as_object().unwrap().clone())
    }

    fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.values.get(key).map(|value| Duration::from_millis(value.as_u64().unwrap()))
    }

    fn flag(&mut self, key: &'static str) -> bool {
        self.values.get(key) == Some(&Value::Bool(true))
    }

    fn needed_url(&mut self, key: &'static str) -> Option<(Uri, Arc<Endpoint>)> {
        let url = self.url(key)?;
        self.needed(key, url)
    }

    fn url(&mut self, key: &'static str) -> Option<Option<(Uri, Arc<Endpoint>)>> {
        let Some(text) = self.text(key) else { return Some(None) };
        let url: Uri = text.parse().unwrap();
        let origin = Origin::of(&url).unwrap();
        let endpoint =
            Endpoint::new(origin, &tls::Settings::default(), Protocol::Auto, Duration::from_secs(5)).unwrap();
        Some(Some((url, endpoint)))
    }

    fn issuer(&mut self) -> Option<Option<Arc<Issuer>>> {
        if let Some((url, endpoint)) = self.url("issuer")?.filter(|_| self.issuer.is_none()) {
            let reach = Reach {
                tls: tls::Settings::default(),
                outer: Outer::None,
                host: endpoint.origin().host().to_owned(),
                connect_timeout: Duration::from_secs(5),
                allow_cleartext: self.flag("allow_cleartext"),
            };
            let identifier = self.text("issuer")?;
            self.issuer = Some(Arc::new(Issuer::new(identifier, url, endpoint, reach)));
        }
        Some(self.issuer.clone())
    }

    fn missing(&mut self, key: &'static str, _: &str) {
        self.needed(key, None::<()>);
    }

    fn wrong(&mut self, key: &'static str, problem: &str, fix: &str) {
        self.problems.push(format!("{key}: {problem}; {fix}"));
    }
}

/// The grant that a table describes.
pub fn grant(table: Value) -> Arc<dyn Grant> {
    let grant_type = table["grant_type"].as_str().unwrap().to_owned();
    let (_, from_keys) = super::GRANTS.iter().find(|(name, _)| *name == grant_type).unwrap();
    let mut keys = Table::of(table);
    from_keys(&mut keys).unwrap_or_else(|| panic!("{:?}", keys.problems))
}

/// The problems of a table that describes no grant.
pub fn problems(table: Value) -> Vec<String> {
    let grant_type = table["grant_type"].as_str().unwrap().to_owned();
    let (_, from_keys) = super::GRANTS.iter().find(|(name, _)| *name == grant_type).unwrap();
    let mut keys = Table::of(table);
    assert!(from_keys(&mut keys).is_none(), "a grant came out: {:?}", keys.problems);
    keys.problems
}

/// Starts afresh, with nothing.
pub async fn start(grant: &dyn Grant) -> Result<Granted, Failure> {
    grant.start(Start::default()).await
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An authorization server: each connection takes one request and the next answer, then it is closed.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server that begins one answer and never ends it.
    pub async fn holding_open(beginning: &str) -> Self {
        Self::giving([beginning], true).await
    }

    /// A server that gives these answers, whole HTTP messages or parts of some; an empty one is silence.
    pub async fn answering<A: Into<Vec<u8>>>(answers: impl IntoIterator<Item = A>) -> Self {
        Self::giving(answers, false).await
    }

    /// A server whose answers know where it is.
    pub async fn answering_with(answers: impl FnOnce(SocketAddr) -> Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = answers(listener.local_addr().unwrap());
        Self::serving(listener, answers, false)
    }

    async fn giving<A: Into<Vec<u8>>>(answers: impl IntoIterator<Item = A>, hold_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serving(listener, answers, hold_open)
    }

    fn serving<A: Into<Vec<u8>>>(
        listener: TcpListener,
        answers: impl IntoIterator<Item = A>,
        hold_open: bool,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut answers: VecDeque<Vec<u8>> = answers.into_iter().map(Into::into).collect();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let seen = seen.clone();
            async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let answer = answers.pop_front();
                    connections.spawn(serve(stream, answer, seen.clone(), hold_open));
                }
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Option<Vec<u8>>, seen: Arc<Mutex<Vec<Seen>>>, hold_open: bool) {
    let Some(request) = read(&mut stream).await else { return };
    seen.lock().unwrap().push(request);
    match answer {
        Some(answer) if answer.is_empty() => std::future::pending().await,
        // The client may have stopped reading by intent.
        Some(answer) => drop(stream.write_all(&answer).await),
        None => {}
    }
    if hold_open {
        std::future::pending::<()>().await;
    }
    drop(stream.shutdown().await);
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut octets = Vec::new();
    let end = loop {
        if let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(octets[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let fields: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    assert!(fields.iter().all(|(name, _)| name != "transfer-encoding"), "a length is sent");
    let length: Vec<_> = fields.iter().filter(|(name, _)| name == "content-length").collect();
    let length: usize = match length[..] {
        [] if line.starts_with("GET ") => 0,
        [(_, length)] => length.parse().unwrap(),
        _ => panic!("one Content-Length: {fields:?}"),
    };
    let whole = end + 4 + length;
    while octets.len() < whole {
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    }
    assert_eq!(octets.len(), whole, "nothing behind the body");
    strict::requests(&octets).unwrap_or_else(|violation| panic!("r060: {violation}"));
    Some(Seen { line, fields, body: String::from_utf8(octets[end + 4..].to_vec()).unwrap() })
}

/// A whole HTTP/1.1 answer.
pub fn answer(status: u16, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Words\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}

/// A 200 with JSON.
pub fn json(body: Value) -> String {
    answer(200, "Content-Type: application/json\r\n", &body.to_string())
}
