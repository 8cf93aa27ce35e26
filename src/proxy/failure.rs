//! The answers of bearward's own: whose fault, what, and when to try again, as problem+json.
//!
//! Knows how a failure looks to the application (RFC 9457, RFC 9209, RFC 9110 section 10.2.3). Does not know how it came
//! about. Never a 401: an application would take that for its own login. No secret is in any of them.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::body::ResponseBody;
use crate::{
    token::{Cause, Unavailable},
    upstream::{ConnectError, client::SendError},
    wire::Answer,
};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What went wrong, as the application is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed, or its body was cut or broke its framing.
    Malformed,
    /// The path could mean another upstream than the one it seems to name.
    AmbiguousPath,
    /// The request names no subject where its token needs one.
    NoSubject,
    /// The request comes from a web page of another site.
    ForeignPage,
    /// The forward proxy leads to no such destination.
    Unlisted,
    /// The destination has an address that only a configured upstream may have.
    ProhibitedAddress,
    /// No upstream has this path or host.
    NoRoute,
    /// The request's body stood still for too long.
    BodyTooSlow,
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
    /// The Host is none of this listener's.
    UnknownHost,
    /// The request's target alone is too long.
    TargetTooLong,
    /// The request's head is too large.
    HeadTooLarge,
    /// A panic, caught.
    Panic,
    /// CONNECT to what is no forward proxy, TRACE, or an upgrade that cannot pass.
    NotImplemented,
    /// A version of HTTP that is not spoken here.
    Version,
    /// The request has been here before.
    Loop,
    /// The upstream's name does not resolve.
    Resolve,
    /// The upstream refused the connection.
    Refused,
    /// TLS with the upstream failed.
    Tls,
    /// The upstream ended the connection before an answer.
    Cut,
    /// The upstream's answer is not valid HTTP.
    NotHttp,
    /// The upstream's answer has too large a head.
    AnswerHeadTooLarge,
    /// The authorization server refused the credentials.
    CredentialsRefused,
    /// No token for now.
    NoToken,
    /// A person has to log in.
    LoginRequired,
    /// bearward is stopping.
    Stopping,
    /// As many requests are under way as may be.
    Full,
    /// Connecting to the upstream took too long.
    ConnectTimeout,
    /// The upstream took too long to answer.
    ResponseTimeout,
    /// The authorization server took too long.
    TokenTimeout,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The application's.
    Application,
    /// Ours, or nobody's.
    Bearward,
    /// The authorization server's, or of the credentials it was shown.
    AuthorizationServer,
    /// The upstream's.
    Upstream,
}

/// One row of the table: how a kind of failure is told.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Whose fault it is.
    pub fault: Fault,
    /// The status.
    pub status: StatusCode,
    /// The error type of RFC 9209 section 2.3.
    pub error: &'static str,
    /// The problem's title.
    pub title: &'static str,
}

