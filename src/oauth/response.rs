//! What a token endpoint's answer grants (RFC 6749 section 5.1).
//!
//! Knows the members of a token response, odd lifetimes and the JWT's `exp`. Does not know who asked, nor what an answer
//! that grants nothing means (`refusal`).

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    Failure, Fault,
    refusal::{self, media_type},
    token_request::Sent,
};
use crate::{secret::Secret, upstream::once::Answer};

/// The longest lifetime that is believed; whatever is beyond is a mistake, and no token lives for ever.
const LONGEST_LIFETIME: f64 = 10.0 * 365.0 * 86_400.0;
const SHORTEST_LIFETIME: f64 = 1.0;
/// The longest access token, in octets: a request that carries it has to fit the heads that servers take.
const LONGEST_TOKEN: usize = 32 << 10;

/// A usable answer.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: Secret,
    /// `Bearer <access token>`, built once and marked sensitive; known to be b64token.
    pub authorization: HeaderValue,
    /// `expires_in`, else the JWT's `exp`, clamped to at least one second; `None` where neither says. Counted from the
    /// moment before the request was sent.
    pub lifetime: Option<Duration>,
    /// A refresh token, where the answer held one.
    pub refresh_token: Option<Secret>,
    /// The granted scope, where the answer said one.
    pub scope: Option<String>,
}

/// What has to be known of the request to read its answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The token endpoint's URL as it may be shown.
    pub place: &'a str,
    /// The secrets that were sent.
    pub sent: &'a Sent,
    /// The wall clock, for answers without a `Date`.
    pub now: SystemTime,
    /// Whether no token response of RFC 6749 is asked for: a missing `token_type` is usual there.
    pub bare: bool,
}

impl Granted {
    /// What is granted by an access token alone: its lifetime is what a JWT's `exp` says, seen from `now`.
    ///
    /// # Errors
    /// It is no b64token (RFC 6750 section 2.1), or longer than any field may be. The words do not hold it.
    pub fn bare(access_token: Secret, now: SystemTime) -> Result<Self, &'static str> {
        let (authorization, lifetime) = bearer(&access_token, now)?;
        Ok(Self { access_token, authorization, lifetime, refresh_token: None, scope: None })
    }
}

/// Reads the answer to a token request.
///
/// # Errors
/// It grants no token that can be used.
pub fn read(answer: &Answer, asked: Asked<'_>) -> Result<Granted, Failure> {
    if !matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
        return Err(refusal::of(answer, asked));
    }
    let unusable = |problem: &str| {
        Failure::new(
            Fault::Unusable,
            format!("{} answered {}, but {problem}", asked.place, answer.status.as_u16()),
        )
    };
    let mut members =
        object(answer).map_err(|problem| unusable(&format!("{problem}: is this the token endpoint?")))?;
    let refresh_token = secret(&mut members, "refresh_token").filter(|token| !token.is_empty());
    let Some(access_token) = secret(&mut members, "access_token") else {
        // Some servers say 200 with an OAuth error.
        return Err(refusal::oauth_error(&members, answer, asked)
            .unwrap_or_else(|| Failure { refresh_token, ..unusable("there is no access_token in it") }));
    };
    match usable(access_token, &members, answer, asked) {
        Ok(granted) => Ok(Granted { refresh_token, ..granted }),
        Err(problem) => Err(Failure { refresh_token, ..unusable(&problem) }),
    }
}

/// The JSON object that the answer's body is.
///
/// # Errors
/// It is none, in words that show nothing of it.
pub(super) fn object(answer: &Answer) -> Result<Map<String, Value>, String> {
    if let Some(coding) = answer.fields.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err("the answer is compressed, which was not asked for".to_owned());
    }
    serde_json::from_slice(&answer.body).map_err(|_| {
        let what =
            if answer.body.is_empty() { "an empty body".to_owned() } else { media_type(&answer.fields) };
        format!("with {what} instead of a JSON object")
    })
}

fn usable(
    access_token: Secret,
    members: &Map<String, Value>,
    answer: &Answer,
    asked: Asked<'_>,
) -> Result<Granted, String> {
    check_token_type(members.get("token_type"), asked)?;
    // Date is a whole second, and the answer was made within it: the end of it counts, or a JWT would be sent dead.
    let now = date(&answer.fields).map_or(asked.now, |date| date + Duration::from_secs(1));
    let mut granted = Granted::bare(access_token, now)?;
    granted.lifetime = members.get("expires_in").and_then(seconds).map(lifetime).or(granted.lifetime);
    granted.scope = members.get("scope").and_then(scope);
    Ok(granted)
}

/// The server's clock at the time of the answer, its fraction of a second cut off (RFC 9110 section 6.6.1).
pub(super) fn date(fields: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(fields.get(header::DATE)?.to_str().ok()?).ok()
}

/// Moves a text out of the answer, so that no unwiped copy of it stays behind.
fn secret(members: &mut Map<String, Value>, name: &str) -> Option<Secret> {
    match members.remove(name)? {
        Value::String(text) => Some(Secret::new(text)),
        _ => None,
    }
}

/// A token of an unknown type is not sent as Bearer (RFC 6749 section 7.1). Servers that forget the type mean Bearer.
fn check_token_type(token_type: Option<&Value>, asked: Asked<'_>) -> Result<(), String> {
    match token_type {
        None | Some(Value::Null) => {
            if !asked.bare {
                tracing::warn!(
                    token_endpoint = asked.place,
                    "the answer names no token_type; taken for Bearer"
                );
            }
            Ok(())
        }
        Some(Value::String(name)) if name.eq_ignore_ascii_case("bearer") => Ok(()),
        Some(Value::String(name)) => Err(format!(
            "its token_type is {:?}, and only Bearer can be sent",
            refusal::presentable(name, asked.sent)
        )),
        Some(_) => Err("its token_type is no text".to_owned()),
    }
}

/// The field that carries the token, and the lifetime that the token itself tells.
#[expect(clippy::disallowed_methods, reason = "the Authorization field is what an access token is for")]
fn bearer(access_token: &Secret, now: SystemTime) -> Result<(HeaderValue, Option<Duration>), &'static str> {
    let token = access_token.expose();
    if token.len() > LONGEST_TOKEN {
        return Err("its access_token is longer than 32 KiB, more than a request's head can carry");
    }
    if !is_b64token(token) {
        return Err("its access_token holds characters that no Bearer token may (RFC 6750 section 2.1)");
    }
    let field = Zeroizing::new(["Bearer ", token].concat());
    let mut authorization =
        HeaderValue::from_str(&field).map_err(|_| "its access_token cannot stand in a field")?;
    authorization.set_sensitive(true);
    Ok((authorization, jwt_lifetime(token, now)))
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet))
}

/// How long a JWT (RFC 7519 section 4.1.4) still lives. Its signature is not verified: bearward is not its audience and
/// decides nothing by it but when to ask for the next one, and it came from the server that is trusted to say so.
fn jwt_lifetime(token: &str, now: SystemTime) -> Option<Duration> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Some(lifetime(claims.get("exp")?.as_f64()? - now))
}

/// A number of seconds, or a text of one.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    seconds.is_finite().then_some(seconds)
}

fn lifetime(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME).floor())
}

pub(super) fn scope(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
