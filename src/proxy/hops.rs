//! Max-Forwards: how many more hops OPTIONS may take (RFC 9110 section 7.6.2). TRACE takes none here.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, header, request};

use super::{
    body::ResponseBody,
    failure::{Failure, Kind},
};

const LIMITED: HeaderName = header::MAX_FORWARDS;

/// The answer of the last hop, if that is us: none of the upstream's options are known here, and none are told.
///
/// # Errors
/// The field says no number.
pub(super) fn last(app: &request::Parts) -> Result<Option<Response<ResponseBody>>, Failure> {
    if app.method != Method::OPTIONS || !app.headers.contains_key(LIMITED) {
        return Ok(None);
    }
    let most = most(app)
        .ok_or_else(|| Failure::new(Kind::Malformed, "Max-Forwards must be there once, as decimal digits"))?;
    Ok((most == 0).then(|| Response::new(ResponseBody::whole(Bytes::new()))))
}

/// What the next hop is told.
pub(super) fn left(app: &request::Parts) -> Option<HeaderValue> {
    let most = if app.method == Method::OPTIONS { most(app)? } else { return None };
    Some(most.saturating_sub(1).into())
}

/// More than fits is as many as fit.
fn most(app: &request::Parts) -> Option<u32> {
    let mut values = app.headers.get_all(LIMITED).iter();
    let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(u32::MAX))
}
