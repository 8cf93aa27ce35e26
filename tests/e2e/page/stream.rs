//! Somebody who listens to `/events`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::PATIENCE;

/// A stream of events, as it comes.
pub struct Stream {
    response: Response<Incoming>,
    /// What has come and is not looked at yet.
    pub text: String,
    /// All that has come.
    pub all: String,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Stream {
    /// Listens from `last` on.
    pub async fn open(admin: SocketAddr, last: Option<&str>) -> Self {
        let stream = TcpStream::connect(admin).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get("/events").header("host", admin.to_string());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        Self { response, text: String::new(), all: String::new() }
    }

    /// The answer's status.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> &str {
        self.response.headers()[name].to_str().unwrap()
    }

    /// Reads one piece more; false at a proper end.
    pub async fn more(&mut self) -> bool {
        let frame = tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await;
        let Some(frame) = frame.expect("it goes on") else { return false };
        let data = frame.expect("it is not cut").into_data().expect("data");
        self.text.push_str(std::str::from_utf8(&data).unwrap());
        self.all.push_str(std::str::from_utf8(&data).unwrap());
        true
    }

    /// The next event.
    pub async fn next(&mut self) -> Event {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = event(&block) {
                    return event;
                }
            }
            assert!(self.more().await, "the events ended");
        }
    }

    /// The next event called `name` that `fits`.
    pub async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Event {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let event = self.next().await;
                if event.name == name && fits(&event.data) {
                    return event;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("no such {name}; all that came:\n{}", self.all))
    }
}

/// Checks the form of a block: fields on lines of their own, each known.
fn event(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, None, None);
    for line in block.lines() {
        match line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}")) {
            ("retry", milliseconds) => drop(milliseconds.parse::<u32>().expect("a number")),
            ("id", value) => id = Some(value.to_owned()),
            ("event", value) => name = Some(value.to_owned()),
            ("data", value) => data = Some(serde_json::from_str(value).expect("JSON")),
            (other, _) => panic!("an unknown field: {other}"),
        }
    }
    Some(Event { id: id?, name: name?, data: data? })
}
