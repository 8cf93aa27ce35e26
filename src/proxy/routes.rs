//! Which upstream a request is for, and what of its path goes on.
//!
//! Knows routes, path prefixes, Hosts and whose token is asked for. Does not know sockets or what is done with the
//! request. A route owns the one client that can carry its token: the client's endpoint is where it goes.

use std::{borrow::Cow, collections::HashMap, fmt, rc::Rc, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Version, header, uri::PathAndQuery};

use super::{
    complaints::Complaints,
    failure::{Failure, Kind},
    patience::Patience,
    rejection::Rule,
    replay::RequestBody,
    via::Via,
};
use crate::{
    telemetry::UpstreamMetrics,
    token::{Supply, TokenSource},
    upstream::{
        Endpoint, Origin,
        client::{Client, Limits},
    },
    wire::{
        RequestHead,
        fields::{Fields, Name},
    },
};

/// The longest subject, in octets.
const LONGEST_SUBJECT: usize = 256;

/// How requests of one upstream are treated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The upstream's name.
    pub name: Arc<str>,
    /// The path in front of every request's, without a trailing slash; often empty.
    pub base: String,
    /// Fields added where the application sent none.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// From the last of the request to the response head.
    pub response_timeout: Duration,
    /// How long a request waits for a token.
    pub token_timeout: Duration,
    /// How long a request's body, or an answer's of known length, may stand still.
    pub body_timeout: Duration,
    /// The longest request body that is held for a replay, in octets.
    pub replay_limit: usize,
    /// The application's own Authorization is passed where there is no token; never beside one.
    pub keep_authorization: bool,
    /// The application's Host is passed on.
    pub preserve_host: bool,
    /// Which answers mean that a token is no longer good.
    pub token_invalid: Vec<Rule>,
    /// WebSocket and other upgrades pass.
    pub upgrades: bool,
    /// How long a tunnel may be silent; none: for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Which connections are kept.
    pub connections: Limits,
    /// How we name ourselves on what goes on.
    pub via: Via,
}

/// One upstream as one worker sees it.
pub struct Route {
    settings: Arc<Settings>,
    supply: Option<Supply>,
    client: Client<RequestBody>,
    metrics: Arc<UpstreamMetrics>,
    host: HeaderValue,
    response_patience: Rc<Patience>,
    body_patience: Rc<Patience>,
    complaints: Complaints,
}

/// What a listener leads to.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An upstream's own port.
    One(Rc<Route>),
    /// The gateway.
    Table(Rc<RouteTable>),
    /// A route that the forward proxy found: the target goes on as it came, whatever the base.
    Forward(Rc<Route>),
}

/// The gateway's upstreams, by Host and path prefix.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Those with a Host, by it.
    by_host: HashMap<String, Prefixes>,
    /// Those that every Host leads to.
    of_all: Prefixes,
}

/// Upstreams by their path prefix; an empty one is that of all paths.
#[derive(Debug, Default)]
struct Prefixes(HashMap<String, Rc<Route>>);

/// One upstream of the gateway. With both a Host and a path, both must fit.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its Host, lowercased, without a port.
    pub host: Option<String>,
    /// Its path prefix, without a trailing slash; stripped.
    pub path: Option<String>,
    /// Where it leads.
    pub route: Rc<Route>,
}

impl Route {
    /// A route to `endpoint`, with tokens from `supply`.
    ///
    /// # Errors
    /// The origin's authority cannot be a Host field.
    pub fn new(
        settings: Arc<Settings>,
        endpoint: Arc<Endpoint>,
        supply: Option<Supply>,
        metrics: Arc<UpstreamMetrics>,
    ) -> Result<Rc<Self>, header::InvalidHeaderValue> {
        let host = HeaderValue::try_from(endpoint.origin().authority())?;
        let client = Client::new(endpoint, settings.connections);
        let response_patience = Patience::new(settings.response_timeout);
        let body_patience = Patience::new(settings.body_timeout);
        let complaints = Complaints::default();
        Ok(Rc::new(Self {
            settings,
            supply,
            client,
            metrics,
            host,
            response_patience,
            body_patience,
            complaints,
        }))
    }

    /// Where it leads.
    pub fn origin(&self) -> &Origin {
        self.client.endpoint().origin()
    }

    /// How we name ourselves on an answer that was received in `version`.
    pub fn via(&self, version: Version) -> &HeaderValue {
        self.settings.via.of(version)
    }

