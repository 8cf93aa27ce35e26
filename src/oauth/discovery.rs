//! The metadata of an authorization server (RFC 8414, OpenID Connect Discovery 1.0): where its endpoints are.
//!
//! Knows where metadata is looked for, that its issuer has to be exactly the configured one, and how long it is believed.
//! Does not know what an endpoint is for.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::{
    Failure, Fault,
    place::{Located, Reach},
    refusal,
    response::{self, Asked},
    token_request::Sent,
};
use crate::{
    clock::{Clock, Deadline},
    upstream::{Endpoint, Origin, once::Answer},
};

/// How long metadata is believed.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a stale copy serves until the server is asked again, where it did not answer.
const NEXT_TRY: Duration = Duration::from_secs(60);
/// How long an answer may take while a stale copy can serve.
const PATIENCE_WITH_STALE: Duration = Duration::from_secs(5);

/// An issuer of tokens, and what it says of itself.
pub struct Issuer {
    identifier: String,
    url: Uri,
    endpoint: Arc<Endpoint>,
    reach: Reach,
    clock: Clock,
    /// Fetches that have ended.
    fetches: AtomicU64,
    held: Mutex<Held>,
}

/// What the last fetches brought.
#[derive(Default)]
struct Held {
    metadata: Option<(Arc<Metadata>, Deadline)>,
    failure: Option<Failure>,
}

