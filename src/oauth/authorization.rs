//! The authorization request and its response (RFC 6749 sections 4.1.1 and 4.1.2): what the browser takes along, and whether
//! what it brings back may be believed.
//!
//! Knows `state`, PKCE's challenge, `iss` (RFC 9207), error codes, and the ways in which a person copies a code. Does not know
//! how the browser comes back, and redeems nothing.

mod set_down;

use std::{borrow::Cow, fmt};

use http::Uri;

use super::{
    Failure, Fault,
    pkce::{self, Verifier},
    refusal::presentable,
    token_request::Sent,
};
use crate::secret::Secret;

/// The parameters that are ours in an authorization request; no parameter may be sent twice (RFC 6749 section 3.1).
pub(super) const OURS: &[&str] = &[
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];
/// The parameters of a response that are looked at. Others are ignored (section 4.1.2).
const LOOKED_AT: &[&str] = &["code", "state", "iss", "error", "error_description"];

/// A login under way: the URL for the browser, and what only we know of it. Redeeming a code consumes it, so its `state` and
/// its verifier are of one use.
pub struct AuthorizationRequest {
    url: String,
    state: Secret,
    verifier: Verifier,
    redirect_uri: Option<String>,
    issuer: Option<ExpectedIssuer>,
}

/// What an authorization request says.
#[derive(Debug)]
pub(super) struct Says<'a> {
    pub client_id: &'a str,
    pub redirect_uri: Option<String>,
    /// The scope, and the parameter that carries it.
    pub scope: Option<(&'a str, &'a str)>,
    /// Further parameters, as a query.
    pub further: &'a str,
    /// Who has to answer, where that is known.
    pub issuer: Option<ExpectedIssuer>,
}

/// Who has to answer (RFC 9207).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpectedIssuer {
    pub identifier: String,
    /// Whether the server promises `iss` in every response (section 3).
    pub promised: bool,
}

/// An authorization code (RFC 6749 section 1.3.1).
#[derive(Debug, PartialEq, Eq)]
pub struct Code(Secret);

/// Why what came back is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No `state`, or not this login's (RFC 6749 section 10.12): somebody else's doing, or an old page. The wait goes on.
    WrongState,
    /// `iss` is missing where the server promises it, or another issuer's (RFC 9207 section 2.4), in words.
    WrongIssuer(String),
    /// The authorization server answered with an error (RFC 6749 section 4.1.2.1), in words that hold no secret.
    Error(String),
    /// There is no code in it.
    NoCode,
}

impl AuthorizationRequest {
    /// A request to `endpoint`, with a `state` and a verifier that nobody can guess.
    pub(super) fn new(endpoint: &Uri, says: Says<'_>) -> Result<Self, Failure> {
        let (state, verifier) = (pkce::unguessable()?, Verifier::random()?);
        let url = url(endpoint, &says, &state, &verifier.challenge())?;
        Ok(Self { url, state, verifier, redirect_uri: says.redirect_uri, issuer: says.issuer })
    }

    /// Where the browser is sent. Holds `state` and the challenge, which are no secrets of the token's.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Judges the query that the browser brought to the redirect URI.
    ///
    /// # Errors
    /// It belongs to another login, comes from another issuer (RFC 9207), or says that the person refused.
    pub fn judge(&self, query: &str) -> Result<Code, Refused> {
        self.judge_whole(&Response::of(query))
    }

    /// Reads what a person pasted: the code alone, or the whole address or query it stands in, whose `state` and `iss` are
    /// then checked as well.
    ///
    /// # Errors
    /// As [`AuthorizationRequest::judge`].
    pub fn pasted(&self, text: &str) -> Result<Code, Refused> {
        let text = text.trim();
        let Some(query) = query_of(text) else {
            return Code::of(text).filter(|_| !text.contains(' ')).ok_or(Refused::NoCode);
        };
        let response = Response::of(query);
        if response.first("state").is_some() {
            return self.judge_whole(&response);
        }
        // The person copied a part of it. What proves that it is ours is then the verifier alone, as with a bare code.
        let promised = false;
        self.judge_rest(&response, promised)
    }

    /// The verifier and the redirect URI, which have to go with the code.
    pub(super) fn into_proof(self) -> (Secret, Option<String>) {
        (self.verifier.into_secret(), self.redirect_uri)
    }

    /// `state` goes before everything else: without it anybody may have sent this, an error too.
    fn judge_whole(&self, response: &Response<'_>) -> Result<Code, Refused> {
        let mut states = response.all("state");
        let (Some(state), None) = (states.next(), states.next()) else { return Err(Refused::WrongState) };
        // Secrets are compared in constant time.
        if Secret::new(state) != self.state {
            return Err(Refused::WrongState);
        }
        self.judge_rest(response, self.issuer.as_ref().is_some_and(|issuer| issuer.promised))
    }

    fn judge_rest(&self, response: &Response<'_>, iss_promised: bool) -> Result<Code, Refused> {
        if let Some(name) = LOOKED_AT.iter().find(|name| response.all(name).nth(1).is_some()) {
            let words =
                format!("the answer says `{name}` twice, which RFC 6749 section 3.1 forbids: log in again");
            return Err(Refused::Error(words));
        }
        self.judge_issuer(response.first("iss"), iss_promised)?;
        if let Some(code) = response.first("error") {
            return Err(Refused::Error(error_in_words(code, response.first("error_description"))));
        }
        response.first("code").and_then(Code::of).ok_or(Refused::NoCode)
    }

