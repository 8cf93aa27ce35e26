//! A request as hyper hands it over -> one that means the same to every reader (RFC 9113 sections 8.2 and 8.3), or a refusal.
//!
//! Knows what h2 lets through: white space around values, targets that are none, an authority unlike Host, several Content-Lengths.
//! Does not know who may come in or where the request goes. What is wrong is answered 400 (RFC 9113 section 8.2.1).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONTENT_LENGTH, COOKIE, HOST},
    uri::PathAndQuery,
};
use hyper::ext::Protocol;

use crate::{
    ingress::connection::Limits,
    proxy::{Failure, Kind},
    wire::{
        fields::is_sound,
        target::{check_path_and_query, host_and_port},
    },
};

/// A request that goes no further.
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// It is an error of its stream (RFC 9113 section 8.1.1), and not only too much or unwanted.
    pub(super) malformed: bool,
}

/// The request with exactly one Host, which is its `:authority` where it has one, and one Cookie at most.
///
/// # Errors
/// It is malformed, or has too many fields.
pub(super) fn checked<B>(mut request: Request<B>, limits: &Limits) -> Result<Request<B>, Refused> {
    let (fields, most) = (request.headers(), limits.head_fields);
    if fields.len() > most {
        let detail = format!("the request has more than {most} fields (head_fields in [limits])");
        return Err(Refused { failure: Failure::new(Kind::HeadTooLarge, detail), malformed: false });
    }
    if limits.refuse_underscores && fields.keys().any(|name| name.as_str().contains('_')) {
        let detail = "a field's name has an underscore (underscores in [limits])";
        return Err(Refused { failure: Failure::new(Kind::Malformed, detail), malformed: false });
    }
    if !fields.iter().all(|(name, value)| is_sound(name, value)) {
        return Err(malformed("a field's name is no token, or its value begins or ends with white space"));
    }
    // That it is a number and counts the content, h2 has seen to.
    if is_repeated(fields, &CONTENT_LENGTH) || fields.get(CONTENT_LENGTH).is_some_and(HeaderValue::is_empty) {
        return Err(malformed("the request has several Content-Length fields, or one that says nothing"));
    }
    target(&request)?;
    let host = host(&request)?;
    let fields = request.headers_mut();
    fields.insert(HOST, host);
    join_cookies(fields)?;
    Ok(request)
}

fn malformed(detail: &'static str) -> Refused {
    Refused { failure: Failure::new(Kind::Malformed, detail), malformed: true }
}

fn is_repeated(fields: &HeaderMap, name: &HeaderName) -> bool {
    fields.get_all(name).iter().nth(1).is_some()
}

/// `:path` is in origin form, or `*` to OPTIONS; a plain CONNECT has none (RFC 9113 sections 8.3.1 and 8.5).
fn target<B>(request: &Request<B>) -> Result<(), Refused> {
    let uri = request.uri();
    if *request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
        let port = uri.authority().and_then(|authority| host_and_port(authority.as_str().as_bytes())?.1);
        return port.map(|_| ()).ok_or(malformed("CONNECT needs an :authority with a port"));
    }
    let path = uri.path_and_query().filter(|path| !is_absent(path)).map(PathAndQuery::as_str);
    match path {
        Some("*") if *request.method() == Method::OPTIONS => Ok(()),
        Some(path) => check_path_and_query(path.as_bytes()).map_err(malformed),
        None => Err(malformed("the request has no :path")),
    }
}

/// Shown as `/` as well, but unlike it.
fn is_absent(path: &PathAndQuery) -> bool {
    path.as_str() == "/" && *path != PathAndQuery::from_static("/")
}

fn host<B>(request: &Request<B>) -> Result<HeaderValue, Refused> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(malformed("the request has several Host fields"));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let chosen = match (authority, host) {
        (None, None) => return Err(malformed("the request has neither :authority nor Host")),
        (None, Some(host)) => host.clone(),
        (Some(authority), host) => {
            let unlike = |host: &HeaderValue| !is_same(request.uri(), authority, host.as_bytes());
            if host.is_some_and(unlike) {
                return Err(malformed(":authority and Host name two places (RFC 9113 section 8.3.1)"));
            }
            HeaderValue::from_str(authority).map_err(|_| malformed(":authority is no host and port"))?
        }
    };
    match host_and_port(chosen.as_bytes()) {
        Some(_) => Ok(chosen),
        None => {
            Err(malformed("what the request names as its host is no host and port, or has user information"))
        }
    }
}

/// But for the scheme's own port and the case of letters.
fn is_same(uri: &Uri, authority: &str, host: &[u8]) -> bool {
    let default = match uri.scheme_str() {
        Some("https") => ":443",
        _ => ":80",
    };
    let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    std::str::from_utf8(host).is_ok_and(|host| bare(host) == bare(authority))
}

/// RFC 9113 section 8.2.3: the crumbs of a Cookie are one field outside of HTTP/2.
fn join_cookies(fields: &mut HeaderMap) -> Result<(), Refused> {
    if !is_repeated(fields, &COOKIE) {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    fields.insert(COOKIE, whole.map_err(|_| malformed("the Cookie is too long"))?);
    Ok(())
}
