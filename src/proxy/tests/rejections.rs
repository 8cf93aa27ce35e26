//! What rejects a token, what only looks like it, and what follows.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use http::{HeaderName, HeaderValue};
use tokio::{runtime::Handle, task::spawn_local};

use super::support::*;
use crate::{
    clock::Clock,
    oauth::{Failure, Fault, Grant, Granted, Identity, Start},
    proxy::{Entry, Settings, rejection::Rule},
    secret::Secret,
    token::{Engine, Policy, Store, Supply},
};

const INVENTORUM: &str = r#"{"error":{"fields":{},"description":"Invalid token","key":"token.invalid"}}"#;

/// A grant that yields `t1`, `t2` and so on, or fails from some request on.
#[derive(Debug)]
struct Counting {
    requests: AtomicUsize,
    fails_after: usize,
    subjects: Mutex<Vec<String>>,
}

impl Grant for Counting {
    fn identity(&self, subject: Option<&str>) -> Identity {
        Identity {
            chain: format!("id-{}", subject.unwrap_or("0")),
            recipe: subject.unwrap_or("0").to_owned(),
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

pub(super) struct Bench {
    grant: Arc<Counting>,
    engine: Engine,
}

impl Bench {
    pub fn new() -> Self {
        Self::failing_after(usize::MAX)
    }

    fn failing_after(fails_after: usize) -> Self {
        let grant = Counting { requests: AtomicUsize::new(0), fails_after, subjects: Mutex::default() };
        let engine = Engine::new(Clock::system(), Store::memory(), Handle::current());
        Self { grant: Arc::new(grant), engine }
    }

    fn policy() -> Policy {
        Policy { refresh_at: 0.8, eager: true, default_lifetime: Duration::from_secs(300) }
    }

    fn supply(&self) -> Supply {
        let grant = Arc::clone(&self.grant) as Arc<dyn Grant>;
        Supply::One(self.engine.source("shop".into(), grant, Self::policy(), None, Arc::default()))
    }

    fn subjects(&self) -> Supply {
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

    async fn proxy_with_budget(&self, origin: &Origin, settings: Settings, octets: usize) -> Proxy {
        let route = route_to(origin.port, settings, Some(self.supply()));
        let proxy = Proxy::with_budget(Entry::One(route), octets).await;
        if self.grant.fails_after > 0 {
            assert_eq!(status_of(&proxy.get("/warm").await), 200);
        }
        proxy
    }
}

fn answer(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn rejection() -> Vec<u8> {
    answer("401 Unauthorized", "Content-Type: application/json\r\nX-Api: inventorum\r\n", INVENTORUM)
}

/// An API that rejects the tokens before `valid`, by their number.
async fn api(valid: Rc<Cell<usize>>) -> (Origin, Seen) {
    Origin::answering(move |_, head| if token_of(head) < valid.get() { rejection() } else { ok() }).await
}

fn token_of(head: &str) -> usize {
    let at = head.to_lowercase().find("\r\nauthorization: bearer t").expect("every request carries a token");
    let digits: String = head[at + 25..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn post(body: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: h\r\nX-Same: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn chunked(body: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

#[test]
fn r117_a_rejected_request_goes_out_once_more_with_a_newer_token_and_is_otherwise_the_same() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(2))).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let long = "a".repeat(60_000);
        assert_eq!(status_of(&proxy.ask(post(&long)).await), 200);
        assert_eq!((token_of(&seen.head(0)), token_of(&seen.head(1))), (1, 2));
        assert_eq!(seen.head(0).replace("t1", "t2"), seen.head(1));
        assert_eq!((seen.body(0).len(), seen.body(0)), (60_000, seen.body(1)));
        assert_eq!((seen.count(), bench.token_requests()), (2, 2));
        assert_eq!(proxy.budget.left(), 1 << 20, "r113: what was held is given back");
        assert_eq!(seen.connections.get(), 1, "the first answer was read, its connection is used again");
    });
}

#[test]
fn r117_a_chunked_body_is_replayed_in_chunks() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(2))).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        assert_eq!(status_of(&proxy.ask(chunked("hello")).await), 200);
        assert_eq!(seen.body(1), b"5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(seen.head(1).to_lowercase().matches("transfer-encoding: chunked").count(), 1);
    });
}

