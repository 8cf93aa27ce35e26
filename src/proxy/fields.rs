//! The fields of a message as it goes on, and which of them stay behind (RFC 9110 section 7.6).
//!
//! Knows hop-by-hop fields, what the application must not decide, and where the credential is set: last, and only for
//! the route whose client sends it. Does not know connections, or what a rejection is. Fields keep their order: they
//! are copied in one pass, because `HeaderMap::remove` would swap the last one into the gap.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header, request, response, uri::PathAndQuery,
};
use http_body::Frame;

use super::{hops, replay::RequestBody, routes::Route, upgrade::Upgrade};
use crate::{
    token::Held,
    upstream::client::{AnswerBody, SendError},
    wire::{self, Interim},
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// A request's head, ready for the upstream it was made for and for no other.
#[derive(Debug)]
pub(super) struct Outgoing<'route> {
    route: &'route Route,
    head: Request<()>,
}

impl<'route> Outgoing<'route> {
    /// What goes on of an application's request: to `target` on this route, with this token.
    pub(super) fn new(
        route: &'route Route,
        app: &request::Parts,
        target: PathAndQuery,
        token: Option<&Held>,
        upgrade: Option<&Upgrade>,
    ) -> Self {
        let mut head = Request::new(());
        *head.method_mut() = app.method.clone();
        *head.uri_mut() = Uri::from(target);
        // The spelling of field names is there.
        *head.extensions_mut() = app.extensions.clone();
        // The client need not know how the application asked for a tunnel.
        head.extensions_mut().remove::<hyper::ext::Protocol>();
        if let Some(upgrade) = upgrade {
            upgrade.write_method(&mut head);
        }
        *head.headers_mut() = request_fields(route, app, token, upgrade);
        Self { route, head }
    }

    /// Sends it, with `body`, to the route's origin. Interim answers go on to `interim`.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) async fn send(
        self,
        body: RequestBody,
        interim: Option<&Interim>,
    ) -> Result<Response<AnswerBody<RequestBody>>, SendError> {
        self.route.client().send(self.head.map(|()| body), &mut |head| go_on(interim, head)).await
    }

    /// The same on a connection that is not a kept one.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) async fn send_afresh(
        self,
        body: RequestBody,
        interim: Option<&Interim>,
    ) -> Result<Response<AnswerBody<RequestBody>>, SendError> {
        self.route.client().send_afresh(self.head.map(|()| body), &mut |head| go_on(interim, head)).await
    }
}

/// RFC 9110 section 15.2: a proxy forwards interim answers, as it does others.
fn go_on(interim: Option<&Interim>, mut head: response::Parts) {
    if let Some(interim) = interim {
        head.headers = of_answer(head.headers);
        interim.send(&head);
    }
}