impl Kind {
    /// The table.
    pub fn told(self) -> Told {
        use Fault::{Application, AuthorizationServer, Bearward, Upstream};
        let (fault, status, error, title) = match self {
            Self::Malformed => (Application, 400, "http_request_error", "The request is malformed"),
            Self::AmbiguousPath => (Application, 400, "http_request_denied", "The path is ambiguous"),
            Self::NoSubject => (Application, 400, "http_request_error", "The request names no subject"),
            Self::ForeignPage => (Application, 403, "http_request_denied", "Not for pages of other sites"),
            Self::Unlisted => (Application, 403, "http_request_denied", "No upstream is configured for this"),
            Self::ProhibitedAddress => {
                (Application, 403, "destination_ip_prohibited", "The destination's address is not allowed")
            }
            Self::NoRoute => (Application, 404, "destination_not_found", "No upstream here"),
            Self::BodyTooSlow => (Application, 408, "http_request_error", "The request's body stood still"),
            Self::Expectation => (Application, 417, "http_request_error", "The expectation is not supported"),
            Self::UnknownHost => (Application, 421, "http_request_denied", "The Host is unknown here"),
            Self::TargetTooLong => {
                (Application, 414, "http_request_error", "The request's target is too long")
            }
            Self::HeadTooLarge => (Application, 431, "http_request_error", "The request's head is too large"),
            Self::Panic => (Bearward, 500, "proxy_internal_error", "bearward failed"),
            Self::NotImplemented => (Bearward, 501, "http_request_denied", "bearward does not do this"),
            Self::Version => (Bearward, 505, "http_request_error", "This version of HTTP is not spoken here"),
            Self::Loop => (Bearward, 508, "proxy_loop_detected", "The request has come back to bearward"),
            Self::Resolve => (Upstream, 502, "dns_error", "The upstream's name does not resolve"),
            Self::Refused => (Upstream, 502, "connection_refused", "The upstream cannot be reached"),
            Self::Tls => (Upstream, 502, "tls_certificate_error", "TLS with the upstream failed"),
            Self::Cut => (Upstream, 502, "connection_terminated", "The upstream ended the connection"),
            Self::NotHttp => {
                (Upstream, 502, "http_protocol_error", "The upstream's answer is not valid HTTP")
            }
            Self::AnswerHeadTooLarge => {
                (Upstream, 502, "http_response_header_section_size", "The upstream's answer is too large")
            }
            Self::CredentialsRefused => {
                (AuthorizationServer, 502, "proxy_configuration_error", "The credentials were refused")
            }
            Self::NoToken => (AuthorizationServer, 503, "proxy_internal_error", "No token for now"),
            Self::LoginRequired => {
                (AuthorizationServer, 503, "proxy_internal_error", "A person has to log in")
            }
            Self::Stopping => (Bearward, 503, "proxy_internal_error", "bearward is stopping"),
            Self::Full => (Bearward, 503, "proxy_internal_response", "Too many requests are under way"),
            Self::ConnectTimeout => (Upstream, 504, "connection_timeout", "Connecting took too long"),
            Self::ResponseTimeout => (Upstream, 504, "http_response_timeout", "The upstream took too long"),
            Self::TokenTimeout => {
                (AuthorizationServer, 504, "proxy_internal_error", "The authorization server took too long")
            }
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Told { fault, status, error, title }
    }
}

/// A request that ends in an answer of ours.
#[derive(Clone, Debug)]
pub struct Failure {
    kind: Kind,
    detail: Cow<'static, str>,
    upstream: Option<Arc<str>>,
    token: Option<Arc<str>>,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure and, in words, what happened and what to do.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), upstream: None, token: None, retry_after: None }
    }

    /// There is no token.
    pub fn no_token(token: &str, why: Unavailable) -> Self {
        let kind = match why.cause {
            Cause::BackingOff => Kind::NoToken,
            Cause::Refused => Kind::CredentialsRefused,
            Cause::LoginRequired => Kind::LoginRequired,
            Cause::TimedOut => Kind::TokenTimeout,
            Cause::Stopping => Kind::Stopping,
        };
        let retry_after = why.retry_after;
        Self { token: Some(token.into()), retry_after, ..Self::new(kind, why.detail) }
    }

    /// The upstream gave no answer.
    pub fn unanswered(error: &SendError) -> Self {
        let kind = match error {
            SendError::Connect(error) => return Self::unreachable(error),
            SendError::Cut(_) | SendError::NotBegun(_) => Kind::Cut,
            SendError::Body(_) => Kind::Malformed,
            SendError::NotHttp(_) | SendError::TooManyInterim => Kind::NotHttp,
            SendError::NoExtendedConnect => Kind::NotImplemented,
            SendError::HeadTooLarge => Kind::AnswerHeadTooLarge,
        };
        Self::new(kind, error.to_string())
    }

    /// Says when it is worth asking again.
    #[must_use]
    pub fn again_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// There is no connection to where it should go.
    pub fn unreachable(error: &ConnectError) -> Self {
        let kind = match error {
            ConnectError::Resolve(_) => Kind::Resolve,
            ConnectError::Prohibited(_) | ConnectError::OddAddress => Kind::ProhibitedAddress,
            ConnectError::Refused(_) | ConnectError::Outer(_) | ConnectError::NoSuchProxy(_) => Kind::Refused,
            ConnectError::Tls(_) => Kind::Tls,
            ConnectError::TimedOut => Kind::ConnectTimeout,
        };
        Self::new(kind, error.to_string())
    }

    /// Names the upstream it is about.
    #[must_use]
    pub fn at(mut self, upstream: &Arc<str>) -> Self {
        self.upstream = Some(Arc::clone(upstream));
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened and what to do, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether it is the application's fault only as long as nobody configures what it asks for.
    pub(super) fn is_unconfigured(&self) -> bool {
        matches!(self.kind, Kind::Unlisted | Kind::ProhibitedAddress)
    }

    /// Tells the operator: what the application did wrong in passing; as a warning everything else, and what is refused because
    /// nobody configured it.
    pub fn log(&self) {
        self.log_with(0);
    }

    /// The same, also for `unsaid` others like it.
    pub(super) fn log_with(&self, unsaid: u64) {
        let unsaid = (unsaid > 0).then_some(unsaid);
        let (upstream, token) = (self.upstream.as_deref(), self.token.as_deref());
        let told = self.kind.told();
        let (status, detail) = (told.status.as_u16(), &*self.detail);
        match told.fault {
            Fault::Application if !self.is_unconfigured() => {
                tracing::debug!(upstream, token, status, detail, unsaid, "{}", told.title)
            }
            _ => tracing::warn!(upstream, token, status, detail, unsaid, "{}", told.title),
        }
    }

    /// The answer.
    pub fn into_response(self) -> Answer<ResponseBody> {
        let told = self.kind.told();
        let mut problem = serde_json::json!({
            "title": told.title,
            "status": told.status.as_u16(),
            "detail": self.detail,
        });
        for (member, name) in [("upstream", &self.upstream), ("token", &self.token)] {
            if let Some(name) = name {
                problem[member] = name.as_ref().into();
            }
        }
        let mut answer = Answer::new(ResponseBody::whole(Bytes::from(problem.to_string())));
        answer.head.status = told.status;
        let fields = &mut answer.head.fields;
        fields.append(&header::CONTENT_TYPE, &HeaderValue::from_static("application/problem+json"));
        fields.append(&header::CACHE_CONTROL, &HeaderValue::from_static("no-store"));
        // A browser that was sent here and shows this would ask for an icon next: a request of this origin, which is admitted.
        fields.append(&header::CONTENT_SECURITY_POLICY, &HeaderValue::from_static("default-src 'none'"));
        if let Ok(value) = HeaderValue::try_from(format!("bearward; error={}", told.error)) {
            fields.append(&PROXY_STATUS, &value);
        }
        if let Some(wait) = self.retry_after {
            fields.append(&header::RETRY_AFTER, &whole_seconds(wait).into());
        }
        answer
    }
}

