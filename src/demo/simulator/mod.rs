//! Simulated providers: authorization server and API of one provider behind one loopback port.
//!
//! Knows what they have in common: the way of a request through scripts, limits and a provider's own rules, and a
//! [`Simulator`] to look at and meddle with. Each provider is one file that knows its rules and nothing of sockets. None
//! of it is reachable from `bearward run`: the tour and the tests are its only users.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::{Clock, Deadline, Moment};

pub mod answer;
pub mod apicbase;
mod authorization;
pub mod authorization_server;
mod browser;
mod clients;
pub mod codes;
pub mod cybrid;
pub mod cymbio;
mod device;
pub mod inventorum;
mod metadata;
mod pages;
pub mod person;
pub mod record;
pub mod resource_server;
mod revocation;
mod running;
pub mod server;
pub mod shopware;
pub mod strict;
pub mod tokens;
pub mod wire;

pub use answer::{Answer, Then};
pub use apicbase::Apicbase;
pub use authorization_server::AuthorizationServer;
pub use cybrid::Cybrid;
pub use cymbio::Cymbio;
pub use inventorum::Inventorum;
pub use person::Person;
pub use record::{ApiRequest, Counts, Outcome, TokenRequest};
pub use resource_server::{ResourceServer, Resources};
pub use running::Simulator;
pub use shopware::Shopware;

use answer::Reply;
use record::Record;
use tokens::{Access, Refused, Standing, Tokens};
use wire::{Call, Parameters, Refusal};

/// What tells one provider from another.
trait Provider: Send + Sync + 'static {
    /// The token endpoint's path, exactly.
    fn token_endpoint(&self) -> &'static str;

    /// The body of a token request.
    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal>;

    /// A token request: who asks, for what.
    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal>;

    /// The answer to a token request too many.
    fn limited(&self) -> Answer {
        let error = json!({ "error": "rate_limited", "error_description": "too many requests" });
        Answer::json(StatusCode::TOO_MANY_REQUESTS, &error)
    }

    /// Whether a path, not the token endpoint's, is the authorization server's rather than the API's.
    fn is_endpoint(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Every other request.
    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer;
}

/// A granted token.
struct Grant {
    /// The token response, to be sent as JSON.
    response: Value,
    token: String,
    subject: String,
}

impl Grant {
    fn new(token: String, response: Value) -> Self {
        Self { response, token, subject: String::new() }
    }
}

/// Why a request to the API is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unauthorized {
    /// It carries no token.
    Bare,
    /// Its token is expired, taken back or unknown.
    Dead,
}

/// What a provider's rules work with while they look at one request.
struct Desk<'a> {
    tokens: &'a mut Tokens,
    record: &'a mut Record,
    now: Moment,
}

impl Desk<'_> {
    /// What the access token that a request carries allows; counted, where there is none or a dead one.
    fn bearer(&mut self, call: &Call) -> Result<Access, Unauthorized> {
        let counts = &mut self.record.counts;
        let Some(token) = call.bearer() else {
            counts.bare_requests_seen += 1;
            return Err(Unauthorized::Bare);
        };
        match self.tokens.standing(token, self.now) {
            Standing::Alive(access) => return Ok(access),
            Standing::Expired => counts.expired_tokens_seen += 1,
            Standing::Revoked => counts.revoked_tokens_seen += 1,
            Standing::Unknown => counts.unknown_tokens_seen += 1,
        }
        Err(Unauthorized::Dead)
    }

    /// Counts a refused refresh token.
    fn refused(&mut self, refused: Refused) -> Refusal {
        match refused {
            Refused::Dead => self.record.counts.dead_refresh_tokens_seen += 1,
            Refused::Unknown => self.record.counts.unknown_refresh_tokens_seen += 1,
        }
        Refusal::grant("the refresh token is dead or was never issued")
    }
}

/// What requests and the test (or the tour) share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Token requests wait before they are looked at.
    barred: watch::Sender<bool>,
    /// Token responses wait before they are sent.
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    tokens: Tokens,
    record: Record,
    limit: Option<Limit>,
    failing: Option<Answer>,
    next_token_answers: VecDeque<Answer>,
    next_answers: VecDeque<(String, Answer)>,
    failing_paths: Vec<(String, Answer)>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    until: Deadline,
    retry_after: Option<Duration>,
}