fn request_fields(
    route: &Route,
    app: &request::Parts,
    token: Option<&Held>,
    upgrade: Option<&Upgrade>,
) -> HeaderMap {
    let settings = route.settings();
    let named = named_by_connection(&app.headers);
    let mut fields = HeaderMap::with_capacity(app.headers.len() + 4 + settings.headers.len());
    let own_host = if settings.preserve_host { host_meant(app) } else { None };
    fields.insert(header::HOST, own_host.unwrap_or_else(|| route.host().clone()));
    for (name, value) in &app.headers {
        if !stays_behind(route, name)
            && !is_named(&named, name)
            && !upgrade.is_some_and(|upgrade| upgrade.leaves_behind(name))
        {
            fields.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &settings.headers {
        // Also where the application sent one that stayed behind: what is configured takes its place.
        if !fields.contains_key(name) {
            fields.append(name.clone(), value.clone());
        }
    }
    fields.append(header::VIA, settings.via.of(app.version).clone());
    if wants_trailers(&app.headers) {
        // Issued anew for this hop (RFC 9110 section 10.1.4); on HTTP/2 the client leaves Connection behind.
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(upgrade) = upgrade {
        upgrade.write_fields(&mut fields);
    }
    if let Some(left) = hops::left(app) {
        fields.insert(header::MAX_FORWARDS, left);
    }
    set_credential(route, &mut fields, app, token);
    fields
}

/// The Host of the application's request; in an absolute target, the authority (RFC 9112 section 3.2.2).
fn host_meant(app: &request::Parts) -> Option<HeaderValue> {
    match app.uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => app.headers.get(header::HOST).cloned(),
    }
}

/// Last, so that nothing the application names in Connection can take it off again. `insert` leaves exactly one.
fn set_credential(route: &Route, fields: &mut HeaderMap, app: &request::Parts, token: Option<&Held>) {
    if let Some(token) = token {
        fields.insert(header::AUTHORIZATION, token.authorization().clone());
    } else if route.passes_authorization()
        && let Some(own) = app.headers.get(header::AUTHORIZATION)
    {
        fields.insert(header::AUTHORIZATION, own.clone());
    }
}

fn stays_behind(route: &Route, name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || matches!(
            *name,
            header::HOST | header::EXPECT | header::AUTHORIZATION | header::PROXY_AUTHORIZATION
        )
        || route.subject_header().is_some_and(|subject| subject == name)
}

/// The fields of an answer as they go on to the application: order, spelling and `Set-Cookie` lines as they came. `Alt-Svc`
/// (RFC 7838) stays behind: it speaks of the API's own address, and an application that went there would go past us.
pub(super) fn of_answer(fields: HeaderMap) -> HeaderMap {
    let stays_behind = |name: &HeaderName| is_hop_by_hop(name) || *name == header::ALT_SVC;
    if !fields.keys().any(stays_behind) && tells_one_length(&fields) {
        return fields;
    }
    let named: Vec<Vec<u8>> = named_by_connection(&fields).into_iter().map(<[u8]>::to_vec).collect();
    let mut kept = HeaderMap::with_capacity(fields.len());
    let mut last = None;
    for (name, value) in fields {
        last = name.or(last);
        let Some(name) = &last else { continue };
        if stays_behind(name) || is_named(&named, name) {
            continue;
        }
        if *name == header::CONTENT_LENGTH {
            // RFC 9112 section 6.3: equal repetitions count as one; unequal ones were refused.
            if !kept.contains_key(name) {
                kept.insert(name.clone(), first_of_list(&value));
            }
        } else {
            kept.append(name.clone(), value);
        }
    }
    kept
}

fn tells_one_length(fields: &HeaderMap) -> bool {
    let mut told = fields.get_all(header::CONTENT_LENGTH).iter();
    told.next().is_none_or(|length| !length.as_bytes().contains(&b',')) && told.next().is_none()
}

fn first_of_list(value: &HeaderValue) -> HeaderValue {
    let first = value.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default();
    HeaderValue::from_bytes(first.trim_ascii()).unwrap_or_else(|_| value.clone())
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
    matches!(*name, header::CONNECTION | header::TE | header::TRANSFER_ENCODING | header::UPGRADE)
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == HTTP2_SETTINGS
}

/// What Connection names besides what is hop-by-hop anyway (RFC 9110 section 7.6.1).
fn named_by_connection(fields: &HeaderMap) -> Vec<&[u8]> {
    let known =
        |option: &[u8]| [&b"close"[..], b"keep-alive"].iter().any(|known| option.eq_ignore_ascii_case(known));
    wire::fields::members(fields, header::CONNECTION).filter(|option| !known(option)).collect()
}

fn is_named<S: AsRef<[u8]>>(named: &[S], name: &HeaderName) -> bool {
    named.iter().any(|option| name.as_str().as_bytes().eq_ignore_ascii_case(option.as_ref()))
}

/// Whether one of the field's list members is `member`.
pub(super) fn lists(fields: &HeaderMap, name: HeaderName, member: &str) -> bool {
    wire::fields::members(fields, name).any(|item| {
        let item = item.split(|octet| *octet == b';').next().unwrap_or_default();
        item.trim_ascii().eq_ignore_ascii_case(member.as_bytes())
    })
}

fn wants_trailers(fields: &HeaderMap) -> bool {
    fields.contains_key(header::TE) && lists(fields, header::TE, "trailers")
}

/// RFC 9110 section 10.1.1 knows one expectation.
pub(super) fn expects_only_100(fields: &HeaderMap) -> bool {
    let mut values = fields.get_all(header::EXPECT).iter();
    values.all(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}
