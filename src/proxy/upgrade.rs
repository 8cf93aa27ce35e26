//! Another protocol in place of HTTP: what the application asks for, how the next hop is asked for it, what the upstream
//! agreed to, and the tunnel that follows.
//!
//! Knows Upgrade (RFC 9110 section 7.8), the WebSocket handshake (RFC 6455 section 4) and extended CONNECT (RFC 8441), and
//! makes of one what the other hop understands. Does not know tokens, connections, or what is said in a tunnel.

use std::{cell::RefCell, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request,
};
use hyper::ext::Protocol as Extended;

use super::{
    body::{ResponseBody, Streamed},
    failure::{Failure, Kind},
    fields,
    routes::Route,
};
use crate::{
    telemetry::UpstreamMetrics,
    upstream::Protocol,
    wire::{self, Stream},
};

const WEBSOCKET: &str = "websocket";
/// RFC 6455 section 1.3.
const WEBSOCKET_ID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET_VERSION: HeaderValue = HeaderValue::from_static("13");

/// What the application wants to speak instead of HTTP, and how the upstream is asked for it.
#[derive(Debug)]
pub(super) struct Upgrade {
    asked: Asked,
    onward: Onward,
}

/// How the application asks.
#[derive(Debug)]
enum Asked {
    /// By Upgrade, for one of these protocols.
    Http1(String),
    /// By extended CONNECT, for `websocket`.
    Http2,
}

impl Asked {
    fn is_websocket(&self) -> bool {
        match self {
            Self::Http1(protocols) => names(protocols, WEBSOCKET),
            Self::Http2 => true,
        }
    }

    /// An upgrade may be ignored (RFC 9110 section 7.8), but a WebSocket handshake without it is useless.
    fn refused(&self) -> Result<Option<Upgrade>, Failure> {
        if !self.is_websocket() {
            return Ok(None);
        }
        Err(Failure::new(
            Kind::NotImplemented,
            "WebSocket does not pass to this upstream: it has upgrades = false",
        ))
    }
}

/// How the upstream is asked.
#[derive(Debug)]
enum Onward {
    /// By Upgrade. Its proof that it understood (RFC 6455 section 4.2.2) is for us to look at where the nonce is ours.
    Http1 { key: RefCell<Option<HeaderValue>> },
    /// By extended CONNECT. What the application takes for the upstream's proof is made here, of its own nonce.
    Http2 { accept: Option<HeaderValue> },
}

impl Upgrade {
    /// What a request asks for besides an answer. A protocol that says nothing of what passes (`TLS`), HTTP itself (`h2c`), and
    /// anything beside content is not asked for onward: then the request is one like others (RFC 9110 section 7.8).
    ///
    /// # Errors
    /// A handshake that cannot be carried to this upstream.
    pub(super) fn asked(
        app: &request::Parts,
        has_content: bool,
        route: &Route,
    ) -> Result<Option<Self>, Failure> {
        let asked = if app.method == Method::CONNECT {
            Asked::Http2
        } else if app.version == Version::HTTP_11 && app.headers.contains_key(header::UPGRADE) && !has_content
        {
            match protocols(&app.headers) {
                Some(protocols) => Asked::Http1(protocols),
                None => return Ok(None),
            }
        } else {
            return Ok(None);
        };
        if !route.settings().upgrades {
            return asked.refused();
        }
        let onward = match (&asked, route.client().endpoint().protocol()) {
            (_, Protocol::Auto | Protocol::Http1) => Onward::Http1 { key: RefCell::default() },
            (Asked::Http2, Protocol::Http2) => Onward::Http2 { accept: None },
            (Asked::Http1(_), Protocol::Http2) if asked.is_websocket() => {
                Onward::Http2 { accept: Some(accept(the_key(app)?)?) }
            }
            // There is nothing else that HTTP/2 could be asked for.
            (Asked::Http1(_), Protocol::Http2) => return Ok(None),
        };
        Ok(Some(Self { asked, onward }))
    }