/// What an authorization server says of itself (RFC 8414 section 2).
#[derive(Debug)]
pub struct Metadata {
    /// Its identifier, which is the configured one.
    pub issuer: String,
    /// Whether every authorization response says `iss` (RFC 9207 section 3).
    pub authorization_response_iss_parameter_supported: bool,
    /// The grant types it takes; `None` where it does not say.
    pub grant_types_supported: Option<Vec<String>>,
    /// How a client may authenticate at its token endpoint; `None` where it does not say.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The scopes it likes to name; empty where it names none.
    pub scopes_supported: Vec<String>,
    endpoints: Vec<(&'static str, Result<Located, String>)>,
}

impl Issuer {
    /// The issuer that is called `identifier`, whose URL is `url`, reached through `endpoint`. `reach` is for the endpoints
    /// that it names.
    pub fn new(identifier: String, url: Uri, endpoint: Arc<Endpoint>, reach: Reach) -> Self {
        Self {
            identifier,
            url,
            endpoint,
            reach,
            clock: Clock::system(),
            fetches: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    /// Its identifier, exactly as it was written.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// The identifier as a URL.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Its metadata: held for an hour, fetched once however many ask at the same time. Where it cannot be fetched anew the
    /// old copy serves.
    ///
    /// # Errors
    /// There is none yet, and it could not be fetched within `patience`.
    pub async fn metadata(&self, patience: Duration) -> Result<Arc<Metadata>, Failure> {
        let seen = self.fetches.load(Ordering::Acquire);
        let mut held = self.held.lock().await;
        let stale = match &held.metadata {
            Some((metadata, believed)) if !self.clock.now().reached(*believed) => return Ok(metadata.clone()),
            Some((metadata, _)) => Some(metadata.clone()),
            None => None,
        };
        // A fetch that ended while this one waited was for this one too.
        if let Some(failure) = held.failure.as_ref().filter(|_| self.fetches.load(Ordering::Acquire) != seen)
        {
            return Err(failure.clone());
        }
        let patience = if stale.is_some() { patience.min(PATIENCE_WITH_STALE) } else { patience };
        let fetched = self.fetch(patience).await;
        let now = self.clock.now();
        let (metadata, believed) = match (fetched, stale) {
            (Ok(metadata), _) => (Arc::new(metadata), FRESH),
            (Err(failure), Some(stale)) => {
                tracing::warn!(issuer = self.identifier, %failure, "no new metadata; the old copy serves");
                (stale, NEXT_TRY)
            }
            (Err(failure), None) => {
                held.failure = Some(failure.clone());
                self.fetches.fetch_add(1, Ordering::Release);
                return Err(failure);
            }
        };
        *held = Held { metadata: Some((metadata.clone(), now.after(believed))), failure: None };
        self.fetches.fetch_add(1, Ordering::Release);
        Ok(metadata)
    }

    /// Asks at both places where metadata may be.
    async fn fetch(&self, patience: Duration) -> Result<Metadata, Failure> {
        let mut problems = Vec::new();
        for path in self.paths() {
            match self.ask(&path, patience).await {
                Ok(metadata) => return Ok(metadata),
                // The server is there, and this is not its place.
                Err(failure) if failure.fault == Fault::Unusable && failure.retry_after.is_none() => {
                    problems.push(failure.detail);
                }
                Err(failure) => return Err(failure),
            }
        }
        // Both places name the same other issuer as a rule: said once.
        problems.dedup_by_key(|problem| {
            let other = problem.find("it is the metadata of").unwrap_or_default();
            problem[other..].to_owned()
        });
        let detail = format!(
            "no usable metadata of the issuer {}: {}. Check issuer, or set token_endpoint and the others instead of it",
            self.identifier,
            problems.join("; ")
        );
        Err(Failure::new(Fault::Unusable, detail))
    }

    /// Inserted before the issuer's path (RFC 8414 section 3.1), and appended to it (OpenID Connect Discovery 1.0 section
    /// 4.1). A terminating slash is dropped in both.
    fn paths(&self) -> [String; 2] {
        let path = self.url.path().trim_end_matches('/');
        [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ]
    }

    async fn ask(&self, path: &str, patience: Duration) -> Result<Metadata, Failure> {
        let url = format!("{}{path}", self.endpoint.origin());
        let url = url.parse().map_err(|problem| {
            Failure::new(Fault::Unusable, format!("issuer makes no URL of metadata: {problem}"))
        })?;
        let place = Located::new(url, self.endpoint.clone());
        let answer = place.exchange(Method::GET, HeaderMap::new(), Bytes::new(), patience).await?;
        let sent = Sent::default();
        let asked = Asked { place: &place.shown, sent: &sent, now: self.clock.now().wall(), bare: false };
        self.read(&answer, asked)
    }

    fn read(&self, answer: &Answer, asked: Asked<'_>) -> Result<Metadata, Failure> {
        let unusable = |problem: &str| refusal::failure(Fault::Unusable, answer, asked, problem);
        match answer.status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => {
                return Err(refusal::failure(Fault::Limited, answer, asked, "too many requests"));
            }
            status if status.is_redirection() => {
                return Err(unusable("redirects are not followed: issuer has to be the final URL"));
            }
            _ => return Err(unusable("no metadata")),
        }
        let members = response::object(answer).map_err(|problem| unusable(&problem))?;
        // Compared as texts, without any normalization (RFC 8414 section 3.3).
        match members.get("issuer").and_then(Value::as_str) {
            Some(issuer) if issuer == self.identifier => Ok(self.metadata_of(&members)),
            Some(other) => {
                let slash = match (other.strip_suffix('/'), self.identifier.strip_suffix('/')) {
                    (Some(other), _) if other == self.identifier => "; a slash at the end is missing",
                    (_, Some(own)) if other == own => "; there is a slash too many at the end",
                    _ => "",
                };
                let other = refusal::presentable(other, asked.sent);
                let problem = format!(
                    "it is the metadata of the issuer {other:?}, not of {:?}, which has to be the same, letter by letter{slash}",
                    self.identifier
                );
                Err(unusable(&problem))
            }
            None => Err(unusable("there is no issuer in it")),
        }
    }

    fn metadata_of(&self, members: &Map<String, Value>) -> Metadata {
        let mut known = vec![self.endpoint.clone()];
        let endpoints = MEMBERS
            .iter()
            .filter_map(|member| Some((*member, members.get(*member).filter(|value| !value.is_null())?)))
            .map(|(member, value)| {
                let located = self.located(value, &mut known);
                (member, located.map_err(|problem| format!("its {member} cannot be used: {problem}")))
            })
            .collect();
        let texts = |member: &str| {
            let texts = members.get(member)?.as_array()?.iter().filter_map(Value::as_str);
            Some(texts.map(str::to_owned).collect::<Vec<_>>())
        };
        Metadata {
            issuer: self.identifier.clone(),
            authorization_response_iss_parameter_supported: members
                .get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            grant_types_supported: texts("grant_types_supported"),
            token_endpoint_auth_methods_supported: texts("token_endpoint_auth_methods_supported"),
            scopes_supported: texts("scopes_supported").unwrap_or_default(),
            endpoints,
        }
    }

    /// One named endpoint; one way to each origin is enough.
    fn located(&self, value: &Value, known: &mut Vec<Arc<Endpoint>>) -> Result<Located, String> {
        let text = value.as_str().ok_or("it is no text")?;
        if text.contains('#') {
            return Err("there is a fragment in it".to_owned());
        }
        let url: Uri = text.parse().map_err(|_| "it is no URL")?;
        let origin = Origin::of(&url)?;
        if self.endpoint.origin().is_https() && !origin.is_https() && !self.reach.allow_cleartext {
            return Err(
                "it is http://, and the issuer https://: what the issuer names is no safer than that; \
                        allow_cleartext = true allows it"
                    .to_owned(),
            );
        }
        if let Some(endpoint) = known.iter().find(|known| *known.origin() == origin) {
            return Ok(Located::new(url, endpoint.clone()));
        }
        let endpoint = self.reach.endpoint(origin)?;
        known.push(endpoint.clone());
        Ok(Located::new(url, endpoint))
    }
}

/// The endpoints that are read of metadata (RFC 8414 section 2, RFC 8628 section 4).
const MEMBERS: &[&str] = &[
    "authorization_endpoint",
    "token_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
];

impl Metadata {
    /// The endpoints that it names and that can be used, each without its query.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.endpoints
            .iter()
            .filter_map(|(member, located)| Some((*member, located.as_ref().ok()?.shown.as_str())))
    }

    /// The endpoint that is called `member`; `None` where none is named.
    ///
    /// # Errors
    /// It cannot be used, and why.
    pub(super) fn endpoint(&self, member: &str) -> Result<Option<Located>, String> {
        match self.endpoints.iter().find(|(named, _)| *named == member) {
            Some((_, located)) => located.clone().map(Some),
            None => Ok(None),
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.identifier).finish()
    }
}

#[cfg(test)]
mod tests;