/// Rounded up, at least one: an application that comes back too early is turned away again.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const KINDS: [Kind; 30] = [
        Kind::Full,
        Kind::Malformed,
        Kind::AmbiguousPath,
        Kind::NoSubject,
        Kind::ForeignPage,
        Kind::Unlisted,
        Kind::ProhibitedAddress,
        Kind::NoRoute,
        Kind::BodyTooSlow,
        Kind::Expectation,
        Kind::UnknownHost,
        Kind::TargetTooLong,
        Kind::HeadTooLarge,
        Kind::Panic,
        Kind::NotImplemented,
        Kind::Version,
        Kind::Loop,
        Kind::Resolve,
        Kind::Refused,
        Kind::Tls,
        Kind::Cut,
        Kind::NotHttp,
        Kind::AnswerHeadTooLarge,
        Kind::CredentialsRefused,
        Kind::NoToken,
        Kind::LoginRequired,
        Kind::Stopping,
        Kind::ConnectTimeout,
        Kind::ResponseTimeout,
        Kind::TokenTimeout,
    ];

    #[test]
    fn r082_every_answer_of_ours_is_an_error_and_never_a_401() {
        for kind in KINDS {
            let told = kind.told();
            assert_ne!(told.status, StatusCode::UNAUTHORIZED, "{kind:?}");
            let own = matches!(told.fault, Fault::Application);
            assert_eq!(told.status.is_client_error(), own, "{kind:?} blames the wrong side");
            assert!(!told.status.is_success());
        }
    }

    #[tokio::test]
    async fn r020_no_token_says_which_and_when_to_come_back() {
        let why = Unavailable {
            cause: Cause::BackingOff,
            detail: "the authorization server is down".to_owned(),
            retry_after: Some(Duration::from_millis(1200)),
        };
        let response = Failure::no_token("bank", why).at(&"api".into()).into_response();
        assert_eq!(response.head.status, 503);
        assert_eq!(response.head.fields.get_only("retry-after"), Some(&b"2"[..]));
        assert_eq!(
            response.head.fields.get_only("proxy-status"),
            Some(&b"bearward; error=proxy_internal_error"[..])
        );
        assert_eq!(response.head.fields.get_only("cache-control"), Some(&b"no-store"[..]));
        assert_eq!(
            response.head.fields.get_only("content-security-policy"),
            Some(&b"default-src 'none'"[..])
        );
        let body = response.content.collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["token"], "bank");
        assert_eq!(problem["upstream"], "api");
        assert_eq!(problem["status"], 503);
        assert_eq!(problem["detail"], "the authorization server is down");
    }

    #[tokio::test]
    async fn where_a_person_has_to_log_in_it_says_how_and_not_when_to_come_back() {
        let detail = "a person has to log in: run `bearward login bank`";
        let why = Unavailable { cause: Cause::LoginRequired, detail: detail.to_owned(), retry_after: None };
        let response = Failure::no_token("bank", why).into_response();
        assert_eq!(response.head.status, 503);
        assert!(!response.head.fields.contains("retry-after"));
        let body = response.content.collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&problem["title"], &problem["detail"]),
            (&"A person has to log in".into(), &detail.into())
        );
    }

    #[test]
    fn retry_after_is_never_zero() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
        assert_eq!(whole_seconds(Duration::from_millis(3001)), 4);
    }
}