    /// The path in front of every request's that comes in elsewhere than through the forward proxy.
    pub fn base(&self) -> &str {
        &self.settings.base
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For the answer.
    pub(super) fn response_patience(&self) -> &Rc<Patience> {
        &self.response_patience
    }

    /// For bodies that stand still.
    pub(super) fn body_patience(&self) -> &Rc<Patience> {
        &self.body_patience
    }

    pub(super) fn client(&self) -> &Client<RequestBody> {
        &self.client
    }

    pub(super) fn metrics(&self) -> &Arc<UpstreamMetrics> {
        &self.metrics
    }

    pub(super) fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(super) fn has_token(&self) -> bool {
        self.supply.is_some()
    }

    /// Whether the application's own credential goes on: only where there is no token to set.
    pub(super) fn passes_authorization(&self) -> bool {
        self.settings.keep_authorization && self.supply.is_none()
    }

    /// The field that names a request's subject, where tokens have subjects.
    pub(super) fn subject_header(&self) -> Option<&HeaderName> {
        match &self.supply {
            Some(Supply::PerSubject(subjects)) => Some(subjects.header()),
            _ => None,
        }
    }

    /// Whose token goes on a request with these fields.
    ///
    /// # Errors
    /// It must name a subject and does not.
    pub(super) fn source(&self, fields: &Fields) -> Result<Option<Cow<'_, TokenSource>>, Failure> {
        match &self.supply {
            None => Ok(None),
            Some(Supply::One(source)) => Ok(Some(Cow::Borrowed(source))),
            Some(Supply::PerSubject(subjects)) => {
                let subject = subject(fields, subjects.header())?;
                Ok(Some(Cow::Owned(subjects.source(subject))))
            }
        }
    }
}

fn subject<'a>(fields: &'a Fields, name: &HeaderName) -> Result<&'a str, Failure> {
    let wrong = |problem: &str| {
        Failure::new(Kind::NoSubject, format!("the field {name} must name the subject: it {problem}"))
    };
    let mut values = fields.get_all(name);
    let value = values.next().ok_or_else(|| wrong("is missing"))?;
    if values.next().is_some() {
        return Err(wrong("is there more than once"));
    }
    if value.is_empty() {
        return Err(wrong("is empty"));
    }
    if value.len() > LONGEST_SUBJECT {
        return Err(wrong("is longer than 256 octets"));
    }
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(wrong("holds something other than visible ASCII"));
    }
    std::str::from_utf8(value).map_err(|_| wrong("is not ASCII"))
}

impl Entry {
    /// The route of a request, and the target it has there.
    ///
    /// # Errors
    /// It belongs to no upstream, or its path could be taken for another's.
    pub(super) fn find(&self, head: &RequestHead) -> Result<(&Rc<Route>, PathAndQuery), Failure> {
        let whole = head
            .target
            .path_and_query()
            .ok_or_else(|| Failure::new(Kind::Malformed, "the request target has no path"))?;
        let (route, prefix, base) = match self {
            Self::One(route) => (route, 0, route.base()),
            Self::Table(table) => {
                let (route, prefix) = table.find(host_of(head), whole.path())?;
                (route, prefix, route.base())
            }
            Self::Forward(route) => (route, 0, ""),
        };
        if route.settings.via.is_in(&head.fields) {
            let detail = "this request has come through here before: where it goes leads back to this bearward (`url`, or an \
                          outer proxy)";
            return Err(Failure::new(Kind::Loop, detail).at(&route.settings.name));
        }
        if prefix > 0 && is_ambiguous(whole.path()) {
            let detail = "on a path prefix, paths with dot segments, backslashes, semicolons or one of \
                          these percent-encoded are refused";
            return Err(Failure::new(Kind::AmbiguousPath, detail).at(&route.settings.name));
        }
        let target = join(base, whole, prefix)
            .map_err(|_| Failure::new(Kind::Malformed, "the request target is too long"))?;
        Ok((route, target))
    }
}

impl RouteTable {
    /// A table of these rows. Of two with the same Host and path the first counts; one with neither leads nowhere.
    pub fn new(rows: Vec<Row>) -> Self {
        let mut table = Self::default();
        for Row { host, path, route } in rows {
            let prefixes = match (host, &path) {
                (Some(host), _) => table.by_host.entry(host.to_ascii_lowercase()).or_default(),
                (None, Some(_)) => &mut table.of_all,
                (None, None) => continue,
            };
            prefixes.0.entry(path.unwrap_or_default()).or_insert(route);
        }
        table
    }

    /// The Hosts that lead somewhere, which the listener must let in.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(String::as_str)
    }

    /// The route, and how many octets of the path are its prefix. The most particular counts: one with a Host, then one with the longest
    /// path. However many there are, a request looks for no more than its path has segments.
    fn find(&self, host: &str, path: &str) -> Result<(&Rc<Route>, usize), Failure> {
        let of_host = || match self.by_host.get(host) {
            None if host.bytes().any(|octet| octet.is_ascii_uppercase()) => {
                self.by_host.get(&host.to_ascii_lowercase())
            }
            prefixes => prefixes,
        };
        let of_host = if self.by_host.is_empty() { None } else { of_host() };
        of_host
            .and_then(|prefixes| prefixes.find(path))
            .or_else(|| self.of_all.find(path))
            .ok_or_else(|| Failure::new(Kind::NoRoute, "no upstream is configured for this path or Host"))
    }
}

