//! The fields of a message as it goes on, and which of them stay behind (RFC 9110 section 7.6).
//!
//! Knows hop-by-hop fields, what the application must not decide, and where the credential is set: last, and only for
//! the route whose client sends it. Does not know connections, or what a rejection is. Nothing is copied here: a message keeps its
//! fields, in their order, and is asked for each whether it goes on.

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::PathAndQuery};
use http_body::Frame;
use hyper::ext::Protocol;

use super::{hops, replay::RequestBody, routes::Route, upgrade::Upgrade};
use crate::{
    token::Held,
    upstream::client::{AnswerBody, SendError, Sent},
    wire::{
        Answer, AnswerHead, Interim, RequestHead,
        fields::{Field, Fields, Name, Names},
        head,
    },
};

/// What is meant for one hop alone.
const HOP_BY_HOP: Names = Names::of(&[
    Name::CONNECTION,
    Name::TE,
    Name::TRANSFER_ENCODING,
    Name::UPGRADE,
    Name::KEEP_ALIVE,
    Name::PROXY_CONNECTION,
    Name::HTTP2_SETTINGS,
]);
/// What of a request does not go on: also what is ours to say.
const STAY: Names = HOP_BY_HOP.and(Names::of(&[Name::HOST, Name::EXPECT, Name::PROXY_AUTHORIZATION]));

/// A request's head, ready for the upstream it was made for and for no other.
pub(super) struct Outgoing<'a> {
    route: &'a Route,
    app: &'a RequestHead,
    target: &'a PathAndQuery,
    token: Option<&'a Held>,
    upgrade: Option<&'a Upgrade>,
    /// What Connection names besides what is hop-by-hop anyway.
    named: Vec<&'a [u8]>,
    wants_trailers: bool,
}

impl<'a> Outgoing<'a> {
    /// What goes on of an application's request: to `target` on this route, with this token.
    pub(super) fn new(
        route: &'a Route,
        app: &'a RequestHead,
        target: &'a PathAndQuery,
        token: Option<&'a Held>,
        upgrade: Option<&'a Upgrade>,
    ) -> Self {
        let (named, wants_trailers) =
            (named_by_connection(&app.fields), lists(&app.fields, Name::TE, "trailers"));
        Self { route, app, target, token, upgrade, named, wants_trailers }
    }

    /// Sends it, with `body`, to the route's origin. Interim answers go on to `interim`.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) fn send<'b>(
        &'b self,
        body: RequestBody,
        interim: &'b dyn Fn(Box<AnswerHead>),
    ) -> Sent<'b, RequestBody> {
        self.route.client().send(self, body, interim)
    }

    /// The same on a connection that is not a kept one.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) fn send_afresh<'b>(
        &'b self,
        body: RequestBody,
        interim: &'b dyn Fn(Box<AnswerHead>),
    ) -> LocalBoxFuture<'b, Result<Answer<AnswerBody<RequestBody>>, SendError>> {
        self.route.client().send_afresh(self, body, interim)
    }

    /// Whether the application's own field of this name goes on.
    fn has_own(&self, name: &HeaderName) -> bool {
        self.app.fields.iter().any(|field| field.is(name) && !head::Outgoing::stays_behind(self, &field))
    }

    /// Whether we say this field, whatever is configured.
    fn is_ours(&self, name: &HeaderName) -> bool {
        match Name::of(name.as_str().as_bytes()) {
            Some(Name::AUTHORIZATION) => self.token.is_some(),
            Some(Name::MAX_FORWARDS) => hops::left(self.app).is_some(),
            Some(name) => self.upgrade.is_some_and(|upgrade| upgrade.decides(name)),
            None => false,
        }
    }

    /// Whether this is the credential of the application's own that goes on: one, as it came, also where Connection names it.
    fn is_own_credential(&self, field: &Field<'_>) -> bool {
        self.token.is_none()
            && self.route.passes_authorization()
            && self.app.fields.get(Name::AUTHORIZATION).is_some_and(|first| std::ptr::eq(first, field.value))
    }
}

