//! What an answer means that grants no token (RFC 6749 section 5.2): whose fault, and whether asking again can help.
//!
//! Knows error codes, statuses and `Retry-After`. Shows of an answer only what cannot hold a token: its status, its media
//! type, and the texts of a parsed OAuth error with every secret masked that was sent.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::{
    Failure, Fault,
    response::{Asked, date},
    token_request::Sent,
};
use crate::upstream::once::Answer;

/// The longest wait that a server can impose (CHECKLIST 132).
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest text of a server's that is shown, in characters.
const LONGEST_TEXT: usize = 200;

/// The failure that `answer`, which is neither 200 nor 201, stands for.
pub(super) fn of(answer: &Answer, asked: Asked<'_>) -> Failure {
    let status = answer.status;
    if status.is_redirection() {
        return failure(
            Fault::Unusable,
            answer,
            asked,
            "redirects are not followed, so that no secret goes astray: \
             token_endpoint has to be the final URL, its trailing slash included",
        );
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return failure(Fault::Limited, answer, asked, "too many token requests");
    }
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).ok();
    let parsed = members.as_ref().and_then(|members| oauth_error(members, answer, asked));
    match (status, parsed) {
        // A limit unless it says plainly that it is something else: some servers limit with 403.
        (StatusCode::FORBIDDEN, Some(parsed)) if parsed.fault.is_final() => parsed,
        (StatusCode::FORBIDDEN, _) => {
            failure(Fault::Limited, answer, asked, "taken for a rate limit, as no OAuth error is in it")
        }
        (_, Some(parsed)) => parsed,
        (_, None) => {
            let what =
                if answer.body.is_empty() { "an empty body".to_owned() } else { media_type(&answer.fields) };
            failure(Fault::Unusable, answer, asked, &format!("{what}, no OAuth error in it"))
        }
    }
}

/// The failure that a chained token request's 401 or 403 stands for.
pub(super) fn of_parent(answer: &Answer, asked: Asked<'_>) -> Failure {
    failure(Fault::ParentRefused, answer, asked, "the token that authorizes the request was refused")
}

/// The failure of a JSON object that is an OAuth error: its `error` is a text. Only a client error's can be final.
pub(super) fn oauth_error(
    members: &Map<String, Value>,
    answer: &Answer,
    asked: Asked<'_>,
) -> Option<Failure> {
    let code = members.get("error")?.as_str()?;
    let (fault, hint) = match code {
        _ if answer.status.is_server_error() => (Fault::Unusable, None),
        "invalid_client" => {
            (Fault::Refused, Some("check client_id, client_secret and token_endpoint_auth_method"))
        }
        "unauthorized_client" => (
            Fault::Refused,
            Some("the client may not use this grant_type: have it allowed, or choose another"),
        ),
        "invalid_scope" => (Fault::Refused, Some("check scope")),
        "unsupported_grant_type" => (Fault::Refused, Some("check grant_type, token_endpoint and encoding")),
        "invalid_request" => (Fault::Refused, Some("check encoding, scope_parameter and parameters")),
        "invalid_grant" => {
            (Fault::InvalidGrant, Some("the refresh token, or the user's name or password, is not accepted"))
        }
        _ => (Fault::Unusable, None),
    };
    let mut words = presentable(code, asked.sent);
    if let Some(description) = members.get("error_description").and_then(Value::as_str) {
        words = format!("{words} ({})", presentable(description, asked.sent));
    }
    if let Some(hint) = hint {
        words = format!("{words}; {hint}");
    }
    Some(failure(fault, answer, asked, &words))
}

fn failure(fault: Fault, answer: &Answer, asked: Asked<'_>, words: &str) -> Failure {
    Failure {
        fault,
        detail: format!("{} answered {}: {words}", asked.place, answer.status.as_u16()),
        retry_after: retry_after(&answer.fields, date(&answer.fields).unwrap_or(asked.now)),
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), capped.
fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = fields.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
        // More digits than fit are an absurd wait, and capped like one.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The media type as it may be shown: without parameters, and only if it looks like one.
pub(super) fn media_type(fields: &HeaderMap) -> String {
    let value = fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/.+-".contains(&octet);
    if essence.is_empty() || essence.len() > 60 || !essence.bytes().all(plain) {
        "a body of no known type".to_owned()
    } else {
        essence.to_ascii_lowercase()
    }
}

/// A server's text as it may be shown: secrets masked, nothing that could steer a terminal or forge a line, capped.
pub(super) fn presentable(text: &str, sent: &Sent) -> String {
    let visible = |letter: &char| *letter == ' ' || letter.is_ascii_graphic() || letter.is_alphanumeric();
    let masked = sent.mask(text);
    // Masked again, for the letters taken out may have stood amid a secret.
    let masked = sent.mask(&masked.chars().filter(visible).collect::<String>());
    match masked.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &masked[..end]),
        None => masked,
    }
}