impl Prefixes {
    /// The longest prefix of whole segments: `/shop` is one of `/shop` and `/shop/x`, not of `/shopping`.
    fn find(&self, path: &str) -> Option<(&Rc<Route>, usize)> {
        if self.0.is_empty() {
            return None;
        }
        let ends = path.bytes().enumerate().rev().filter(|(_, octet)| *octet == b'/').map(|(at, _)| at);
        let mut ends = std::iter::once(path.len()).chain(ends).chain(std::iter::once(0));
        ends.find_map(|end| Some((self.0.get(path.get(..end)?)?, end)))
    }
}

/// The host a request names, without its port and the dot of the root.
fn host_of(head: &RequestHead) -> &str {
    let authority = match head.target.authority() {
        Some(authority) => authority.as_str(),
        None => {
            head.fields.get(Name::HOST).and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default()
        }
    };
    let host = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// Whole segments: `/shop` is a prefix of `/shop` and `/shop/x`, not of `/shopping`.
pub(super) fn has_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether two readers could see two paths: what is normalized after the prefix was chosen leaves the prefix.
pub(super) fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    let encoded = bytes.windows(3).any(|three| {
        three[0] == b'%'
            && matches!(
                [three[1], three[2].to_ascii_lowercase()],
                [b'2', b'e' | b'f'] | [b'3', b'b'] | [b'5', b'c']
            )
    });
    encoded
        || bytes.iter().any(|byte| matches!(byte, b'\\' | b';'))
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// The base in front, the first `prefix` octets off; everything else octet for octet.
fn join(base: &str, whole: &PathAndQuery, prefix: usize) -> Result<PathAndQuery, http::uri::InvalidUri> {
    if (base.is_empty() && prefix == 0) || whole.path() == "*" {
        return Ok(whole.clone());
    }
    // Where nothing is left of the path, the base stands as it is written: for some APIs a slash more is another path.
    let nothing_left = if base.is_empty() { "/" } else { "" };
    let rest = whole.path().get(prefix..).filter(|rest| !rest.is_empty()).unwrap_or(nothing_left);
    let mut target = String::with_capacity(base.len() + whole.as_str().len() + 1);
    target.push_str(base);
    target.push_str(rest);
    if let Some(query) = whole.query() {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(target))
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Request;

    fn normalized(path: &str) -> Vec<String> {
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
        let mut segments: Vec<String> = Vec::new();
        for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                other => segments.push(other.to_owned()),
            }
        }
        segments
    }

    proptest! {
        #[test]
        fn r013_what_is_not_ambiguous_stays_under_its_prefix_however_it_is_normalized(
            rest in "(/(shop|bank|\\.|\\.\\.|\\.\\.%3Bx|%3b|%2e|%2E%2e|%2f|%2F\\.\\.|\\\\|%5C|;x|a\\.b|%20|%25|[a-z]){0,3}){0,6}"
        ) {
            let path = format!("/shop{rest}");
            prop_assume!(has_prefix(&path, "/shop") && !is_ambiguous(&path));
            let segments = normalized(&path);
            prop_assert_eq!(segments.first().map(String::as_str), Some("shop"));
        }

        #[test]
        fn r013_r080_the_rest_of_the_path_and_the_query_go_on_octet_for_octet(
            base in "(/[a-z0-9]{1,5}){0,2}",
            rest in "(/[!$-+\\--;=@-Z_a-z~%\\\\]{0,8}){0,5}",
            query in proptest::option::of("[!$-;=?-Z_a-z~%]{0,20}"),
        ) {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let whole: PathAndQuery = format!("/shop{rest}{query}").parse().unwrap();
            let target = join(&base, &whole, "/shop".len()).unwrap();
            let rest = if rest.is_empty() && base.is_empty() { "/" } else { &rest };
            prop_assert_eq!(target.as_str(), format!("{base}{rest}{query}"));
            let untouched = join("", &whole, 0).unwrap();
            prop_assert_eq!(untouched.as_str(), whole.as_str());
        }

        #[test]
        fn a_prefix_is_made_of_whole_segments(prefix in "(/[a-z]{1,3}){1,3}", path in "(/[a-z]{0,3}){0,5}") {
            let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(has_prefix(&path, &prefix), segments(&path).starts_with(&segments(&prefix)));
        }
    }

    #[test]
    fn a_host_loses_its_port_and_last_dot_and_an_address_keeps_its_brackets() {
        for (host, bare) in [
            ("a.b:80", "a.b"),
            ("a.b", "a.b"),
            ("a.b.:80", "a.b"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            let request: Request<()> = http::Request::get("/").header("host", host).body(()).unwrap().into();
            assert_eq!(host_of(&request.head), bare);
        }
    }

    #[test]
    fn the_server_wide_target_stays_what_it_is() {
        assert_eq!(join("/base", &PathAndQuery::from_static("*"), 0).unwrap().as_str(), "*");
    }
}