impl head::Outgoing for Outgoing<'_> {
    fn method(&self) -> &Method {
        self.upgrade.map_or(&self.app.method, |upgrade| upgrade.method(&self.app.method))
    }

    fn target(&self) -> &str {
        self.target.as_str()
    }

    fn host(&self) -> &[u8] {
        let own = self.route.settings().preserve_host.then(|| host_meant(self.app)).flatten();
        own.unwrap_or(self.route.host().as_bytes())
    }

    fn connection(&self) -> Option<&str> {
        match (self.wants_trailers, self.asks_to_switch()) {
            (true, true) => Some("te, upgrade"),
            (true, false) => Some("te"),
            (false, true) => Some("upgrade"),
            (false, false) => None,
        }
    }

    fn protocol(&self) -> Option<&Protocol> {
        self.upgrade.and_then(Upgrade::protocol)
    }

    fn asks_to_switch(&self) -> bool {
        self.upgrade.is_some_and(Upgrade::is_on_http1)
    }

    fn came(&self) -> &Fields {
        &self.app.fields
    }

    fn stays_behind(&self, field: &Field<'_>) -> bool {
        if field.known == Some(Name::AUTHORIZATION) {
            return !self.is_own_credential(field);
        }
        // Also `Max-Forwards` of OPTIONS, which says one less from here on.
        let counted = field.known == Some(Name::MAX_FORWARDS) && self.app.method == Method::OPTIONS;
        field.known.is_some_and(|name| STAY.has(name))
            || counted
            || is_named(&self.named, field)
            || self.route.subject_header().is_some_and(|subject| field.is(subject))
            || self.upgrade.is_some_and(|upgrade| upgrade.leaves_behind(field))
    }

    /// The token comes last. Nothing that the application names in Connection can take it off again, and there is no other credential
    /// beside it.
    fn added(&self, show: &mut dyn FnMut(&HeaderName, &HeaderValue)) {
        let settings = self.route.settings();
        for (at, (name, value)) in settings.headers.iter().enumerate() {
            // A configuration may spell one name in two ways; the first counts.
            let again = settings.headers[..at].iter().any(|(before, _)| before == name);
            // Also where the application sent one that stayed behind: what is configured takes its place.
            if !again && !self.has_own(name) && !self.is_ours(name) {
                show(name, value);
            }
        }
        show(&header::VIA, settings.via.of(self.app.version));
        if self.wants_trailers {
            // Issued anew for this hop (RFC 9110 section 10.1.4); on HTTP/2 the client leaves Connection behind.
            show(&header::TE, &HeaderValue::from_static("trailers"));
        }
        if let Some(upgrade) = self.upgrade {
            let is_configured =
                settings.headers.iter().any(|(name, _)| *name == header::SEC_WEBSOCKET_VERSION);
            upgrade.added(is_configured || self.has_own(&header::SEC_WEBSOCKET_VERSION), show);
        }
        if let Some(left) = hops::left(self.app) {
            show(&header::MAX_FORWARDS, &left);
        }
        if let Some(token) = self.token {
            show(&header::AUTHORIZATION, token.authorization());
        }
    }
}

/// RFC 9110 section 15.2: a proxy forwards interim answers, as it does others.
pub(super) fn go_on(interim: Option<&Interim>, mut head: Box<AnswerHead>) {
    if let Some(interim) = interim {
        of_answer(&mut head.fields);
        interim.send(&head);
    }
}

/// The Host of the application's request; in an absolute target, the authority (RFC 9112 section 3.2.2).
fn host_meant(app: &RequestHead) -> Option<&[u8]> {
    match app.target.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => app.fields.get(Name::HOST),
    }
}

