//! The token endpoint (RFC 6749 section 3.2): one token request and its answer.
//!
//! Knows where tokens are asked for, how the client authenticates there, and what goes with every request. Does not know
//! grants: each brings its own parameters. The secrets go to the configured origin and are sent once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use serde_json::{Map, Value};

use super::{
    Failure, Fault, Granted, Keys,
    client_auth::{self, ClientAuthentication},
    grant::Recipe,
    response::{self, Asked},
    token_request::{Encoding, TokenRequest},
};
use crate::{
    clock::Clock,
    secret::SecretError,
    upstream::{
        ConnectError, Endpoint,
        once::{self, Answer, Problem},
    },
};

/// How long an answer may take without `token_request_timeout`. Generous: giving up on an answer that would still have
/// come loses the rotated refresh token in it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Parameters that have keys of their own, or that a grant sends.
const NOT_AMONG_PARAMETERS: &[&str] =
    &["grant_type", "client_id", "client_secret", "username", "password", "refresh_token"];

/// A URL that tokens are asked for at, and how it is reached.
#[derive(Debug)]
pub struct Place {
    /// The URL, exactly as configured.
    pub url: Uri,
    shown: String,
    endpoint: Arc<Endpoint>,
    timeout: Duration,
    /// What an answer without a `Date` is measured by.
    pub clock: Clock,
}

/// A token endpoint, and what goes with every request to it.
#[derive(Debug)]
pub struct TokenEndpoint {
    place: Place,
    authentication: Arc<dyn ClientAuthentication>,
    encoding: Encoding,
    scope: Option<String>,
    scope_parameter: String,
    parameters: Map<String, Value>,
}

impl TokenEndpoint {
    /// Reads its keys; `None` where problems were reported.
    pub fn from_keys(keys: &mut dyn Keys) -> Option<Self> {
        let place = Place::from_keys(keys, "token_endpoint");
        let authentication = client_auth::from_keys(keys);
        let encoding = encoding(keys);
        let scope = keys.words("scope").filter(|scope| !scope.is_empty());
        let scope_parameter = scope_parameter(keys);
        let parameters =
            parameters(keys, encoding, scope.is_some().then_some(scope_parameter.as_deref()).flatten());
        Some(Self {
            place: place?,
            authentication: authentication?,
            encoding: encoding?,
            scope,
            scope_parameter: scope_parameter?,
            parameters: parameters?,
        })
    }

    /// The URL, as rate limits are shared by.
    pub fn url(&self) -> &str {
        &self.place.shown
    }

    /// Asks for a token: adds to `request` what goes with every request, sends it once, and reads the answer.
    ///
    /// # Errors
    /// A secret cannot be read, or no usable token came.
    pub async fn request(&self, mut request: TokenRequest) -> Result<Granted, Failure> {
        if let Some(scope) = self.scope.as_ref().filter(|_| request.wants_scope) {
            request.text(self.scope_parameter.clone(), scope);
        }
        self.authentication.authenticate(&mut request)?;
        for (name, value) in &self.parameters {
            request.json(name.clone(), value.clone());
        }
        let (fields, body, sent) = request.encode(self.encoding);
        let answer = self.place.post(self.place.url.clone(), fields, body).await?;
        let now = self.place.clock.now().wall();
        response::read(&answer, Asked { place: &self.place.shown, sent: &sent, now, bare: false })
    }

    /// A recipe with all that goes with every request to this endpoint.
    pub fn recipe(&self, grant_type: &str) -> Recipe {
        let mut recipe = Recipe::new(grant_type, Some(&self.place.url));
        self.authentication.describe(&mut recipe);
        recipe.part("encoding", if self.encoding == Encoding::Json { "json" } else { "form" });
        if let Some(scope) = &self.scope {
            recipe.part("scope", scope);
            recipe.part("scope_parameter", &self.scope_parameter);
        }
        recipe.part("parameters", &Value::Object(self.parameters.clone()).to_string());
        recipe
    }
}

