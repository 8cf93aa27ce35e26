//! A token engine with a scripted grant, and an API that rejects old tokens.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;

use super::support::*;
use crate::{
    clock::Clock,
    oauth::{Failure, Fault, Grant, Granted, Identity, Start},
    proxy::{Entry, Settings},
    secret::Secret,
    token::{Engine, Policy, Store, Supply},
};

pub const INVENTORUM: &str = r#"{"error":{"fields":{},"description":"Invalid token","key":"token.invalid"}}"#;

/// A grant that yields `t1`, `t2` and so on, or fails from some request on.
#[derive(Debug)]
pub struct Counting {
    requests: AtomicUsize,
    fails_after: usize,
    pub subjects: Mutex<Vec<String>>,
}

impl Grant for Counting {
    fn identity(&self, subject: Option<&str>) -> Identity {
        Identity {
            chain: format!("id-{}", subject.unwrap_or("0")),
            recipe: subject.unwrap_or("0").to_owned(),
            secret_files: Vec::new(),
        }
    }

    fn endpoint(&self) -> Option<&str> {
        None
    }

    fn start<'a>(&'a self, with: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(subject) = with.subject {
            self.subjects.lock().unwrap().push(subject.to_owned());
        }
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if number > self.fails_after {
                return Err(Failure::new(Fault::Unreachable, "nobody there"));
            }
            let token = format!("t{number}");
            let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            authorization.set_sensitive(true);
            Ok(Granted {
                access_token: Secret::new(token),
                authorization,
                lifetime: Some(Duration::from_secs(600)),
                refresh_token: None,
                scope: None,
            })
        })
    }
}

pub struct Bench {
    pub grant: Arc<Counting>,
    engine: Engine,
}

impl Bench {
    pub fn new() -> Self {
        Self::failing_after(usize::MAX)
    }

    pub fn failing_after(fails_after: usize) -> Self {
        let grant = Counting { requests: AtomicUsize::new(0), fails_after, subjects: Mutex::default() };
        let engine = Engine::new(Clock::system(), Store::memory(), Handle::current());
        Self { grant: Arc::new(grant), engine }
    }

    fn policy() -> Policy {
        Policy { refresh_at: 0.8, eager: true, default_lifetime: Duration::from_secs(300) }
    }

    pub fn supply(&self) -> Supply {
        let grant = Arc::clone(&self.grant) as Arc<dyn Grant>;
        Supply::One(self.engine.source("shop".into(), grant, Self::policy(), None, Arc::default()))
    }

    pub fn subjects(&self) -> Supply {
        let grant = Arc::clone(&self.grant) as Arc<dyn Grant>;
        let header = HeaderName::from_static("x-bearward-subject");
        let subjects =
            self.engine.subjects("customer".into(), grant, Self::policy(), None, Arc::default(), header, 100);
        Supply::PerSubject(subjects)
    }

    pub fn token_requests(&self) -> usize {
        self.grant.requests.load(Ordering::SeqCst)
    }

    /// A proxy whose first token has been accepted once: one that never was is not replaced at once.
    pub async fn proxy(&self, origin: &Origin, change: impl FnOnce(&mut Settings)) -> Proxy {
        let mut settings = settings();
        change(&mut settings);
        self.proxy_with_budget(origin, settings, 1 << 20).await
    }

    pub async fn proxy_with_budget(&self, origin: &Origin, settings: Settings, octets: usize) -> Proxy {
        let route = route_to(origin.port, settings, Some(self.supply()));
        let proxy = Proxy::with_budget(Entry::One(route), octets).await;
        if self.grant.fails_after > 0 {
            assert_eq!(status_of(&proxy.get("/warm").await), 200);
        }
        proxy
    }
}

pub fn answer(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn rejection() -> Vec<u8> {
    answer("401 Unauthorized", "Content-Type: application/json\r\nX-Api: inventorum\r\n", INVENTORUM)
}

/// An API that rejects the tokens before `valid`, by their number.
pub async fn api(valid: Rc<Cell<usize>>) -> (Origin, Seen) {
    Origin::answering(move |_, head| if token_of(head) < valid.get() { rejection() } else { ok() }).await
}

pub fn token_of(head: &str) -> usize {
    let at = head.to_lowercase().find("\r\nauthorization: bearer t").expect("every request carries a token");
    let digits: String = head[at + 25..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

pub fn post(body: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: h\r\nX-Same: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

pub fn chunked(body: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

/// The same but for the fields that each hop writes itself.
pub fn assert_unchanged(sent: &[u8], got: &str) {
    let split = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let own = ["connection:", "date:"];
        let lines = head.split("\r\n").map(str::to_lowercase);
        let lines = lines.filter(|line| !own.iter().any(|own| line.starts_with(own)));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        (lines, body.to_owned())
    };
    assert!(split(&String::from_utf8_lossy(sent)) == split(got), "{}", &got[..got.len().min(600)]);
}
