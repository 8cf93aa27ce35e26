//! A place at an authorization server: the URL of one endpoint, and how it is reached.
//!
//! Knows that a place is written in the configuration or named by its issuer's metadata, and how one POST goes there. Does
//! not know what is asked, nor what an answer means. What is sent goes to this very URL: redirects are not followed.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};

use super::{Failure, Fault, Keys, discovery::Issuer, grant::Recipe};
use crate::{
    clock::Clock,
    upstream::{
        ConnectError, Endpoint, Origin, Outer, Protocol,
        once::{self, Answer, Problem},
        tls,
    },
};

/// How long an answer may take without `token_request_timeout`. Generous: giving up on an answer that would still have
/// come loses the rotated refresh token in it.
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_KEY: &str = "token_request_timeout";

/// One endpoint of an authorization server.
pub struct Place {
    name: String,
    whereabouts: Whereabouts,
    timeout: Duration,
    /// What an answer without a `Date` is measured by.
    pub clock: Clock,
}

enum Whereabouts {
    Written(Located),
    Named { issuer: Arc<Issuer>, member: &'static str },
}

/// A URL, how it is reached, and how it is shown.
#[derive(Clone, Debug)]
pub struct Located {
    /// The URL, exactly as it was written or named.
    pub url: Uri,
    /// The URL without its query, which may hold what should not be shown.
    pub shown: String,
    endpoint: Arc<Endpoint>,
}

/// How the endpoints of one authorization server are reached, whichever hosts its metadata names.
#[derive(Clone, Debug)]
pub struct Reach {
    /// TLS settings. The server name in them counts for `host` alone.
    pub tls: tls::Settings,
    /// Which of them are reached through an outer proxy.
    pub outer: Outer,
    /// The host that the configuration names, lowercased.
    pub host: String,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Whether `http://` beyond loopback may be spoken.
    pub allow_cleartext: bool,
}

impl Place {
    /// The URL at `key`, else what the metadata of `issuer` names so. One of them has to be there.
    pub fn from_keys(keys: &mut dyn Keys, key: &'static str) -> Option<Self> {
        let timeout = timeout(keys);
        let place = Self::optional(keys, key)?;
        if place.is_none() {
            let fix = format!(
                "add {key} = \"https://…\", or issuer = \"https://…\" where the authorization server has metadata \
                 (RFC 8414, OpenID Connect Discovery)"
            );
            keys.missing(key, &fix);
        }
        Some(Self { timeout: timeout?, ..place? })
    }

    /// As [`Place::from_keys`], where neither has to be there: then it is `Some(None)`. `None` where a problem was reported.
    pub fn optional(keys: &mut dyn Keys, key: &'static str) -> Option<Option<Self>> {
        if let Some((url, endpoint)) = keys.url(key)? {
            return Some(Some(Self::written(keys, url, endpoint)));
        }
        let Some(issuer) = keys.issuer()? else { return Some(None) };
        let name = format!("{} ({key})", issuer.identifier());
        Some(Some(Self::of(keys, name, Whereabouts::Named { issuer, member: key })))
    }

    /// The URL at `key`, which is none that metadata names.
    pub fn fixed(keys: &mut dyn Keys, key: &'static str) -> Option<Self> {
        let timeout = timeout(keys);
        let (url, endpoint) = keys.needed_url(key)?;
        Some(Self { timeout: timeout?, ..Self::written(keys, url, endpoint) })
    }

    fn written(keys: &mut dyn Keys, url: Uri, endpoint: Arc<Endpoint>) -> Self {
        let located = Located::new(url, endpoint);
        Self::of(keys, located.shown.clone(), Whereabouts::Written(located))
    }

    fn of(keys: &mut dyn Keys, name: String, whereabouts: Whereabouts) -> Self {
        let timeout = keys.duration(TIMEOUT_KEY).unwrap_or(TIMEOUT);
        Self { name, whereabouts, timeout, clock: Clock::system() }
    }

    /// What limits, identities and messages go by: the URL without its query, or the issuer and what its metadata calls
    /// this endpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long a whole answer may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The URL.
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn url(&self) -> Result<Uri, Failure> {
        Ok(self.locate().await?.url)
    }

    /// The URL and how it is reached.
    ///
    /// # Errors
    /// It could not be found out, or the metadata does not name it.
    pub async fn locate(&self) -> Result<Located, Failure> {
        match &self.whereabouts {
            Whereabouts::Written(located) => Ok(located.clone()),
            Whereabouts::Named { issuer, member } => {
                named(issuer, member, self.timeout).await?.ok_or_else(|| {
                    let issuer = issuer.identifier();
                    let detail = format!("the metadata of {issuer} names no {member}: set {member}");
                    Failure::new(Fault::Unusable, detail)
                })
            }
        }
    }