/// Makes the fields of an answer what goes on to the application: order, spelling and `Set-Cookie` lines as they came. `Alt-Svc`
/// (RFC 7838) stays behind: it speaks of the API's own address, and an application that went there would go past us.
pub(super) fn of_answer(fields: &mut Fields) {
    const STAY: Names = HOP_BY_HOP.and(Names::of(&[Name::ALT_SVC]));
    // What writes a head leaves these two out in any case, and most have no more.
    const FRAME: Names = Names::of(&[Name::CONNECTION, Name::TRANSFER_ENCODING]);
    if fields.known().meet(STAY.without(FRAME)) || fields.connection().others {
        let named: Vec<Vec<u8>> = named_by_connection(fields).into_iter().map(<[u8]>::to_vec).collect();
        fields.retain(|field| !field.known.is_some_and(|name| STAY.has(name)) && !is_named(&named, field));
    }
    if fields.known().has(Name::CONTENT_LENGTH) && !tells_one_length(fields) {
        // RFC 9112 section 6.3: equal repetitions count as one; unequal ones were refused.
        let told = fields.get(Name::CONTENT_LENGTH).map(first_of_list);
        if let Some(Ok(told)) = told {
            fields.insert(&header::CONTENT_LENGTH, &told);
        }
    }
}

fn tells_one_length(fields: &Fields) -> bool {
    fields.get_only(Name::CONTENT_LENGTH).is_some_and(|length| !length.contains(&b','))
}

fn first_of_list(value: &[u8]) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
    HeaderValue::from_bytes(first.trim_ascii())
}

/// Trailers must not say what a proxy or its credential decides (RFC 9110 section 6.5.1).
pub(super) fn without_forbidden_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Err(frame) => frame,
        Ok(trailers) if !trailers.keys().any(is_forbidden_in_trailers) => Frame::trailers(trailers),
        Ok(trailers) => {
            let mut kept = HeaderMap::with_capacity(trailers.len());
            let mut last = None;
            for (name, value) in trailers {
                last = name.or(last);
                if let Some(name) = &last
                    && !is_forbidden_in_trailers(name)
                {
                    kept.append(name.clone(), value);
                }
            }
            Frame::trailers(kept)
        }
    }
}

fn is_forbidden_in_trailers(name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || matches!(
            *name,
            header::ALT_SVC
                | header::AUTHORIZATION
                | header::PROXY_AUTHORIZATION
                | header::PROXY_AUTHENTICATE
                | header::WWW_AUTHENTICATE
                | header::HOST
                | header::COOKIE
                | header::EXPECT
                | header::MAX_FORWARDS
                | header::RANGE
                | header::CONTENT_LENGTH
                | header::CONTENT_ENCODING
                | header::CONTENT_TYPE
                | header::CONTENT_RANGE
                | header::TRAILER
                | header::SET_COOKIE
        )
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    Name::of(name.as_str().as_bytes()).is_some_and(|name| HOP_BY_HOP.has(name))
}

/// What Connection names besides what is hop-by-hop anyway (RFC 9110 section 7.6.1).
fn named_by_connection(fields: &Fields) -> Vec<&[u8]> {
    if !fields.connection().others {
        return Vec::new();
    }
    let known =
        |option: &[u8]| [&b"close"[..], b"keep-alive"].iter().any(|known| option.eq_ignore_ascii_case(known));
    fields.members(Name::CONNECTION).filter(|option| !known(option)).collect()
}

fn is_named<S: AsRef<[u8]>>(named: &[S], field: &Field<'_>) -> bool {
    named.iter().any(|option| field.name.eq_ignore_ascii_case(option.as_ref()))
}

/// Whether one of the field's list members is `member`.
pub(super) fn lists(fields: &Fields, name: Name, member: &str) -> bool {
    fields.members(name).any(|item| {
        let item = item.split(|octet| *octet == b';').next().unwrap_or_default();
        item.trim_ascii().eq_ignore_ascii_case(member.as_bytes())
    })
}

/// RFC 9110 section 10.1.1 knows one expectation.
pub(super) fn expects_only_100(fields: &Fields) -> bool {
    fields.get_all(Name::EXPECT).all(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}
