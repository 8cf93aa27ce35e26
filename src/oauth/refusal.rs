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

/// The failure that `answer`, which is neither 200 nor 201, of a token endpoint stands for.
pub(super) fn of(answer: &Answer, asked: Asked<'_>) -> Failure {
    let found = of_other(answer, asked);
    // A limit unless it says plainly that it is something else: some servers limit with 403.
    if answer.status == StatusCode::FORBIDDEN && !found.fault.is_final() {
        return failure(Fault::Limited, answer, asked, "taken for a rate limit, as no OAuth error is in it");
    }
    found
}

/// The failure that an endpoint's answer stands for which is no token endpoint.
pub(super) fn of_other(answer: &Answer, asked: Asked<'_>) -> Failure {
    let status = answer.status;
    if status.is_redirection() {
        return failure(
            Fault::Unusable,
            answer,
            asked,
            "redirects are not followed, so that no secret goes astray: \
             the configured one has to be the final URL, its trailing slash included",
        );
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return failure(Fault::Limited, answer, asked, "too many requests");
    }
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).ok();
    members.as_ref().and_then(|members| oauth_error(members, answer, asked)).unwrap_or_else(|| {
        let what =
            if answer.body.is_empty() { "an empty body".to_owned() } else { media_type(&answer.fields) };
        failure(Fault::Unusable, answer, asked, &format!("{what}, no OAuth error in it"))
    })
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
    let (code, mut words) = said(members, asked.sent)?;
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
        "invalid_grant" => {
            (Fault::InvalidGrant, Some("the refresh token, or the user's name or password, is not accepted"))
        }
        // It may be the server's mood or our fault; the specification lets only the above end the tries.
        "invalid_request" if asked.bare => (Fault::Unusable, None),
        "invalid_request" => (Fault::Unusable, Some("check encoding, scope_parameter and parameters")),
        _ => (Fault::Unusable, None),
    };
    if let Some(hint) = hint {
        words = format!("{words}; {hint}");
    }
    Some(failure(fault, answer, asked, &words))
}

/// The code of a JSON object that is an OAuth error, and the server's words as they may be shown.
pub(super) fn said<'m>(members: &'m Map<String, Value>, sent: &Sent) -> Option<(&'m str, String)> {
    let code = members.get("error")?.as_str()?;
    let mut words = presentable(code, sent);
    if let Some(description) = members.get("error_description").and_then(Value::as_str) {
        words = format!("{words} ({})", presentable(description, sent));
    }
    Some((code, words))
}

/// `failure`, which `answer` stands for; where it is a parsed `invalid_grant`, with what that means for what was sent.
pub(super) fn meaning(failure: Failure, answer: &Answer, asked: Asked<'_>, invalid_grant: &str) -> Failure {
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).unwrap_or_default();
    match said(&members, asked.sent).filter(|_| failure.fault == Fault::InvalidGrant) {
        Some((_, words)) => self::failure(failure.fault, answer, asked, &format!("{words}; {invalid_grant}")),
        None => failure,
    }
}

/// A failure that says who answered which status, with its `Retry-After`.
pub(super) fn failure(fault: Fault, answer: &Answer, asked: Asked<'_>, words: &str) -> Failure {
    Failure {
        fault,
        detail: format!("{} answered {}: {words}", asked.place, answer.status.as_u16()),
        retry_after: retry_after(&answer.fields, date(&answer.fields).unwrap_or(asked.now)),
        refresh_token: None,
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

/// A server's text as it may be shown: as [`visible`], capped.
pub(super) fn presentable(text: &str, sent: &Sent) -> String {
    let masked = visible(text, sent);
    match masked.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &masked[..end]),
        None => masked,
    }
}

