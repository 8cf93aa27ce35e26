//! The authorization endpoint (RFC 6749 section 3.1): a person is asked, and a code goes back to the client.
//!
//! Knows which requests it may answer with a redirect and which it must not (section 4.1.2.1), registered redirect URIs
//! (RFC 8252 section 7.3) and `iss` (RFC 9207). Does not know what a code is exchanged for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, header};

use super::{
    Answer, Desk,
    codes::{Binding, Codes},
    pages::{self, Question},
    tokens::{Login, fresh},
    wire::{Call, Parameters, Refusal},
};
use crate::clock::Moment;

/// An authorization endpoint. Clones share what is open at it.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) path: &'static str,
    /// The one client it knows; `None` where anybody may come.
    pub(super) client_id: Option<String>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) code_lifetime: Duration,
    /// Whether a request without a scope is refused (RFC 6749 section 3.3).
    pub(super) scope_needed: bool,
    /// Whether a request without a PKCE challenge is refused.
    pub(super) challenge_needed: bool,
    pub(super) iss: Iss,
    open: Arc<Mutex<Open>>,
}

/// What a response names as its issuer (RFC 9207).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Iss {
    /// Nothing.
    Absent,
    /// The server's own, at this path of it.
    Own(String),
    /// This text.
    Other(String),
}

#[derive(Debug, Default)]
struct Open {
    asked: HashMap<String, Asked>,
    codes: Codes,
}

/// A request that a person is looking at.
#[derive(Debug)]
struct Asked {
    back: Back,
    binding: Binding,
    scope: Vec<String>,
}

/// Where the browser goes afterwards.
#[derive(Clone, Debug, Default)]
struct Back {
    /// `None`: nowhere, a page shows the code.
    redirect_uri: Option<String>,
    state: Option<String>,
    iss: Option<String>,
}

type Query = [(String, String)];

impl Authorization {
    pub(super) fn new(path: &'static str) -> Self {
        Self {
            path,
            client_id: None,
            redirect_uris: Vec::new(),
            code_lifetime: Duration::from_secs(60),
            scope_needed: false,
            challenge_needed: false,
            iss: Iss::Absent,
            open: Arc::default(),
        }
    }

    /// The page, or what a person decided on it.
    pub(super) fn answer(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        match call.method {
            Method::GET => self.ask(call),
            Method::POST => self.decided(call, desk),
            _ => Answer::status(StatusCode::METHOD_NOT_ALLOWED).field(header::ALLOW, "GET, POST"),
        }
    }

    /// The login that the code of a token request stands for; the code is used up.
    ///
    /// # Errors
    /// As [`Codes::redeem`].
    pub(super) fn redeem(
        &self,
        parameters: &Parameters,
        client_id: &str,
        desk: &mut Desk<'_>,
    ) -> Result<Login, Refusal> {
        self.open().codes.redeem(parameters, client_id, desk)
    }

    /// Notes what `code` has led to.
    pub(super) fn gave(&self, code: &str, token: &str, refresh_token: Option<&str>) {
        self.open().codes.gave(code, token, refresh_token);
    }

    /// A code without pages, as if a person had just allowed it.
    pub(super) fn code(&self, binding: Binding, login: Login, now: Moment) -> String {
        self.open().codes.issue(binding, login, now, self.code_lifetime)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody is sent to an address that is not the client's: until that is known, a person is told.
    fn ask(&self, call: &Call) -> Answer {
        let query = call.query();
        let back = match self.way_back(&query, call) {
            Ok(back) => back,
            Err(problem) => return pages::wrong(&problem),
        };
        let asked = match self.asked(&query, back.clone()) {
            Ok(asked) => asked,
            Err(refusal) => return back.error(refusal.error, &refusal.description),
        };
        let ticket = fresh("request");
        let page = pages::consent(&Question {
            action: self.path,
            hidden: &[("request", &ticket)],
            client_id: &asked.binding.client_id,
            scope: &asked.scope,
        });
        self.open().asked.insert(ticket, asked);
        page
    }

    fn way_back(&self, query: &Query, call: &Call) -> Result<Back, String> {
        let client_id = once(query, "client_id")?.ok_or("the client_id is missing")?;
        if self.client_id.as_deref().is_some_and(|known| known != client_id) {
            return Err("no such client".to_owned());
        }
        let redirect_uri = match (once(query, "redirect_uri")?, &self.redirect_uris[..]) {
            (Some(given), registered) => {
                let known = registered.iter().any(|registered| is_registered(registered, given));
                known.then(|| Some(given.to_owned())).ok_or("the redirect_uri is not registered")?
            }
            (None, []) => None,
            (None, [only]) => Some(only.clone()),
            // RFC 6749 section 3.1.2.3.
            (None, _) => return Err("several redirect URIs are registered: say which".to_owned()),
        };
        let iss = match &self.iss {
            Iss::Absent => None,
            Iss::Own(path) => Some(call.origin() + path),
            Iss::Other(text) => Some(text.clone()),
        };
        Ok(Back { redirect_uri, state: once(query, "state").ok().flatten().map(str::to_owned), iss })
    }

    fn asked(&self, query: &Query, back: Back) -> Result<Asked, Refusal> {
        // RFC 6749 section 3.1: parameters that it does not know are ignored, none may come twice.
        for (name, _) in query {
            once(query, name).map_err(|problem| Refusal::request(&problem))?;
        }
        let one = |name| query.iter().find(|(given, value)| given == name && !value.is_empty());
        let one = |name| one(name).map(|(_, value)| value.as_str());
        match one("response_type") {
            Some("code") => {}
            Some(_) => return Err(Refusal::other("unsupported_response_type", "the response_type is code")),
            None => return Err(Refusal::request("the response_type is missing")),
        }
        let challenge = self.challenge(one("code_challenge"), one("code_challenge_method"))?;
        let scope = one("scope").map(scope_tokens).transpose()?.unwrap_or_default();
        if self.scope_needed && scope.is_empty() {
            return Err(Refusal::scope("the scope is missing"));
        }
        let binding = Binding {
            client_id: one("client_id").unwrap_or_default().to_owned(),
            redirect_uri: one("redirect_uri").map(str::to_owned),
            challenge,
        };
        Ok(Asked { back, binding, scope })
    }

    /// S256 alone; plain, the default of RFC 7636 section 4.3, is refused.
    fn challenge(&self, challenge: Option<&str>, method: Option<&str>) -> Result<Option<String>, Refusal> {
        match (challenge, method) {
            (None, None) if self.challenge_needed => Err(Refusal::request("the code_challenge is missing")),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Refusal::request("a code_challenge_method without a code_challenge")),
            (Some(challenge), Some("S256")) if is_s256(challenge) => Ok(Some(challenge.to_owned())),
            (Some(_), Some("S256")) => Err(Refusal::request("the code_challenge is no SHA-256 in base64url")),
            (Some(_), _) => Err(Refusal::request("the code_challenge_method is S256")),
        }
    }

