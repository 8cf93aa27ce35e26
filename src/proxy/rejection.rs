//! Does this answer say that the token is no longer good?
//!
//! Knows the rules of `token_invalid`, how much of an answer may be looked at, and how to read a challenge
//! (RFC 9110 section 11.6.1). Does not know what follows from a rejection. Every answer comes out as it went in.

use http::StatusCode;

use super::body::Streamed;
use crate::wire::{
    Answer,
    fields::{Fields, Name},
};

/// The longest answer that is looked at, in octets.
pub(super) const LONGEST_LOOK: usize = 64 << 10;

/// One entry of `token_invalid`. An answer that fits any of a route's rules is a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `{ status, pointer, equals }`: the JSON body's value at an RFC 6901 pointer.
    Body {
        /// The status it needs.
        status: StatusCode,
        /// The JSON pointer.
        pointer: String,
        /// The text that stands there.
        equals: String,
    },
    /// 401 with `WWW-Authenticate: Bearer … error="invalid_token"` (RFC 6750 section 3.1).
    Challenge,
    /// `"any-401"`.
    Any401,
}

impl Rule {
    /// The rules where the configuration names none.
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::Body {
                status: StatusCode::UNAUTHORIZED,
                pointer: "/error/key".to_owned(),
                equals: "token.invalid".to_owned(),
            },
            Self::Challenge,
        ]
    }
}

/// What an answer says of the token it was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was good, or the answer has nothing to do with it.
    Accepted,
    /// It is no longer good.
    Rejected,
}

/// Whether an answer with this status can reject a token at all. Most cannot, and nobody need look closer.
pub(super) fn may_reject(rules: &[Rule], status: StatusCode) -> bool {
    rules.iter().any(|rule| match rule {
        Rule::Any401 | Rule::Challenge => status == StatusCode::UNAUTHORIZED,
        Rule::Body { status: needed, .. } => status == *needed,
    })
}

/// Judges an answer. One to HEAD has no content, and only its challenge can say something.
pub(super) async fn judge(rules: &[Rule], mut response: Answer<Streamed>) -> (Verdict, Answer<Streamed>) {
    let mut rejected = false;
    for rule in rules {
        rejected = rejected || fits(rule, &mut response).await;
    }
    // More scope is what it lacks (RFC 6750 section 3.1), and a new token would not have more.
    if rejected && bearer_errors(&response.head.fields).iter().any(|error| error == "insufficient_scope") {
        rejected = false;
    }
    (if rejected { Verdict::Rejected } else { Verdict::Accepted }, response)
}

async fn fits(rule: &Rule, response: &mut Answer<Streamed>) -> bool {
    match rule {
        Rule::Any401 => response.head.status == StatusCode::UNAUTHORIZED,
        Rule::Challenge => {
            response.head.status == StatusCode::UNAUTHORIZED
                && bearer_errors(&response.head.fields).iter().any(|error| error == "invalid_token")
        }
        Rule::Body { status, pointer, equals } => {
            response.head.status == *status
                && is_plain_json(&response.head.fields)
                && look(&mut response.content).await.is_some_and(|content| says(&content, pointer, equals))
        }
    }
}

/// The whole content, if it is short and comes in time.
async fn look(body: &mut Streamed) -> Option<Vec<u8>> {
    body.hold(LONGEST_LOOK).await.then(|| body.held())
}

pub(crate) fn says(content: &[u8], pointer: &str, equals: &str) -> bool {
    serde_json::from_slice::<serde_json::Value>(content)
        .is_ok_and(|value| value.pointer(pointer).and_then(serde_json::Value::as_str) == Some(equals))
}

/// JSON, or what does not say what it is, in no further coding: nothing is decompressed to be looked at.
pub(crate) fn is_plain_json(fields: &Fields) -> bool {
    let json = fields.get(Name::CONTENT_TYPE).is_none_or(|value| {
        let essence =
            std::str::from_utf8(value).unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
    });
    let plain = fields
        .get_all(Name::CONTENT_ENCODING)
        .all(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"identity"));
    json && plain
}

/// The `error` parameters of every Bearer challenge.
pub(crate) fn bearer_errors(fields: &Fields) -> Vec<String> {
    let mut errors = Vec::new();
    for value in fields.get_all(Name::WWW_AUTHENTICATE) {
        let text = String::from_utf8_lossy(value);
        let mut in_bearer = false;
        for item in list_items(&text) {
            let (scheme, parameter) = scheme_and_parameter(item);
            if let Some(scheme) = scheme {
                in_bearer = scheme.eq_ignore_ascii_case("Bearer");
            }
            if in_bearer
                && let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("error")
            {
                errors.push(unquoted(value.trim()));
            }
        }
    }
    errors
}

/// The items of a comma-separated list; commas in quoted strings do not count.
fn list_items(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(text[start..].trim());
    items
}

/// An item either goes on with the challenge before it (`name=value`) or begins one (`Scheme`, `Scheme name=value`).
fn scheme_and_parameter(item: &str) -> (Option<&str>, &str) {
    let end = item.find([' ', '\t', '=', '"']).unwrap_or(item.len());
    let rest = item[end..].trim_start();
    if rest.starts_with('=') { (None, item) } else { (Some(&item[..end]), rest) }
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.split([' ', '\t']).next().unwrap_or_default().to_owned();
    };
    let (mut text, mut escaped) = (String::new(), false);
    for letter in inner.chars() {
        match letter {
            _ if escaped => {
                text.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};
    use proptest::prelude::*;

    use super::*;

    fn errors(value: &[u8]) -> Vec<String> {
        let mut fields = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(header::WWW_AUTHENTICATE, value);
        }
        bearer_errors(&Fields::from(&fields))
    }

    proptest! {
        #[test]
        fn r117_no_challenge_panics(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            errors(&octets);
        }

        #[test]
        fn r117_a_bearer_error_is_found_among_any_challenges(
            before in "(Basic realm=\"[a-zA-Z, =\\\\]{0,10}x\", |Negotiate [a-z]{1,8}={0,2}, |, ){0,3}",
            own in "(realm=\"[a-z, =]{0,8}\" ?, ?){0,2}",
            after in "(, [a-z]{1,5}=\"[a-z, =]{0,8}\"){0,2}(, Digest error=\"other\")?",
        ) {
            let value = format!("{before}Bearer {own}error=\"invalid_token\"{after}");
            prop_assert_eq!(errors(value.as_bytes()), ["invalid_token"]);
        }

        #[test]
        fn no_content_panics(content in prop::collection::vec(any::<u8>(), 0..80), pointer in "[/~01a-z]{0,12}") {
            says(&content, &pointer, "token.invalid");
        }
    }
}