impl Place {
    /// Reads the URL at `key` and `token_request_timeout`.
    pub fn from_keys(keys: &mut dyn Keys, key: &'static str) -> Option<Self> {
        const TIMEOUT_KEY: &str = "token_request_timeout";
        let place = keys.needed_url(key);
        let timeout = keys.duration(TIMEOUT_KEY).unwrap_or(TIMEOUT);
        if timeout.is_zero() {
            keys.wrong(TIMEOUT_KEY, "no answer comes in no time", "a duration such as \"30s\"");
            return None;
        }
        let (url, endpoint) = place?;
        let shown = format!("{}{}", endpoint.origin(), url.path());
        Some(Self { url, shown, endpoint, timeout, clock: Clock::system() })
    }

    /// The URL without its query, which may hold what should not be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Sends one POST to `url`, which is of this place's origin, and reads the whole answer.
    ///
    /// # Errors
    /// None came, or one that is no HTTP or too large.
    pub async fn post(&self, url: Uri, fields: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        *request.headers_mut() = fields;
        let fields = request.headers_mut();
        fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("bearward/", env!("CARGO_PKG_VERSION"))),
        );
        once::exchange(&self.endpoint, request, self.timeout).await.map_err(|problem| {
            let fault = match problem {
                Problem::NotConnected(ConnectError::TimedOut) | Problem::TimedOut(_) => Fault::TimedOut,
                Problem::NotConnected(_) | Problem::Cut(_) => Fault::Unreachable,
                Problem::TooLarge | Problem::NotHttp(_) | Problem::Request(_) => Fault::Unusable,
            };
            Failure::new(fault, format!("{}: {problem}", self.shown))
        })
    }
}

impl From<SecretError> for Failure {
    fn from(problem: SecretError) -> Self {
        Self::new(Fault::Secret, problem.to_string())
    }
}

fn encoding(keys: &mut dyn Keys) -> Option<Encoding> {
    match keys.text("encoding").as_deref() {
        None | Some("form") => Some(Encoding::Form),
        Some("json") => Some(Encoding::Json),
        Some(other) => {
            keys.wrong("encoding", &format!("no such encoding: {other:?}"), "\"form\" or \"json\"");
            None
        }
    }
}

fn scope_parameter(keys: &mut dyn Keys) -> Option<String> {
    const KEY: &str = "scope_parameter";
    let name = keys.text(KEY).unwrap_or_else(|| "scope".to_owned());
    if name.is_empty() || NOT_AMONG_PARAMETERS.contains(&name.as_str()) {
        keys.wrong(
            KEY,
            &format!("{name:?} cannot carry the scope"),
            "\"scope\", or the name the server documents",
        );
        return None;
    }
    Some(name)
}

/// No parameter may be sent twice (RFC 6749 section 3.2).
fn parameters(
    keys: &mut dyn Keys,
    encoding: Option<Encoding>,
    scope: Option<&str>,
) -> Option<Map<String, Value>> {
    const KEY: &str = "parameters";
    let parameters = keys.object(KEY).unwrap_or_default();
    let mut good = true;
    for (name, value) in &parameters {
        if NOT_AMONG_PARAMETERS.contains(&name.as_str()) || scope == Some(name.as_str()) {
            let problem = format!("{name:?} is sent already, and no parameter may be sent twice");
            keys.wrong(KEY, &problem, "take it out of parameters; it has a key of its own");
            good = false;
        }
        let nested = match value {
            Value::Array(entries) => entries.iter().any(|entry| entry.is_object() || entry.is_array()),
            other => other.is_object(),
        };
        if nested && encoding == Some(Encoding::Form) {
            keys.wrong(
                KEY,
                &format!("{name:?} is a table, which a form cannot say"),
                "a text, or encoding = \"json\"",
            );
            good = false;
        }
    }
    good.then_some(parameters)
}
