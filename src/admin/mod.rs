//! Looking at a running bearward: `/livez`, `/readyz`, `/metrics`, `/status`, and the page at `/` with its events.
//!
//! Knows what an operator may see, and the few things that a person may do from the page (`actions`): log in and refresh.
//! Never shows a token or a secret. Does not know how the parts were put together.

mod actions;
mod events;
mod logins;
mod page;
mod snapshot;
mod status;
mod way;

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt::Write,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::{
    events::Events,
    way::{At, Way},
};
use self::{logins::Logins, page::Page};
use crate::{
    clock::Clock,
    login::Account,
    secret::Secret,
    telemetry::{Exchanges, Metrics, UpstreamMetrics, metrics::Format},
    token::{State, Supply},
};

/// What runs at the moment.
#[derive(Debug, Default)]
pub struct Seen {
    /// The token recipes.
    pub tokens: Vec<SeenToken>,
    /// The upstreams.
    pub upstreams: Vec<SeenUpstream>,
}

/// A token recipe.
#[derive(Debug)]
pub struct SeenToken {
    /// Its name.
    pub name: Arc<str>,
    /// Whether readiness waits for it.
    pub eager: bool,
    /// What its tokens come from.
    pub supply: Supply,
    /// Whose a person's login is, where the recipe needs one.
    pub account: Option<Account>,
}

/// An upstream.
#[derive(Debug)]
pub struct SeenUpstream {
    /// Its name.
    pub name: Arc<str>,
    /// Where requests go.
    pub url: String,
    /// The token that goes with them.
    pub token: Option<Arc<str>>,
    /// The ways in.
    pub ways: Vec<Way>,
    /// Its counters.
    pub metrics: Arc<UpstreamMetrics>,
}

/// From where somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// This machine, over a listener that is for this machine only.
    Here,
    /// A listener, or a peer, that is not loopback.
    Elsewhere,
    /// This machine, but by a name of `allow_hosts`: a proxy may stand in front, and anybody behind it.
    AnotherName,
    /// A Unix socket, which no browser opens.
    UnixSocket,
}

/// An answer's content.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// Bit by bit, until somebody goes.
    Events(Events),
}

/// What an admin listener answers from; lives on through reloads, on one thread.
#[derive(Debug)]
pub struct Admin {
    seen: RefCell<Rc<Seen>>,
    metrics: Metrics,
    exchanges: Exchanges,
    clock: Clock,
    /// Tells one run of bearward from the next; no secret.
    process: String,
    /// Only who has read the page knows it.
    form_token: Secret,
    /// Made when somebody looks at it first: it is a tenth of a megabyte, and mostly nobody does.
    page: OnceCell<Page>,
    logins: Logins,
    /// Who watches looks again at once.
    changed: watch::Sender<()>,
    /// The last snapshot that somebody was told.
    told: RefCell<Option<Rc<events::Told>>>,
    watching: Rc<Cell<usize>>,
    stopping: Cell<bool>,
    /// Why the changed configuration is not in force.
    not_reloaded: RefCell<Option<String>>,
}

impl Admin {
    /// An admin listener's answers.
    ///
    /// # Errors
    /// The machine has no random numbers for the page's form token.
    pub fn new(metrics: Metrics, exchanges: Exchanges, clock: Clock) -> std::io::Result<Rc<Self>> {
        let (process, form_token) = (page::random_text()?, Secret::new(page::random_text()?));
        let (changed, _) = watch::channel(());
        Ok(Rc::new(Self {
            seen: RefCell::default(),
            metrics,
            exchanges,
            clock,
            page: OnceCell::new(),
            process,
            form_token,
            logins: Logins::new(changed.clone()),
            changed,
            told: RefCell::default(),
            watching: Rc::default(),
            stopping: Cell::new(false),
            not_reloaded: RefCell::default(),
        }))
    }

    /// Shows `seen` from now on.
    pub fn show(&self, seen: Seen) {
        self.logins.keep_only(&seen);
        self.seen.replace(Rc::new(seen));
        self.told.take();
        self.changed.send_replace(());
    }