/// A server's text with secrets masked, and nothing in it that could steer a terminal or forge a line.
pub(super) fn visible(text: &str, sent: &Sent) -> String {
    let visible = |letter: &char| *letter == ' ' || letter.is_ascii_graphic() || letter.is_alphanumeric();
    let masked = sent.mask(text);
    // Masked again, for the letters taken out may have stood amid a secret.
    sent.mask(&masked.chars().filter(visible).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        oauth::token_request::{Encoding, TokenRequest},
        secret::Secret,
    };

    const NOW: u64 = 1_800_000_000;

    fn refusal(status: u16, fields: &[(header::HeaderName, &str)], body: impl ToString) -> Failure {
        let (_, _, sent) = TokenRequest::refresh(&Secret::new("can&ary")).encode(Encoding::Form);
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let body = Zeroizing::new(body.to_string().into_bytes());
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), fields, body };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        of(&answer, Asked { place: "https://id.example/token", sent: &sent, now, bare: false })
    }

    fn error(code: &str) -> String {
        json!({ "error": code }).to_string()
    }

    #[test]
    fn r131_only_a_parsed_oauth_error_is_final() {
        use Fault::{InvalidGrant, Limited, Refused, Unusable};
        let cybrid =
            json!({ "status": 403, "error_message": "Too many", "message_code": "forbidden" }).to_string();
        let nested = json!({ "error": { "key": "invalid_client" } }).to_string();
        for (status, body, fault) in [
            (401, error("invalid_client"), Refused),
            (400, error("invalid_client"), Refused),
            (400, error("unauthorized_client"), Refused),
            (400, error("invalid_scope"), Refused),
            (400, error("unsupported_grant_type"), Refused),
            (400, error("invalid_request"), Unusable),
            (400, error("invalid_grant"), InvalidGrant),
            (401, error("invalid_grant"), InvalidGrant),
            (403, error("invalid_grant"), InvalidGrant),
            (403, error("unauthorized_client"), Refused),
            (403, error("access_denied"), Limited),
            (403, cybrid, Limited),
            (403, "<html>".to_owned(), Limited),
            (403, String::new(), Limited),
            (429, String::new(), Limited),
            (429, error("invalid_client"), Limited),
            (400, error("temporarily_unavailable"), Unusable),
            (400, error("slow_down"), Unusable),
            (400, error("anything_else"), Unusable),
            (400, "invalid_client".to_owned(), Unusable),
            (401, "<html>invalid_client</html>".to_owned(), Unusable),
            (401, String::new(), Unusable),
            (401, nested, Unusable),
            (404, "Not Found".to_owned(), Unusable),
            (500, error("invalid_client"), Unusable),
            (503, error("invalid_grant"), Unusable),
            (502, "<html>".to_owned(), Unusable),
            (204, String::new(), Unusable),
            (301, error("invalid_client"), Unusable),
        ] {
            let failure = refusal(status, &[], &body);
            assert_eq!(failure.fault, fault, "{status} {body}");
            assert!(
                failure.detail.starts_with(&format!("https://id.example/token answered {status}: ")),
                "{failure}"
            );
        }
    }

    #[test]
    fn r008_a_redirect_says_that_it_is_not_followed() {
        for status in [301, 302, 303, 307, 308] {
            let failure = refusal(status, &[(header::LOCATION, "https://elsewhere.example/?canary")], "");
            assert_eq!(failure.fault, Fault::Unusable);
            assert!(failure.detail.contains("redirects are not followed"), "{failure}");
            assert!(!failure.detail.contains("canary"), "{failure}");
        }
    }

    #[test]
    fn r132_retry_after_is_honoured_in_seconds_and_as_a_date_and_capped() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let date = |span: u64| httpdate::fmt_http_date(now + Duration::from_secs(span));
        let past = httpdate::fmt_http_date(now - Duration::from_secs(60));
        for (text, expected) in [
            ("7".to_owned(), Some(7)),
            (" 7 ".to_owned(), Some(7)),
            ("0".to_owned(), Some(0)),
            (date(90), Some(90)),
            (date(86_400), Some(3600)),
            (past, Some(0)),
            ("86400".to_owned(), Some(3600)),
            ("9".repeat(40), Some(3600)),
            ("-5".to_owned(), None),
            ("1.5".to_owned(), None),
            ("soon".to_owned(), None),
            (String::new(), None),
        ] {
            for status in [403, 429, 503] {
                let failure = refusal(status, &[(header::RETRY_AFTER, &text)], "");
                assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), expected, "{status} {text:?}");
            }
        }
        let a_year_ahead = date(31_536_000);
        let fields = [(header::RETRY_AFTER, date(31_536_030)), (header::DATE, a_year_ahead)];
        let fields = fields.each_ref().map(|(name, value)| (name.clone(), value.as_str()));
        assert_eq!(
            refusal(503, &fields, "").retry_after,
            Some(Duration::from_secs(30)),
            "by the server's clock"
        );
    }

    #[test]
    fn r146_a_description_is_shown_without_secrets_and_without_tricks() {
        let description = "Bad can&ary, can%26ary, can\u{1b}[31m&a\nry, c\u{7}an&ary\u{202e}. ".to_owned()
            + &"x".repeat(9000);
        let failure =
            refusal(401, &[], json!({ "error": "invalid_client", "error_description": description }));
        let shown = failure.to_string();
        assert!(shown.contains("invalid_client (Bad ***, ***, "), "{shown}");
        assert!(!shown.contains("can&ary") && !shown.contains("can%26ary"), "{shown}");
        assert!(!shown.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{shown}");
        assert!(shown.len() < 600, "{}", shown.len());
        let failure = refusal(400, &[], json!({ "error": "can&ary\r\nforged line" }));
        assert!(failure.to_string().ends_with("answered 400: ***forged line"), "{failure}");
    }

    #[test]
    fn r146_of_other_bodies_only_the_kind_is_shown() {
        for (media_type, expected) in [
            ("text/html; charset=utf-8", "text/html"),
            ("canary is no type", "a body of no known type"),
            ("", "a body of no known type"),
        ] {
            let failure = refusal(500, &[(header::CONTENT_TYPE, media_type)], "canary");
            assert!(failure.detail.contains(expected) && !failure.detail.contains("canary"), "{failure}");
        }
        assert!(refusal(500, &[], "").detail.contains("an empty body"));
    }
}
