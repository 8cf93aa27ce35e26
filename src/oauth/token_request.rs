//! What a token request says, and how it is written: a form or JSON.
//!
//! Knows parameters, their encodings, and which secrets are among them, so that they can be masked wherever the answer
//! repeats them. Does not know what the parameters mean, nor where they go.

use std::{borrow::Cow, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// All but the unreserved characters (RFC 3986 section 2.3).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The shortest of the further parameters' texts that is masked, in octets.
const SHORTEST_MASKED: usize = 8;

/// The token request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-www-form-urlencoded` (RFC 6749 appendix B).
    #[default]
    Form,
    /// One JSON object.
    Json,
}

/// A token request in the making. The order of its parameters is kept.
#[derive(Debug)]
pub struct TokenRequest {
    pub(super) fields: HeaderMap,
    pub(super) wants_scope: bool,
    parameters: Vec<(Cow<'static, str>, Parameter)>,
    sent: Sent,
}

enum Parameter {
    Text(String),
    Secret(Secret),
    Json(Value),
}

/// The secrets of a request, in every form in which an answer could repeat them.
#[derive(Default)]
pub struct Sent(Vec<Zeroizing<String>>);

impl TokenRequest {
    /// A request of `grant_type`.
    pub fn new(grant_type: &str) -> Self {
        let mut request = Self { wants_scope: true, ..Self::empty() };
        request.text("grant_type", grant_type);
        request
    }

    /// A request to another endpoint, which knows no grant type.
    pub fn empty() -> Self {
        Self { fields: HeaderMap::new(), wants_scope: false, parameters: Vec::new(), sent: Sent::default() }
    }

    /// A request with a refresh token (RFC 6749 section 6).
    pub fn refresh(refresh_token: &Secret) -> Self {
        let mut request = Self::new("refresh_token");
        request.secret("refresh_token", refresh_token.clone());
        request
    }

    /// Leaves the scope out: on a refresh that means the scope that was granted first (RFC 6749 section 6).
    #[must_use]
    pub fn without_scope(mut self) -> Self {
        self.wants_scope = false;
        self
    }

    /// Adds a text.
    pub fn text(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.parameters.push((name.into(), Parameter::Text(value.into())));
    }

    /// Adds a secret.
    pub fn secret(&mut self, name: &'static str, value: Secret) {
        self.sent.note(&value);
        self.parameters.push((name.into(), Parameter::Secret(value)));
    }

    /// Adds any value. In a form a list becomes one parameter for each of its entries (RFC 8707 section 2).
    pub fn json(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        // Nobody says whether it is a secret. What is shorter would leave holes in every text.
        if let Some(text) = value.as_str().filter(|text| text.len() >= SHORTEST_MASKED) {
            self.sent.note_text(text);
        }
        self.parameters.push((name.into(), Parameter::Json(value)));
    }

    /// Sets `Authorization: Basic …`; both secrets are masked in what the answer says.
    pub(super) fn basic(&mut self, value: HeaderValue, credentials: &Zeroizing<String>, secret: &Secret) {
        self.sent.note(secret);
        self.sent.0.push(credentials.clone());
        self.fields.insert(header::AUTHORIZATION, value);
    }

    /// The body and its media type, and what has to be masked in the answer.
    pub(super) fn encode(self, encoding: Encoding) -> (HeaderMap, Bytes, Sent) {
        let Self { mut fields, parameters, sent, .. } = self;
        let (media_type, body) = match encoding {
            Encoding::Form => ("application/x-www-form-urlencoded", form(&parameters)),
            Encoding::Json => ("application/json", json(&parameters)),
        };
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        (fields, Bytes::from_owner(body), sent)
    }
}

impl fmt::Debug for Parameter {
    /// Only texts, which the configuration or a grant says openly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Secret(_) | Self::Json(_) => f.write_str("***"),
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent(..)")
    }
}

impl Sent {
    #[expect(clippy::disallowed_methods, reason = "kept to be masked in what is shown, and wiped after")]
    fn note(&mut self, secret: &Secret) {
        self.note_text(secret.expose());
    }