#[test]
fn r122_a_hundred_rejections_at_once_cost_one_token_request() {
    run(async {
        let bench = Bench::new();
        let valid = Rc::new(Cell::new(1));
        let (origin, seen) = api(Rc::clone(&valid)).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        assert_eq!(status_of(&proxy.get("/").await), 200);
        valid.set(2);
        let answers = join_all((0..100).map(|_| proxy.get("/"))).await;
        assert!(answers.iter().all(|answer| status_of(answer) == 200));
        assert_eq!(bench.token_requests(), 2);
        assert!(seen.count() <= 201);
    });
}

#[test]
fn r119_r121_a_second_rejection_reaches_the_application_and_hammers_nobody() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(usize::MAX))).await;
        let proxy =
            bench.proxy(&origin, |settings| settings.token_timeout = Duration::from_millis(300)).await;
        let got = proxy.ask(post("abc")).await;
        assert!(
            got.starts_with("HTTP/1.1 401 Unauthorized\r\n") && got.contains("X-Api: inventorum\r\n"),
            "{got}"
        );
        assert!(got.ends_with(INVENTORUM), "{got}");
        assert_eq!((seen.count(), bench.token_requests()), (2, 2));
        for answer in join_all((0..50).map(|_| proxy.get("/"))).await {
            assert!(matches!(status_of(&answer), 401 | 503 | 504), "{answer}");
        }
        assert!(bench.token_requests() <= 5, "{} token requests", bench.token_requests());
    });
}