    /// Whether a field of the application's handshake means nothing to the upstream's.
    pub(super) fn leaves_behind(&self, name: &HeaderName) -> bool {
        let same = matches!((&self.asked, &self.onward), (Asked::Http1(_), Onward::Http1 { .. }));
        !same && *name == header::SEC_WEBSOCKET_KEY
    }

    /// Asks the upstream in the fields of its request, anew for each sending.
    pub(super) fn write_fields(&self, fields: &mut HeaderMap) {
        if !matches!(self.asked, Asked::Http1(_)) || !matches!(self.onward, Onward::Http1 { .. }) {
            fields.entry(header::SEC_WEBSOCKET_VERSION).or_insert(WEBSOCKET_VERSION);
        }
        let Onward::Http1 { key } = &self.onward else { return };
        let protocols = match &self.asked {
            Asked::Http1(protocols) => HeaderValue::try_from(protocols),
            Asked::Http2 => {
                let nonce = nonce();
                fields.insert(header::SEC_WEBSOCKET_KEY, nonce.clone());
                key.replace(Some(nonce));
                Ok(HeaderValue::from_static(WEBSOCKET))
            }
        };
        if let Ok(protocols) = protocols {
            fields.insert(header::UPGRADE, protocols);
            let and_te = fields.contains_key(header::TE);
            let connection = if and_te { "te, upgrade" } else { "upgrade" };
            fields.insert(header::CONNECTION, HeaderValue::from_static(connection));
        }
    }

    /// Asks the upstream by the request's method.
    pub(super) fn write_method(&self, head: &mut Request<()>) {
        match self.onward {
            Onward::Http1 { .. } if matches!(self.asked, Asked::Http2) => *head.method_mut() = Method::GET,
            Onward::Http1 { .. } => {}
            Onward::Http2 { .. } => {
                *head.method_mut() = Method::CONNECT;
                head.extensions_mut().insert(Extended::from_static(WEBSOCKET));
            }
        }
    }

    /// The tunnel, where this answer opens one; else the answer, which is one like others. The head comes out as the application's
    /// hop says it.
    ///
    /// # Errors
    /// The upstream agreed to something that it was not asked for, or in a way that is none.
    pub(super) fn agreed(&self, response: Response<Streamed>) -> Result<Agreed, Failure> {
        let status = response.status();
        match &self.onward {
            Onward::Http1 { .. } if status == StatusCode::SWITCHING_PROTOCOLS => {}
            Onward::Http2 { .. } if status.is_success() => {}
            // To an extended CONNECT any 2xx would say that the tunnel is there.
            _ if matches!(self.asked, Asked::Http2) && status.is_success() => {
                return Err(wrong("it answered a WebSocket handshake without switching protocols"));
            }
            _ => return Ok(Agreed::Not(Box::new(response))),
        }
        let (mut head, body) = response.into_parts();
        let said = match &self.onward {
            Onward::Http1 { key } => self.check(&head.headers, key.take())?,
            Onward::Http2 { .. } => WEBSOCKET.to_owned(),
        };
        let stream = body.upgraded().ok_or_else(|| wrong("it switched protocols and kept the connection"))?;
        head.headers = fields::of_answer(head.headers);
        head.headers.remove(header::CONTENT_LENGTH);
        match &self.asked {
            Asked::Http1(_) => {
                head.status = StatusCode::SWITCHING_PROTOCOLS;
                head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                let said = HeaderValue::try_from(said)
                    .map_err(|_| wrong("it switched to what is no protocol's name"))?;
                head.headers.insert(header::UPGRADE, said);
                if let Onward::Http2 { accept: Some(accept) } = &self.onward {
                    head.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
                }
            }
            Asked::Http2 => {
                head.status = StatusCode::OK;
                head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
            }
        }
        Ok(Agreed::On(Response::from_parts(head, ()), stream))
    }