    /// As it is, as a form or a URL writes it, and in base64.
    fn note_text(&mut self, plain: &str) {
        let mut forms = vec![
            form_urlencoded::byte_serialize(plain.as_bytes()).collect::<String>(),
            utf8_percent_encode(plain, NOT_UNRESERVED).to_string(),
            utf8_percent_encode(plain, NON_ALPHANUMERIC).to_string(),
            BASE64_STANDARD.encode(plain),
        ];
        let lower: Vec<_> = forms[..3].iter().map(|form| lower_hex(form)).collect();
        forms.extend(lower);
        for form in forms {
            let form = Zeroizing::new(form);
            if *form != plain && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        self.0.push(Zeroizing::new(plain.to_owned()));
    }

    /// The token of an `Authorization` value.
    pub fn authorization(value: Option<&HeaderValue>) -> Self {
        let token = value.and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
        Self(token.map(|(_, token)| Zeroizing::new(token.to_owned())).into_iter().collect())
    }

    /// `text` with every secret that was sent replaced.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in self.0.iter().filter(|secret| !secret.is_empty()) {
            masked = masked.replace(secret.as_str(), "***");
        }
        masked
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the token request's body is where secrets go; it is wiped when sent"
)]
fn form(parameters: &[(Cow<'static, str>, Parameter)]) -> Zeroizing<Vec<u8>> {
    // Encoded in full, an octet takes three: with that much room the text never moves and leaves no copy behind.
    let room = parameters.iter().map(|(name, value)| 3 * (name.len() + value.room()) + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
    for (name, value) in parameters {
        match value {
            Parameter::Text(text) => form.append_pair(name, text),
            Parameter::Secret(secret) => form.append_pair(name, secret.expose()),
            Parameter::Json(Value::Array(entries)) => {
                form.extend_pairs(entries.iter().map(|entry| (name, plain(entry))))
            }
            Parameter::Json(value) => form.append_pair(name, &plain(value)),
        };
    }
    Zeroizing::new(form.finish().into_bytes())
}

/// Percent-encoded octets with small hexadecimal digits, as some write them.
fn lower_hex(encoded: &str) -> String {
    let mut digits = 0_u8;
    let lower = |letter: char| {
        let is_digit = digits > 0;
        digits = if letter == '%' { 2 } else { digits.saturating_sub(1) };
        if is_digit { letter.to_ascii_lowercase() } else { letter }
    };
    encoded.chars().map(lower).collect()
}

/// A JSON value as a form says it.
fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

fn json(parameters: &[(Cow<'static, str>, Parameter)]) -> Zeroizing<Vec<u8>> {
    struct Object<'a>(&'a [(Cow<'static, str>, Parameter)]);
    impl Serialize for Object<'_> {
        #[expect(clippy::disallowed_methods, reason = "the token request's body is where secrets go")]
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(self.0.len()))?;
            for (name, value) in self.0 {
                match value {
                    Parameter::Text(text) => map.serialize_entry(name, text)?,
                    Parameter::Secret(secret) => map.serialize_entry(name, secret.expose())?,
                    Parameter::Json(value) => map.serialize_entry(name, value)?,
                }
            }
            map.end()
        }
    }
    let room = parameters.iter().map(|(name, value)| 6 * (name.len() + value.room()) + 6).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *body, &Object(parameters))
        .unwrap_or_else(|problem| unreachable!("texts and JSON values are JSON: {problem}"));
    body
}

impl Parameter {
    #[expect(clippy::disallowed_methods, reason = "only its length is looked at")]
    fn room(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Secret(secret) => secret.expose().len(),
            Self::Json(value) => value.to_string().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(encoding: Encoding) -> String {
        let mut request = TokenRequest::new("password");
        request.text("scope", "a b");
        request.secret("password", Secret::new("p&=+ä\"%"));
        request.json("resource", json!(["https://a/", "https://b/"]));
        request.json("depth", json!(3));
        String::from_utf8(request.encode(encoding).1.to_vec()).unwrap()
    }

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        assert_eq!(
            body(Encoding::Form),
            "grant_type=password&scope=a+b&password=p%26%3D%2B%C3%A4%22%25\
             &resource=https%3A%2F%2Fa%2F&resource=https%3A%2F%2Fb%2F&depth=3"
        );
    }

    #[test]
    fn json_keeps_values_as_they_are() {
        let expected = json!({
            "grant_type": "password", "scope": "a b", "password": "p&=+ä\"%",
            "resource": ["https://a/", "https://b/"], "depth": 3,
        });
        assert_eq!(serde_json::from_str::<Value>(&body(Encoding::Json)).unwrap(), expected);
    }

    #[test]
    fn r146_a_request_in_the_making_shows_no_secret() {
        let mut request = TokenRequest::refresh(&Secret::new("canary"));
        request.secret("client_secret", Secret::new("ca/nary"));
        request.json("assertion", json!("canary"));
        let shown = format!("{request:?}");
        assert!(!shown.contains("nary"), "{shown}");
        let (_, _, sent) = request.encode(Encoding::Form);
        assert_eq!(sent.mask("x canary y ca%2Fnary ca/nary"), "x *** y *** ***");
    }

    #[test]
    fn r146_a_secret_is_masked_however_an_answer_writes_it() {
        let mut request = TokenRequest::new("client_credentials");
        request.secret("client_secret", Secret::new("can+ary/é"));
        request.json("assertion", Value::from("canary-assertion"));
        request.json("audience", Value::from("short"));
        let (_, _, sent) = request.encode(Encoding::Form);
        for written in [
            "can+ary/é",
            "can%2Bary%2F%C3%A9",
            "can%2bary%2f%c3%a9",
            "Y2FuK2FyeS/DqQ==",
            "canary-assertion",
            "canary%2Dassertion",
        ] {
            assert_eq!(sent.mask(&format!("<{written}>")), "<***>", "{written}");
        }
        assert_eq!(sent.mask("a short text"), "a short text");
    }
}
