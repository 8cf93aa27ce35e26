//! An API of no provider: it takes the tokens that one authorization server has issued, and answers as it is told.
//!
//! Knows scripts, an echo for comparisons, and bodies of any size in constant memory, both ways. Does not issue tokens.
//!
//! Without a script, `/body` sends the request's content back while it arrives, `/zeros/N` sends N octets, and every other
//! path answers a JSON echo of method, target, fields (in order) and content.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::{
    Answer, ApiRequest, Counts, Desk, Shared, Simulator,
    answer::Reply,
    inventorum::TOKEN_INVALID,
    record::Record,
    server::{ANY_PORT, Server},
    wire::Call,
};

/// An API, before its start.
#[derive(Debug)]
pub struct ResourceServer {
    issuer: Arc<Shared>,
    rejection: Answer,
    scripts: Vec<Script>,
    address: SocketAddr,
}

/// What is answered on a path, whatever token comes.
#[derive(Clone, Debug)]
struct Script {
    prefix: String,
    answer: Answer,
    /// How often yet; `None` for ever.
    left: Option<usize>,
}

/// A running API. Dropping it closes its port.
#[derive(Debug)]
pub struct Resources {
    server: Server,
    seen: Arc<Seen>,
}

#[derive(Debug)]
struct Seen {
    issuer: Arc<Shared>,
    rejection: Answer,
    state: Mutex<(Vec<Script>, Record)>,
}

impl ResourceServer {
    /// Takes the living tokens of `issuer`; answers others as Inventorum does.
    pub fn new(issuer: &Simulator) -> Self {
        let rejection = Answer::status(StatusCode::UNAUTHORIZED)
            .field(header::CONTENT_TYPE, "application/json")
            .content(TOKEN_INVALID);
        Self { issuer: Arc::clone(&issuer.shared), rejection, scripts: Vec::new(), address: ANY_PORT }
    }

    /// Answers dead, unknown and absent tokens so.
    #[must_use]
    pub fn rejecting_with(mut self, answer: Answer) -> Self {
        self.rejection = answer;
        self
    }

    /// Answers every request whose path begins with `prefix` so, whatever token it carries.
    #[must_use]
    pub fn always(mut self, prefix: &str, answer: Answer) -> Self {
        self.scripts.push(Script { prefix: prefix.to_owned(), answer, left: None });
        self
    }

    /// Answers the next request whose path begins with `prefix` so; several queue up.
    #[must_use]
    pub fn answer(mut self, prefix: &str, answer: Answer) -> Self {
        self.scripts.push(Script { prefix: prefix.to_owned(), answer, left: Some(1) });
        self
    }

    /// Listens at `address`, as one that comes back does.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(self) -> io::Result<Resources> {
        let state = Mutex::new((self.scripts, Record::default()));
        let seen = Arc::new(Seen { issuer: self.issuer, rejection: self.rejection, state });
        let served = Arc::clone(&seen);
        let service = move |request| respond(Arc::clone(&served), request);
        Ok(Resources { server: Server::start(self.address, service).await?, seen })
    }
}

impl Resources {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.seen.state().1.counts
    }

    /// The requests, the oldest first, the last ten thousand. The content of `/body` is not among what is kept.
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.seen.state().1.api_requests().cloned().collect()
    }

    /// Answers the next request whose path begins with `prefix` so; several queue up.
    pub fn answer_next(&self, prefix: &str, answer: Answer) {
        self.seen.state().0.push(Script { prefix: prefix.to_owned(), answer, left: Some(1) });
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, (Vec<Script>, Record)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scripted(&self, path: &str) -> Option<Answer> {
        let scripts = &mut self.state().0;
        let at = scripts.iter().position(|script| path.starts_with(&script.prefix))?;
        let answer = scripts[at].answer.clone();
        if let Some(left) = &mut scripts[at].left {
            *left -= 1;
            if *left == 0 {
                scripts.remove(at);
            }
        }
        Some(answer)
    }

    fn admits(&self, call: &Call) -> bool {
        let mut issuer = self.issuer.state();
        let mut state = self.state();
        let mut desk = Desk { tokens: &mut issuer.tokens, record: &mut state.1, now: call.at };
        desk.bearer(call).is_ok()
    }

    fn keep(&self, call: Call, status: Option<StatusCode>) {
        self.state().1.api_request(ApiRequest { call, status });
    }
}

async fn respond(seen: Arc<Seen>, request: Request<Incoming>) -> Reply {
    let (head, incoming) = request.into_parts();
    let arrived = Call::head(&head, seen.issuer.clock.now());
    let scripted = seen.scripted(&arrived.path);
    let admitted = seen.admits(&arrived);
    if scripted.is_none() && admitted && arrived.path == "/body" {
        return body_back(&seen, arrived, incoming);
    }
    let call = Call::read(Request::from_parts(head, incoming), arrived.at).await;
    let answer = match scripted {
        Some(answer) => answer,
        None if !admitted => seen.rejection.clone(),
        None => match call.path.strip_prefix("/zeros/").and_then(|length| length.parse().ok()) {
            Some(length) => Answer::zeros(length),
            None => echo(&call),
        },
    };
    seen.keep(call, answer.code());
    answer.into_reply().await
}

/// The request's content, sent back while it arrives.
fn body_back(seen: &Seen, call: Call, incoming: Incoming) -> Reply {
    let mut response = Response::new(incoming.boxed_unsync());
    if let Some(kind) = call.fields.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    seen.keep(call, Some(StatusCode::OK));
    Reply::Response(response)
}

/// What arrived, the access token left out.
fn echo(call: &Call) -> Answer {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let shown = match *name == header::AUTHORIZATION {
            true => "(shown to nobody)".into(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        json!([name.as_str(), shown])
    };
    let fields: Vec<_> = call.fields.iter().map(field).collect();
    let content = String::from_utf8_lossy(&call.body);
    let value = json!({
        "method": call.method.as_str(),
        "target": call.target,
        "fields": fields,
        "length": call.length,
        "content": content,
    });
    Answer::json(StatusCode::OK, &value)
}
