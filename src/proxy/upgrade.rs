//! Another protocol in place of HTTP: what the application asks for, how the next hop is asked for it, what the upstream
//! agreed to, and the tunnel that follows.
//!
//! Knows Upgrade (RFC 9110 section 7.8), the WebSocket handshake (RFC 6455 section 4) and extended CONNECT (RFC 8441), and
//! makes of one what the other hop understands. Does not know tokens, connections, or what is said in a tunnel.

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
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
    wire::{
        self, Answer, AnswerHead, RequestHead, Stream,
        fields::{Field, Fields, Name},
    },
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
    Http1(HeaderValue),
    /// By extended CONNECT, for `websocket`.
    Http2,
}

impl Asked {
    fn is_websocket(&self) -> bool {
        match self {
            Self::Http1(protocols) => names(protocols.as_bytes(), WEBSOCKET),
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
        app: &RequestHead,
        has_content: bool,
        route: &Route,
    ) -> Result<Option<Self>, Failure> {
        let asked = if app.method == Method::CONNECT {
            Asked::Http2
        } else if app.version == Version::HTTP_11 && app.fields.contains(Name::UPGRADE) && !has_content {
            match protocols(&app.fields) {
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
    pub(super) fn leaves_behind(&self, field: &Field<'_>) -> bool {
        let same = matches!((&self.asked, &self.onward), (Asked::Http1(_), Onward::Http1 { .. }));
        !same && field.is(Name::SEC_WEBSOCKET_KEY)
    }

    /// Whether this field is said here, whatever is configured.
    pub(super) fn decides(&self, name: Name) -> bool {
        let nonce_is_ours = matches!((&self.asked, &self.onward), (Asked::Http2, Onward::Http1 { .. }));
        name == Name::SEC_WEBSOCKET_KEY && nonce_is_ours
    }

    /// The fields in which the upstream is asked besides those that go on, anew for each sending. `has_version`: those tell the
    /// WebSocket version.
    pub(super) fn added(&self, has_version: bool, show: &mut dyn FnMut(&HeaderName, &HeaderValue)) {
        let other_hop = !matches!(self.asked, Asked::Http1(_)) || !self.is_on_http1();
        if other_hop && !has_version {
            show(&header::SEC_WEBSOCKET_VERSION, &WEBSOCKET_VERSION);
        }
        let Onward::Http1 { key } = &self.onward else { return };
        match &self.asked {
            Asked::Http1(protocols) => show(&header::UPGRADE, protocols),
            Asked::Http2 => {
                let nonce = nonce();
                show(&header::SEC_WEBSOCKET_KEY, &nonce);
                key.replace(Some(nonce));
                show(&header::UPGRADE, &HeaderValue::from_static(WEBSOCKET));
            }
        }
    }

    /// Whether the upstream is asked by Upgrade, which Connection then names.
    pub(super) fn is_on_http1(&self) -> bool {
        matches!(self.onward, Onward::Http1 { .. })
    }

    /// The method in which the upstream is asked.
    pub(super) fn method<'a>(&self, asked: &'a Method) -> &'a Method {
        match self.onward {
            Onward::Http1 { .. } if matches!(self.asked, Asked::Http2) => &Method::GET,
            Onward::Http1 { .. } => asked,
            Onward::Http2 { .. } => &Method::CONNECT,
        }
    }

    /// What an extended CONNECT asks the upstream for.
    pub(super) fn protocol(&self) -> Option<&Extended> {
        static PROTOCOL: LazyLock<Extended> = LazyLock::new(|| Extended::from_static(WEBSOCKET));
        (!self.is_on_http1()).then(|| &*PROTOCOL)
    }

    /// The tunnel, where this answer opens one; else the answer, which is one like others. The head comes out as the application's
    /// hop says it.
    ///
    /// # Errors
    /// The upstream agreed to something that it was not asked for, or in a way that is none.
    pub(super) fn agreed(&self, response: Answer<Streamed>) -> Result<Agreed, Failure> {
        let status = response.head.status;
        match &self.onward {
            Onward::Http1 { .. } if status == StatusCode::SWITCHING_PROTOCOLS => {}
            Onward::Http2 { .. } if status.is_success() => {}
            // To an extended CONNECT any 2xx would say that the tunnel is there.
            _ if matches!(self.asked, Asked::Http2) && status.is_success() => {
                return Err(wrong("it answered a WebSocket handshake without switching protocols"));
            }
            _ => return Ok(Agreed::Not(Box::new(response))),
        }
        let Answer { mut head, content } = response;
        let said = match &self.onward {
            Onward::Http1 { key } => self.check(&head.fields, key.take())?,
            Onward::Http2 { .. } => WEBSOCKET.to_owned(),
        };
        let stream =
            content.upgraded().ok_or_else(|| wrong("it switched protocols and kept the connection"))?;
        fields::of_answer(&mut head.fields);
        head.fields.remove(Name::CONTENT_LENGTH);
        match &self.asked {
            Asked::Http1(_) => {
                head.status = StatusCode::SWITCHING_PROTOCOLS;
                head.fields.insert(&header::CONNECTION, &HeaderValue::from_static("upgrade"));
                let said = HeaderValue::try_from(said)
                    .map_err(|_| wrong("it switched to what is no protocol's name"))?;
                head.fields.insert(&header::UPGRADE, &said);
                if let Onward::Http2 { accept: Some(accept) } = &self.onward {
                    head.fields.insert(&header::SEC_WEBSOCKET_ACCEPT, accept);
                }
            }
            Asked::Http2 => {
                head.status = StatusCode::OK;
                head.fields.remove(Name::SEC_WEBSOCKET_ACCEPT);
            }
        }
        Ok(Agreed::On(head, stream))
    }

    /// What a 101 switches to: nothing but what was asked for, and for a nonce of ours with the proof that belongs to it.
    fn check(&self, fields: &Fields, key: Option<HeaderValue>) -> Result<String, Failure> {
        let asked = match &self.asked {
            Asked::Http1(protocols) => protocols.as_bytes(),
            Asked::Http2 => WEBSOCKET.as_bytes(),
        };
        let said: Vec<&str> = members(fields, Name::UPGRADE).collect();
        if said.is_empty() || !said.iter().all(|protocol| names(asked, protocol)) {
            return Err(wrong("it switched to a protocol that was not asked for"));
        }
        if let Some(key) = key {
            let proof = fields.get(Name::SEC_WEBSOCKET_ACCEPT);
            if proof != Some(accept(key.as_bytes())?.as_bytes()) {
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
    On(Box<AnswerHead>, Stream),
    /// It answered instead.
    Not(Box<Answer<Streamed>>),
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
pub(super) fn is_extended_connect(app: &RequestHead) -> bool {
    app.method == Method::CONNECT
        && app.protocol.as_ref().is_some_and(|protocol| protocol.as_ref() == WEBSOCKET.as_bytes())
}

fn wrong(what: &'static str) -> Failure {
    Failure::new(Kind::NotHttp, format!("no valid HTTP answer: {what}"))
}

/// What of the application's Upgrade goes on, if Connection says that it is meant for us.
fn protocols(fields: &Fields) -> Option<HeaderValue> {
    if !fields::lists(fields, Name::CONNECTION, "upgrade") {
        return None;
    }
    let passing: Vec<&str> = members(fields, Name::UPGRADE).filter(|protocol| passes(protocol)).collect();
    if passing.is_empty() { None } else { HeaderValue::try_from(passing.join(", ")).ok() }
}

/// HTTP is spoken by each hop for itself, and nobody but us ends TLS on this one.
fn passes(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    protocol.splitn(2, '/').all(|part| wire::fields::is_token(part.as_bytes()))
        && !["h2c", "h2", "http", "tls"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn members(fields: &Fields, name: Name) -> impl Iterator<Item = &str> {
    fields.members(name).filter_map(|member| std::str::from_utf8(member).ok())
}

fn names(protocols: &[u8], one: &str) -> bool {
    wire::fields::members(std::iter::once(protocols))
        .any(|protocol| protocol.eq_ignore_ascii_case(one.as_bytes()))
}

/// The application's nonce: 16 octets in base64 (RFC 6455 section 4.2.1).
fn the_key(app: &RequestHead) -> Result<&[u8], Failure> {
    let key = app.fields.get_only(Name::SEC_WEBSOCKET_KEY);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
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

fn accept(key: &[u8]) -> Result<HeaderValue, Failure> {
    let mut hashed = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hashed.update(key);
    hashed.update(WEBSOCKET_ID);
    HeaderValue::try_from(STANDARD.encode(hashed.finish()))
        .map_err(|_| wrong("its Sec-WebSocket-Accept cannot be told"))
}