    /// Says why the changed configuration is not in force; `None` where it is.
    pub fn not_reloaded(&self, problem: Option<String>) {
        self.not_reloaded.replace(problem);
        self.told.take();
        self.changed.send_replace(());
    }

    /// Tells who watches that bearward is stopping, and ends logins that wait for a person.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.told.take();
        self.logins.keep_only(&Seen::default());
        self.changed.send_replace(());
    }

    /// Returns when what logins have spent codes for is kept. After [`Admin::stop`].
    pub async fn logins_ended(&self) {
        self.logins.ended().await;
    }

    /// Returns when nobody watches any more.
    pub async fn unwatched(&self) {
        let mut changed = self.changed.subscribe();
        while self.watching.get() > 0 && changed.changed().await.is_ok() {}
    }

    /// Answers a request. Events end when `drain` is cancelled. Inside a local runtime.
    pub fn answer(
        self: &Rc<Self>,
        request: &Request<Bytes>,
        from: From,
        drain: &CancellationToken,
    ) -> Response<Content> {
        let path = request.uri().path();
        if let Some(action) = actions::Action::of(path) {
            return actions::answer(self, request, &action, from).map(Content::Whole);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return only(&[Method::GET, Method::HEAD], "this is for looking only: GET or HEAD")
                .map(Content::Whole);
        }
        if path == "/events" {
            return self.events(request, from, drain);
        }
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept);
        let seen = self.seen.borrow().clone();
        let answer = match path {
            "/" => self.page.get_or_init(|| Page::new(&self.form_token, &self.process)).answer(),
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => readiness(&seen),
            "/metrics" => match self.metrics.encode(format) {
                Ok(encoded) => plain(StatusCode::OK, encoded, format.content_type()),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
            },
            "/status" => plain(StatusCode::OK, status::json(&seen), "application/json"),
            _ => text(
                StatusCode::NOT_FOUND,
                "here are / (a page to look at), /livez, /readyz, /metrics, /status and /events\n",
            ),
        };
        answer.map(Content::Whole)
    }

    fn events(
        self: &Rc<Self>,
        request: &Request<Bytes>,
        from: From,
        drain: &CancellationToken,
    ) -> Response<Content> {
        let whole = |content: &'static str| plain(StatusCode::OK, content, events::CONTENT_TYPE);
        if request.method() == Method::HEAD {
            return whole("").map(Content::Whole);
        }
        let last = request.headers().get("last-event-id").and_then(|last| last.to_str().ok());
        match Events::begin(self, last, from, drain.clone()) {
            Some(events) => whole("").map(|_| Content::Events(events)),
            None => {
                let mut refused = problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many watch already",
                    &format!("{} pages look at these events; close one of them", events::MOST),
                );
                refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                refused.map(Content::Whole)
            }
        }
    }
}

/// Ready is: every eager token is there.
fn readiness(seen: &Seen) -> Response<Bytes> {
    let mut missing = String::new();
    for token in seen.tokens.iter().filter(|token| token.eager) {
        let Supply::One(source) = &token.supply else { continue };
        let now = source.status();
        if now.state != State::Valid {
            // Writing to a String cannot fail.
            let _ = write!(missing, "{} is {}", token.name, status::word(now.state));
            if let Some(error) = now.last_error {
                let _ = write!(missing, ": {error}");
            }
            missing.push('\n');
        }
    }
    if missing.is_empty() {
        text(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, missing, TEXT)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn text(status: StatusCode, content: &'static str) -> Response<Bytes> {
    plain(status, content, TEXT)
}

/// A refusal in words (RFC 9457).
fn problem(status: StatusCode, title: &str, detail: &str) -> Response<Bytes> {
    let problem = serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
    plain(status, problem.to_string(), "application/problem+json")
}

/// The method is none of these (RFC 9110 section 15.5.6).
fn only(methods: &[Method], words: &'static str) -> Response<Bytes> {
    let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, format!("{words}\n"), TEXT);
    let names = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(allow) = HeaderValue::try_from(names) {
        refused.headers_mut().insert(ALLOW, allow);
    }
    refused
}

fn plain(status: StatusCode, content: impl Into<Bytes>, kind: &'static str) -> Response<Bytes> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