    /// What a 101 switches to: nothing but what was asked for, and for a nonce of ours with the proof that belongs to it.
    fn check(&self, fields: &HeaderMap, key: Option<HeaderValue>) -> Result<String, Failure> {
        let asked = match &self.asked {
            Asked::Http1(protocols) => protocols,
            Asked::Http2 => WEBSOCKET,
        };
        let said: Vec<&str> = members(fields, header::UPGRADE).collect();
        if said.is_empty() || !said.iter().all(|protocol| names(asked, protocol)) {
            return Err(wrong("it switched to a protocol that was not asked for"));
        }
        if let Some(key) = key {
            let proof = fields.get(header::SEC_WEBSOCKET_ACCEPT);
            if proof != Some(&accept(&key)?) {
                return Err(wrong("its Sec-WebSocket-Accept is not the answer to our Sec-WebSocket-Key"));
            }
        }
        Ok(said.join(", "))
    }
}

/// Whether the upstream agreed.
#[derive(Debug)]
pub(super) enum Agreed {
    /// It did: the head of the answer, and the connection.
    On(Response<()>, Stream),
    /// It answered instead.
    Not(Box<Response<Streamed>>),
}

/// What follows the head: both hops become one, counted as long as it is there.
pub(super) fn tunnel(
    upstream: Stream,
    idle: Option<Duration>,
    name: Arc<str>,
    metrics: Arc<UpstreamMetrics>,
) -> ResponseBody {
    ResponseBody::taken_over(Box::new(move |application| {
        Box::pin(async move {
            let open = metrics.tunnel();
            let spliced = wire::splice(application, upstream, idle).await;
            drop(open);
            let (sent, received, end) = (spliced.there, spliced.back, spliced.end);
            tracing::debug!(upstream = &*name, sent, received, %end, "a tunnel ended");
        })
    }))
}

/// Whether this is an extended CONNECT for a protocol that passes here.
pub(super) fn is_extended_connect(app: &request::Parts) -> bool {
    app.method == Method::CONNECT
        && app.extensions.get::<Extended>().is_some_and(|protocol| protocol.as_ref() == WEBSOCKET.as_bytes())
}

fn wrong(what: &'static str) -> Failure {
    Failure::new(Kind::NotHttp, format!("no valid HTTP answer: {what}"))
}

/// What of the application's Upgrade goes on, if Connection says that it is meant for us.
fn protocols(fields: &HeaderMap) -> Option<String> {
    if !fields::lists(fields, header::CONNECTION, "upgrade") {
        return None;
    }
    let passing: Vec<&str> = members(fields, header::UPGRADE).filter(|protocol| passes(protocol)).collect();
    (!passing.is_empty()).then(|| passing.join(", "))
}

/// HTTP is spoken by each hop for itself, and nobody but us ends TLS on this one.
fn passes(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    protocol.splitn(2, '/').all(|part| wire::fields::is_token(part.as_bytes()))
        && !["h2c", "h2", "http", "tls"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn members(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = fields.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

fn names(protocols: &str, one: &str) -> bool {
    protocols.split(", ").any(|protocol| protocol.eq_ignore_ascii_case(one))
}

/// The application's nonce: 16 octets in base64 (RFC 6455 section 4.2.1).
fn the_key(app: &request::Parts) -> Result<&HeaderValue, Failure> {
    let mut keys = app.headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| keys.next().is_none());
    let key = key.filter(|key| STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == 16));
    key.ok_or_else(|| {
        Failure::new(
            Kind::Malformed,
            "a WebSocket handshake needs one Sec-WebSocket-Key of 16 octets in base64",
        )
    })
}

/// Against confusion and caches, not against an adversary (RFC 6455 section 10.3): any source of randomness will do.
fn nonce() -> HeaderValue {
    let nonce = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    HeaderValue::try_from(nonce).unwrap_or_else(|_| HeaderValue::from_static("base64 is a field value"))
}

fn accept(key: &HeaderValue) -> Result<HeaderValue, Failure> {
    let mut hashed = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hashed.update(key.as_bytes());
    hashed.update(WEBSOCKET_ID);
    HeaderValue::try_from(STANDARD.encode(hashed.finish()))
        .map_err(|_| wrong("its Sec-WebSocket-Accept cannot be told"))
}