    fn decided(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        let form = match call.form() {
            Ok(form) => form,
            Err(refusal) => return pages::wrong(&refusal.description),
        };
        let mut open = self.open();
        let asked = form.one("request").and_then(|ticket| open.asked.remove(ticket));
        let Some(Asked { back, binding, scope }) = asked else {
            return pages::wrong("this page was used before, or is none of ours");
        };
        match (form.one("decision"), form.one("username").filter(|name| !name.is_empty())) {
            (Some("allow"), Some(username)) => {
                let login = Login { subject: username.to_owned(), scope };
                let code = open.codes.issue(binding, login, desk.now, self.code_lifetime);
                desk.record.counts.logins += 1;
                back.code(&code)
            }
            (Some("allow"), None) => pages::wrong("nobody is logged in: the login name is missing"),
            _ => back.error("access_denied", "the person refused"),
        }
    }
}

impl Back {
    /// The browser brings the code back, or shows it.
    fn code(&self, code: &str) -> Answer {
        self.redirect(&[("code", code)]).unwrap_or_else(|| pages::code(code))
    }

    fn error(&self, error: &str, description: &str) -> Answer {
        let answer = self.redirect(&[("error", error), ("error_description", description)]);
        answer.unwrap_or_else(|| pages::wrong(&format!("{error}: {description}")))
    }

    /// `None` where there is nowhere to go.
    fn redirect(&self, parameters: &[(&str, &str)]) -> Option<Answer> {
        let redirect_uri = self.redirect_uri.as_deref()?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        query.extend_pairs(self.state.iter().map(|state| ("state", state)));
        query.extend_pairs(self.iss.iter().map(|iss| ("iss", iss)));
        let mark = if redirect_uri.contains('?') { '&' } else { '?' };
        let location = format!("{redirect_uri}{mark}{}", query.finish());
        // RFC 9700 section 4.12: never a 307, which would send the login form on.
        let answer = Answer::status(StatusCode::SEE_OTHER).field(header::LOCATION, &location);
        Some(answer.field(header::CACHE_CONTROL, "no-store").field(header::REFERRER_POLICY, "no-referrer"))
    }
}

/// The one value of a parameter; one without a value counts as absent (RFC 6749 section 3.1).
fn once<'a>(query: &'a Query, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = query.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let value = values.next().filter(|value| !value.is_empty());
    match values.next() {
        None => Ok(value),
        Some(_) => Err(format!("the parameter {name} is there twice")),
    }
}

/// Compared octet for octet, but for the port of a loopback one (RFC 8252 section 7.3).
fn is_registered(registered: &str, given: &str) -> bool {
    let without_port = |uri| loopback_without_port(uri);
    registered == given
        || without_port(registered).is_some_and(|registered| without_port(given) == Some(registered))
}

/// Host and what follows the port of an `http` URI on loopback. `localhost` is treated like the literals, as servers do.
fn loopback_without_port(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| authority.starts_with(host))?;
    let port = &authority[host.len()..];
    let is_port = |port: &str| port.parse::<u16>().is_ok() && !port.starts_with('+');
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some((host, path))
}

/// RFC 6749 section 3.3.
pub(super) fn scope_tokens(scope: &str) -> Result<Vec<String>, Refusal> {
    let allowed = |octet: u8| matches!(octet, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let tokens: Vec<_> = scope.split(' ').map(str::to_owned).collect();
    match tokens.iter().all(|token| !token.is_empty() && token.bytes().all(allowed)) {
        true => Ok(tokens),
        false => Err(Refusal::scope("the scope is no list of words between single spaces")),
    }
}

fn is_s256(challenge: &str) -> bool {
    challenge.len() == 43
        && challenge.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
}
