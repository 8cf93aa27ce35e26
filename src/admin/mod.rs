//! Looking at a running bearward: `/livez`, `/readyz`, `/metrics`, `/status`. Read-only, and never a token or a secret.
//!
//! Knows what an operator may see. Does not know how the parts were put together, and changes nothing.

mod status;

use std::{fmt::Write, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};

use crate::{
    telemetry::{Metrics, UpstreamMetrics, metrics::Format},
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
    /// The ways in: what an application uses as its base URL.
    pub addresses: Vec<String>,
    /// Its counters.
    pub metrics: Arc<UpstreamMetrics>,
}

/// Answers a request to the admin listener.
pub fn answer<B>(request: &Request<B>, seen: &Seen, all: &Metrics) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused =
            text(StatusCode::METHOD_NOT_ALLOWED, "this listener is for looking only: GET or HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept);
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => readiness(seen),
        "/metrics" => match all.encode(format) {
            Ok(encoded) => plain(StatusCode::OK, encoded, format.content_type()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
        },
        "/status" => plain(StatusCode::OK, status::json(seen), "application/json"),
        _ => text(StatusCode::NOT_FOUND, "here are /livez, /readyz, /metrics and /status\n"),
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

fn plain(status: StatusCode, content: impl Into<Bytes>, kind: &'static str) -> Response<Bytes> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