#[test]
fn r120_what_only_looks_like_a_rejection_passes_byte_for_byte_without_a_second_sending() {
    run(async {
        let json = "Content-Type: application/json\r\n";
        let scope = r#"{"error":{"fields":{},"description":"Scope","key":"scope.wrong"}}"#;
        let megabyte = format!(r#"{{"error":{{"key":"token.invalid"}},"pad":"{}"}}"#, "x".repeat(1 << 20));
        let cases = [
            answer("401 Unauthorized", json, scope),
            answer("403 Forbidden", json, scope),
            answer("403 Forbidden", json, INVENTORUM),
            answer("500 Internal Server Error", json, INVENTORUM),
            answer("200 OK", json, INVENTORUM),
            answer("429 Too Many Requests", json, INVENTORUM),
            answer("401 Unauthorized", "Content-Type: text/html\r\n", "<h1>token.invalid</h1>"),
            answer("401 Unauthorized", "", INVENTORUM),
            answer("401 Unauthorized", "", ""),
            answer("401 Unauthorized", json, ""),
            answer("401 Unauthorized", json, &megabyte),
            answer("401 Unauthorized", json, "{\"error\":{\"key\":\"token.invalid\"}"),
            answer("401 Unauthorized", json, r#"{"error":"token.invalid"}"#),
            answer("401 Unauthorized", json, r#"{"error":{"key":["token.invalid"]}}"#),
            answer("401 Unauthorized", &format!("{json}Content-Encoding: gzip\r\n"), INVENTORUM),
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"invalid_token\"\r\n", ""),
            answer("401 Unauthorized", "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n", ""),
            answer("403 Forbidden", "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", ""),
            answer("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"a, error=\\\"invalid_token\\\"\"\r\n", "x"),
            format!("HTTP/1.1 401 Unauthorized\r\n{json}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n3\r\n 1}}\r\n0\r\n\r\n")
                .into_bytes(),
            format!("HTTP/1.1 401 Unauthorized\r\n{json}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        ];
        for sent in cases {
            let bench = Bench::new();
            let expected = sent.clone();
            let (origin, seen) = Origin::answering(move |_, _| sent.clone()).await;
            let proxy = bench.proxy(&origin, |_| {}).await;
            let got = proxy.ask(post("abc")).await;
            assert_unchanged(&expected, &got);
            assert_eq!((seen.count(), bench.token_requests()), (1, 1), "{}", &got[..got.len().min(400)]);
        }
    });
}

/// The same but for the fields that each hop writes itself.
pub(super) fn assert_unchanged(sent: &[u8], got: &str) {
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

#[test]
fn r117_challenges_that_reject_the_token_in_every_spelling() {
    run(async {
        for challenge in [
            r#"Bearer error="invalid_token""#,
            r#"bearer realm="a, b", error=invalid_token, error_description="x""#,
            r#"Basic realm="x", Bearer realm="y" , ERROR = "invalid_token""#,
            r#"Digest nonce="a\", b", Bearer error="invalid\_token""#,
            "Negotiate abc==, Bearer error=\"invalid_token\"",
            "Basic realm=x\r\nWWW-Authenticate: BEARER error=\"invalid_token\"",
        ] {
            let bench = Bench::new();
            let fields = format!("WWW-Authenticate: {challenge}\r\n");
            let (origin, seen) = Origin::answering(move |_, head| {
                if token_of(head) == 1 { answer("401 Unauthorized", &fields, "") } else { ok() }
            })
            .await;
            let proxy = bench.proxy(&origin, |_| {}).await;
            assert_eq!((status_of(&proxy.get("/").await), seen.count()), (200, 2), "{challenge}");
        }
    });
}

#[test]
fn a_head_request_is_judged_by_its_challenge_alone() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = Origin::answering(|_, head| {
            let fields =
                if head.contains("/c") { "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n" } else { "" };
            let status = if token_of(head) == 1 { "401 Unauthorized" } else { "200 OK" };
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: 80\r\n\r\n"
            )
            .into()
        })
        .await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let head = |path: &str| format!("HEAD {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!((status_of(&proxy.ask(head("/b")).await), seen.count()), (401, 1));
        assert_eq!((status_of(&proxy.ask(head("/c")).await), seen.count()), (200, 3));
    });
}

#[test]
fn rules_are_per_upstream_and_never_means_never() {
    run(async {
        let any = vec![Rule::Any401];
        let forbidden = vec![Rule::Body {
            status: http::StatusCode::FORBIDDEN,
            pointer: "/code".to_owned(),
            equals: "dead".to_owned(),
        }];
        let dead = answer(
            "403 Forbidden",
            "Content-Type: application/problem+json; charset=utf-8\r\n",
            r#"{"code":"dead"}"#,
        );
        for (rules, sent, sendings) in [
            (any.clone(), answer("401 Unauthorized", "", "<p>"), 2),
            (any, answer("401 Unauthorized", "WWW-Authenticate: Bearer error=insufficient_scope\r\n", ""), 1),
            (forbidden, dead, 2),
            (Vec::new(), rejection(), 1),
        ] {
            let bench = Bench::new();
            let (origin, seen) =
                Origin::answering(move |_, head| if token_of(head) == 1 { sent.clone() } else { ok() }).await;
            let proxy = bench.proxy(&origin, |settings| settings.token_invalid = rules).await;
            proxy.get("/").await;
            assert_eq!(seen.count(), sendings);
        }
    });
}

#[test]
fn r113_r117_what_is_not_held_is_not_replayed_but_the_token_is_dropped() {
    run(async {
        let long = "b".repeat(3_000_000);
        for (request, budget) in [(post(&long), 1 << 20), (chunked(&long), 1 << 20), (post("short"), 3)] {
            let bench = Bench::new();
            let (origin, seen) = api(Rc::new(Cell::new(2))).await;
            let proxy = bench.proxy_with_budget(&origin, settings(), budget).await;
            let got = proxy.ask(request).await;
            assert!(got.ends_with(INVENTORUM) && status_of(&got) == 401, "{got}");
            assert_eq!(seen.count(), 1);
            assert_eq!(proxy.budget.left(), budget);
            assert_eq!(status_of(&proxy.get("/").await), 200);
            assert_eq!((token_of(&seen.head(1)), bench.token_requests()), (2, 2));
        }
    });
}

/// An API that answers as soon as it has seen a request's head with the first token.
async fn hasty_api() -> (Origin, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let origin = Origin::with(move |_, mut wire| {
        let log = log.clone();
        async move {
            let mut head = wire.head().await;
            if head.starts_with("GET /warm ") {
                wire.say(ok()).await;
                head = wire.head().await;
            }
            if token_of(&head) == 1 {
                log.requests.borrow_mut().push((head, Vec::new()));
                wire.say(rejection()).await;
                wire.rest().await;
            } else {
                let body = if head.contains("Content-Length: 6") {
                    wire.octets(6).await
                } else {
                    wire.octets(21).await
                };
                log.requests.borrow_mut().push((head, body));
                wire.say(ok()).await;
            }
        }
    })
    .await;
    (origin, seen)
}

#[test]
fn r091_r117_a_rejection_during_the_upload_takes_the_body_over_and_replays_it() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = hasty_api().await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc").await;
        while seen.count() == 0 {
            tokio::task::yield_now().await;
        }
        wire.say("def").await;
        let got = String::from_utf8(wire.rest().await).unwrap();
        assert_eq!(status_of(&got), 200, "{got}");
        assert_eq!(seen.body(1), b"abcdef");
    });
}