    /// As [`Place::locate`]; `None` where there is metadata, and it does not name this endpoint.
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn locate_if_named(&self) -> Result<Option<Located>, Failure> {
        match &self.whereabouts {
            Whereabouts::Written(located) => Ok(Some(located.clone())),
            Whereabouts::Named { issuer, member } => named(issuer, member, self.timeout).await,
        }
    }

    /// Sends one POST to `url`, which is of this place's origin, and reads the whole answer.
    ///
    /// # Errors
    /// None came, or one that is no HTTP or too large.
    pub async fn post(&self, url: Uri, fields: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let located = self.locate().await?;
        if Origin::of(&url).as_ref() != Ok(located.endpoint.origin()) {
            let detail = format!("{} has moved to another origin, and nothing was sent", self.name);
            return Err(Failure::new(Fault::Unusable, detail));
        }
        let place = Located { url, ..located };
        place.exchange(Method::POST, fields, body, self.timeout).await
    }

    /// A recipe that begins with this place: by its URL, or by its issuer, whatever URL that names today.
    pub(super) fn recipe(&self, grant_type: &str) -> Recipe {
        match &self.whereabouts {
            Whereabouts::Written(located) => Recipe::new(grant_type, Some(&located.url)),
            Whereabouts::Named { issuer, .. } => {
                let mut recipe = Recipe::new(grant_type, Some(issuer.url()));
                recipe.part("issuer", issuer.identifier());
                recipe
            }
        }
    }
}

impl Located {
    pub(super) fn new(url: Uri, endpoint: Arc<Endpoint>) -> Self {
        let shown = format!("{}{}", endpoint.origin(), url.path());
        Self { url, shown, endpoint }
    }

    /// Sends one request over a connection of its own, and reads the whole answer.
    pub(super) async fn exchange(
        &self,
        method: Method,
        fields: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = fields;
        let fields = request.headers_mut();
        fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("bearward/", env!("CARGO_PKG_VERSION"))),
        );
        once::exchange(&self.endpoint, request, timeout).await.map_err(|problem| {
            let fault = match problem {
                Problem::NotConnected(ConnectError::TimedOut) | Problem::TimedOut(_) => Fault::TimedOut,
                Problem::NotConnected(_) | Problem::Cut(_) => Fault::Unreachable,
                Problem::TooLarge | Problem::NotHttp(_) | Problem::Request(_) => Fault::Unusable,
            };
            Failure::new(fault, format!("{}: {problem}", self.shown))
        })
    }
}

impl Reach {
    /// The way to `origin`.
    ///
    /// # Errors
    /// No secret may be sent there in cleartext, or the TLS settings do not fit.
    pub fn endpoint(&self, origin: Origin) -> Result<Arc<Endpoint>, String> {
        if !origin.is_https() && !origin.is_loopback() && !self.allow_cleartext {
            return Err(
                "it is http:// beyond loopback, where secrets and tokens would be readable on the way; \
                        allow_cleartext = true allows it"
                    .to_owned(),
            );
        }
        let mut tls = self.tls.clone();
        tls.server_name = tls.server_name.filter(|_| origin.host() == self.host);
        let outer = self
            .outer
            .towards(&origin)
            .map_err(|problem| format!("the proxy on the way there: {problem}"))?;
        Endpoint::through(outer, origin, &tls, Protocol::Auto, self.connect_timeout)
            .map_err(|problem| problem.to_string())
    }
}

impl fmt::Debug for Place {
    /// Without the query, as everywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.name).finish()
    }
}

async fn named(issuer: &Issuer, member: &str, timeout: Duration) -> Result<Option<Located>, Failure> {
    issuer.metadata(timeout).await?.endpoint(member).map_err(|problem| {
        let issuer = issuer.identifier();
        Failure::new(Fault::Unusable, format!("the metadata of {issuer} cannot be followed: {problem}"))
    })
}

fn timeout(keys: &mut dyn Keys) -> Option<Duration> {
    let timeout = keys.duration(TIMEOUT_KEY).unwrap_or(TIMEOUT);
    if timeout.is_zero() {
        keys.wrong(TIMEOUT_KEY, "no answer comes in no time", "a duration such as \"30s\"");
        return None;
    }
    Some(timeout)
}