impl Shared {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::system(),
            state: Mutex::new(state),
            barred: watch::channel(false).0,
            held: watch::channel(false).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way of a request.
async fn respond(provider: Arc<impl Provider>, shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let call = Call::read(request, shared.clock.now()).await;
    if call.path != provider.token_endpoint() {
        let answer = api_answer(&*provider, &mut shared.state(), call);
        return answer.into_reply().await;
    }
    // The senders of these channels live in `shared`, so waiting cannot fail.
    let _ = shared.barred.subscribe().wait_for(|barred| !barred).await;
    let answer = token_answer(&*provider, &mut shared.state(), &call);
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    answer.into_reply().await
}

fn token_answer(provider: &impl Provider, state: &mut State, call: &Call) -> Answer {
    let parsed = provider.parameters(call);
    let parameters = parsed.clone().unwrap_or_default();
    let (answer, outcome) = if let Some(limit) = state.limit.filter(|limit| !call.at.reached(limit.until)) {
        (limited(provider, limit), Outcome::Limited)
    } else if let Some(answer) = state.next_token_answers.pop_front().or_else(|| state.failing.clone()) {
        (answer, Outcome::Scripted)
    } else if call.method != Method::POST {
        let answer = Answer::status(StatusCode::METHOD_NOT_ALLOWED).field(header::ALLOW, "POST");
        (answer, Outcome::Refused("invalid_request"))
    } else {
        let State { tokens, record, .. } = state;
        let mut desk = Desk { tokens, record, now: call.at };
        match parsed.and_then(|parameters| provider.grant(call, &parameters, &mut desk)) {
            Ok(Grant { response, token, subject }) => {
                (granted(&response), Outcome::Granted { token, subject })
            }
            Err(refusal) => {
                let error = refusal.error;
                (refusal.into_answer(), Outcome::Refused(error))
            }
        }
    };
    let grant = parameters.one("grant_type").unwrap_or_default().to_owned();
    let request = TokenRequest { at: call.at, endpoint: call.path.clone(), grant, parameters, outcome };
    state.record.token_request(request);
    answer
}

fn granted(response: &Value) -> Answer {
    Answer::json(StatusCode::OK, response).field(header::CACHE_CONTROL, "no-store")
}

fn limited(provider: &impl Provider, limit: Limit) -> Answer {
    let answer = provider.limited();
    match limit.retry_after {
        Some(span) => answer.field(header::RETRY_AFTER, &span.as_secs().to_string()),
        None => answer,
    }
}

fn api_answer(provider: &impl Provider, state: &mut State, call: Call) -> Answer {
    let scripted = state.next_answers.iter().position(|(prefix, _)| call.path.starts_with(prefix));
    let failing = state.failing_paths.iter().find(|(prefix, _)| call.path.starts_with(prefix));
    let failing = failing.map(|(_, answer)| answer.clone());
    let scripted = scripted.and_then(|at| state.next_answers.remove(at)).map(|(_, answer)| answer);
    let answer = if let Some(answer) = scripted.or(failing) {
        answer
    } else {
        let State { tokens, record, .. } = state;
        provider.api(&call, &mut Desk { tokens, record, now: call.at })
    };
    let request = ApiRequest { status: answer.code(), call };
    match provider.is_endpoint(&request.call.path) {
        true => state.record.endpoint_request(request),
        false => state.record.api_request(request),
    }
    answer
}

/// The answer of an API to a token that is no good, as RFC 6750 section 3.1 has it, with the provider's own `error` beside.
fn challenge(why: Unauthorized, error: &Value) -> Answer {
    let challenge = match why {
        Unauthorized::Bare => "Bearer realm=\"simulator\"",
        Unauthorized::Dead => "Bearer realm=\"simulator\", error=\"invalid_token\"",
    };
    Answer::json(StatusCode::UNAUTHORIZED, error).field(header::WWW_AUTHENTICATE, challenge)
}

/// Puts `members` in the place of what `content` says; null leaves a member out.
fn overridden(content: &mut Value, members: &serde_json::Map<String, Value>) {
    for (name, value) in members {
        content[name] = value.clone();
    }
    if let Value::Object(own) = content {
        own.retain(|_, value| !value.is_null());
    }
}

/// A small resource that says what was asked for, and for whom.
fn resource(provider: &str, call: &Call, access: &Access) -> Answer {
    let mut content = json!({ "provider": provider, "method": call.method.as_str(), "path": call.path });
    if !access.subject.is_empty() {
        content["subject"] = json!(access.subject);
    }
    if call.length > 0 {
        content["received"] = json!(call.length);
    }
    Answer::json(StatusCode::OK, &content)
}

#[cfg(test)]
mod tests;