#[test]
fn r091_a_rejection_during_an_upload_that_proves_too_long_is_delivered() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = hasty_api().await;
        let proxy = bench.proxy(&origin, |settings| settings.replay_limit = 8).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        while seen.count() == 0 {
            tokio::task::yield_now().await;
        }
        wire.say("6\r\ndefghi\r\n").await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        assert_eq!(wire.octets(INVENTORUM.len()).await, INVENTORUM.as_bytes());
        assert_eq!(seen.count(), 1);
    });
}

#[test]
fn r020_where_no_new_token_can_be_had_the_answer_is_ours_and_nothing_goes_out_bare() {
    run(async {
        let bench = Bench::failing_after(1);
        let (origin, seen) = api(Rc::new(Cell::new(2))).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        for sendings in [1, 1] {
            let got = proxy.ask(post("abc")).await;
            assert_eq!(status_of(&got), 503, "{got}");
            assert!(got.contains("\r\nretry-after: ") && got.contains("\"token\":\"shop\""), "{got}");
            assert!(got.contains("proxy-status: bearward; error="), "{got}");
            assert_eq!(seen.count(), sendings);
        }
        let bench = Bench::failing_after(0);
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let got = bench.proxy(&origin, |_| {}).await.get("/").await;
        assert_eq!((status_of(&got), seen.count()), (503, 0), "{got}");
    });
}

#[test]
fn r014_r015_r017_exactly_one_credential_goes_out_and_only_in_its_field() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(1))).await;
        let proxy = bench.proxy(&origin, |settings| settings.keep_authorization = true).await;
        let request = "GET /x HTTP/1.1\r\nHost: h\r\nauthorization: Bearer mine\r\nConnection: close, authorization\r\n\
                       Authorization: Basic eDp5\r\n\r\n";
        assert_eq!(status_of(&proxy.ask(request).await), 200);
        let head = seen.head(0);
        assert_eq!(head.to_lowercase().matches("authorization").count(), 1, "{head}");
        assert_eq!(head.matches("t1").count(), 1, "{head}");
        assert!(!head.contains("mine") && !head.contains("eDp5"), "{head}");
    });
}

#[test]
fn a_subject_gets_its_own_token_and_its_field_stays_behind() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let route = route_to(origin.port, settings(), Some(bench.subjects()));
        let proxy = Proxy::at(Entry::One(route)).await;
        let ask = |fields: String| {
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n");
            proxy.ask(request)
        };
        for subject in ["anna", "bert", "anna"] {
            assert_eq!(status_of(&ask(format!("X-Bearward-Subject: {subject}\r\n")).await), 200);
        }
        assert_eq!([0, 1, 2].map(|number| token_of(&seen.head(number))), [1, 2, 1]);
        assert_eq!(*bench.grant.subjects.lock().unwrap(), ["anna", "bert"]);
        assert!(!seen.head(0).to_lowercase().contains("subject"));
        for wrong in [
            String::new(),
            "X-Bearward-Subject:\r\n".to_owned(),
            "X-Bearward-Subject: a b\r\n".to_owned(),
            "X-Bearward-Subject: \u{e9}\r\n".to_owned(),
            "X-Bearward-Subject: a\r\nX-Bearward-Subject: a\r\n".to_owned(),
            format!("X-Bearward-Subject: {}\r\n", "a".repeat(257)),
        ] {
            let got = ask(wrong.clone()).await;
            assert_eq!(status_of(&got), 400, "{wrong}: {got}");
        }
        assert_eq!(seen.count(), 3);
    });
}

#[test]
fn an_application_that_hangs_up_leaves_no_connection_and_no_memory_behind() {
    run(async {
        let bench = Bench::new();
        let closed = Rc::new(tokio::sync::Notify::new());
        let notify = Rc::clone(&closed);
        let origin = Origin::with(move |_, mut wire| {
            let notify = Rc::clone(&notify);
            async move {
                wire.request().await;
                wire.say(ok()).await;
                wire.request().await;
                wire.rest().await;
                notify.notify_one();
            }
        })
        .await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let mut wire = proxy.connect().await;
        wire.say(post("abc").replace("Connection: close\r\n", "")).await;
        spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(wire);
        });
        closed.notified().await;
        assert_eq!(proxy.budget.left(), 1 << 20);
    });
}
