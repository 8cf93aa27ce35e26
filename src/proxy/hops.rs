//! Max-Forwards: how many more hops OPTIONS may take (RFC 9110 section 7.6.2). TRACE takes none here.

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::{
    body::ResponseBody,
    failure::{Failure, Kind},
};
use crate::wire::{Answer, RequestHead, fields::Name};

/// The answer of the last hop, if that is us: none of the upstream's options are known here, and none are told.
///
/// # Errors
/// The field says no number.
pub(super) fn last(app: &RequestHead) -> Result<Option<Answer<ResponseBody>>, Failure> {
    if app.method != Method::OPTIONS || !app.fields.contains(Name::MAX_FORWARDS) {
        return Ok(None);
    }
    let most = most(app)
        .ok_or_else(|| Failure::new(Kind::Malformed, "Max-Forwards must be there once, as decimal digits"))?;
    Ok((most == 0).then(|| Answer::new(ResponseBody::whole(Bytes::new()))))
}

/// What the next hop is told.
pub(super) fn left(app: &RequestHead) -> Option<HeaderValue> {
    let most = if app.method == Method::OPTIONS { most(app)? } else { return None };
    Some(most.saturating_sub(1).into())
}

/// More than fits is as many as fit.
fn most(app: &RequestHead) -> Option<u32> {
    let value = app.fields.get_only(Name::MAX_FORWARDS)?;
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(u32::MAX))
}