    /// An error's issuer counts too (RFC 9207 section 2.4). Where no issuer is known, nothing can be said of `iss`.
    fn judge_issuer(&self, iss: Option<&str>, promised: bool) -> Result<(), Refused> {
        let Some(ExpectedIssuer { identifier, .. }) = &self.issuer else { return Ok(()) };
        match iss {
            Some(iss) if iss == identifier => Ok(()),
            Some(iss) => Err(Refused::WrongIssuer(format!(
                "the answer comes from {:?}, and not from {identifier}: nothing of it is used",
                presentable(iss, &Sent::default())
            ))),
            None if promised => Err(Refused::WrongIssuer(format!(
                "the answer does not say that it comes from {identifier} (`iss`, RFC 9207), though that server promises \
                 to: nothing of it is used"
            ))),
            None => Ok(()),
        }
    }
}

impl Code {
    /// `1*VSCHAR` (RFC 6749 appendix A.11).
    fn of(text: &str) -> Option<Self> {
        let visible = |octet: u8| (0x20..=0x7e).contains(&octet);
        (!text.is_empty() && text.bytes().all(visible)).then(|| Self(Secret::new(text)))
    }

    pub(super) fn into_secret(self) -> Secret {
        self.0
    }
}

impl fmt::Debug for AuthorizationRequest {
    /// Without the URL, which holds `state`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.url.split('?').next();
        f.debug_struct("AuthorizationRequest").field("endpoint", &place).finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongState => f.write_str(
                "this answer belongs to another login: its `state` is missing or not the one that was sent",
            ),
            Self::WrongIssuer(words) | Self::Error(words) => f.write_str(words),
            Self::NoCode => f.write_str(
                "there is no code in it: copy the code that the page shows, or the whole address of the page that the \
                 browser ended on",
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// The first of our parameters that `query`, which is part of an authorization endpoint's own URL, says already.
pub(super) fn said_already(query: &str) -> Option<&'static str> {
    OURS.iter().copied().find(|name| says_parameter(query, name))
}

pub(super) fn says_parameter(query: &str, name: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(own, _)| own == name)
}

/// The endpoint's own query stays (RFC 6749 section 3.1).
fn url(endpoint: &Uri, says: &Says<'_>, state: &Secret, challenge: &str) -> Result<String, Failure> {
    let own = endpoint.query().unwrap_or_default();
    let scope_parameter = says.scope.map(|(name, _)| name).filter(|name| says_parameter(own, name));
    if let Some(name) = said_already(own).or(scope_parameter) {
        let detail =
            format!("the authorization endpoint's URL says `{name}` already, which the login sends itself");
        return Err(Failure::new(Fault::Refused, detail));
    }
    let mut url = endpoint.to_string();
    match endpoint.query() {
        None => url.push('?'),
        Some(query) if query.is_empty() || query.ends_with('&') => {}
        Some(_) => url.push('&'),
    }
    let start = url.len();
    let mut query = form_urlencoded::Serializer::for_suffix(url, start);
    query.append_pair("response_type", "code").append_pair("client_id", says.client_id);
    if let Some(redirect_uri) = &says.redirect_uri {
        query.append_pair("redirect_uri", redirect_uri);
    }
    if let Some((name, scope)) = says.scope {
        query.append_pair(name, scope);
    }
    query.extend_pairs(form_urlencoded::parse(says.further.as_bytes()));
    #[expect(clippy::disallowed_methods, reason = "state goes through the browser and comes back")]
    query.append_pair("state", state.expose());
    query.append_pair("code_challenge", challenge).append_pair("code_challenge_method", pkce::METHOD);
    Ok(query.finish())
}

/// The parameters of a response that are looked at, as often as they are there.
struct Response<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Response<'a> {
    fn of(query: &'a str) -> Self {
        let query = query.strip_prefix('?').unwrap_or(query);
        let parameters = form_urlencoded::parse(query.as_bytes());
        Self(parameters.filter(|(name, _)| LOOKED_AT.contains(&&**name)).collect())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| &**value)
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }
}

/// The query in what a person pasted, where it is more than a code: an address with or without its beginning, or a query.
fn query_of(text: &str) -> Option<&str> {
    let is_response = |query: &str| LOOKED_AT.iter().any(|name| says_parameter(query, name));
    let is_url = text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet))
    });
    let query = match text.split_once('?') {
        Some((_, query)) if is_url => query,
        // What precedes the question mark is an address only if no parameter would be lost with it.
        Some((before, query)) if !is_response(before) && is_response(query) => query,
        None if is_url => "",
        _ if is_response(text) => text,
        _ => return None,
    };
    Some(query.split('#').next().unwrap_or_default())
}

/// An error response (RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0 section 3.1.2.6): whose fault, and what to do.
fn error_in_words(code: &str, description: Option<&str>) -> String {
    let hint = match code {
        "access_denied" => "the person refused, or may not allow it: log in again, and agree",
        "invalid_scope" => "check scope",
        "invalid_target" => "check the resource that is asked for",
        "unauthorized_client" => {
            "the client may not log people in: have grant_type authorization_code allowed for it"
        }
        "unsupported_response_type" => {
            "this server hands out no authorization codes: check authorization_endpoint"
        }
        "invalid_request" => "check authorization_endpoint, client_id and redirect_uri",
        "server_error" | "temporarily_unavailable" => "the server's trouble: log in again later",
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            "the server was not allowed to ask the person: take `prompt` out of authorization_endpoint"
        }
        _ => "log in again",
    };
    let nothing = Sent::default();
    let mut words = format!("the authorization server answered {}", presentable(code, &nothing));
    if let Some(description) =
        description.map(|text| presentable(text, &nothing)).filter(|text| !text.is_empty())
    {
        words = format!("{words} ({description})");
    }
    format!("{words}: {hint}")
}

#[cfg(test)]
mod tests;
