//! Reading a request as strictly as the provider it simulates.
//!
//! Knows bodies (form, JSON), HTTP Basic and Bearer, and refuses what is malformed or said twice. Does not know whether
//! credentials and tokens are the right ones.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::answer::Answer;
use crate::clock::Moment;

/// How much of a body is kept, in octets.
const KEPT: usize = 1 << 20;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// When its head had come.
    pub at: Moment,
    /// Its method.
    pub method: Method,
    /// Its request target, as sent.
    pub target: String,
    /// The target without the query.
    pub path: String,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body, at most the first MiB.
    pub body: Bytes,
    /// How long the body was, in octets.
    pub length: u64,
    /// Whether the body came to its end.
    pub complete: bool,
}

impl Call {
    /// Reads the rest of a request whose head came at `at`.
    pub async fn read(request: Request<Incoming>, at: Moment) -> Self {
        let (head, mut incoming) = request.into_parts();
        let (mut body, mut length, mut complete) = (BytesMut::new(), 0, true);
        while let Some(frame) = incoming.frame().await {
            let Ok(frame) = frame else {
                complete = false;
                break;
            };
            if let Ok(data) = frame.into_data() {
                length += data.len() as u64;
                let room = KEPT - body.len();
                body.extend_from_slice(&data[..room.min(data.len())]);
            }
        }
        Self { body: body.freeze(), length, complete, ..Self::head(&head, at) }
    }

    /// The head alone; the body is somebody else's to read.
    pub fn head(head: &http::request::Parts, at: Moment) -> Self {
        Self {
            at,
            method: head.method.clone(),
            target: head.uri.to_string(),
            path: head.uri.path().to_owned(),
            fields: head.headers.clone(),
            body: Bytes::new(),
            length: 0,
            complete: true,
        }
    }

    /// The one value of a field; `None` where there is none, more than one, or no text.
    pub fn field(&self, name: &header::HeaderName) -> Option<&str> {
        let mut values = self.fields.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// The access token (RFC 6750 section 2.1).
    pub fn bearer(&self) -> Option<&str> {
        self.field(&header::AUTHORIZATION)?.strip_prefix("Bearer ").filter(|token| !token.is_empty())
    }

    /// Client id and secret by HTTP Basic, both form-decoded (RFC 6749 section 2.3.1).
    pub fn basic(&self) -> Option<(String, String)> {
        let encoded = self.field(&header::AUTHORIZATION)?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        Some((form_decoded(id)?, form_decoded(secret)?))
    }

    /// The parameters of the query, repeated ones and all.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// `http://` and the host that it was sent to: what a server behind one port takes for its own address.
    pub fn origin(&self) -> String {
        format!("http://{}", self.field(&header::HOST).unwrap_or_default())
    }

    /// The parameters of a form body.
    ///
    /// # Errors
    /// It is none, or one is there twice (RFC 6749 section 3.2).
    pub fn form(&self) -> Result<Parameters, Refusal> {
        self.expect_content_type("application/x-www-form-urlencoded")?;
        Parameters::new(form_urlencoded::parse(&self.body).into_owned().collect())
    }

    /// The members of a JSON object in the body.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Parameters, Refusal> {
        self.expect_content_type("application/json")?;
        let Ok(Value::Object(members)) = serde_json::from_slice(&self.body) else {
            return Err(Refusal::request("the body is no JSON object"));
        };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Parameters::new(members.into_iter().map(|(name, value)| (name, text(value))).collect())
    }

    fn expect_content_type(&self, expected: &str) -> Result<(), Refusal> {
        let is = self.field(&header::CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
        if !self.complete {
            return Err(Refusal::request("the body was cut short"));
        }
        if is.is_some_and(|is| is.eq_ignore_ascii_case(expected)) {
            return Ok(());
        }
        Err(Refusal::request(&format!(
            "this endpoint takes {expected}, not {}",
            is.unwrap_or("an unnamed type")
        )))
    }
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

/// The parameters of a token request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn new(pairs: Vec<(String, String)>) -> Result<Self, Refusal> {
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Refusal::request(&format!("the parameter {name} is there twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of one, where it is there.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of one that has to be there and not be empty.
    ///
    /// # Errors
    /// It is not.
    pub fn needed(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.one(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refusal::request(&format!("the parameter {name} is missing")))
    }

    /// Refuses a parameter that has no business here.
    ///
    /// # Errors
    /// It is there.
    pub fn without(&self, name: &str, why: &str) -> Result<(), Refusal> {
        match self.one(name) {
            None => Ok(()),
            Some(_) => Err(Refusal::request(&format!("the parameter {name} does not belong here: {why}"))),
        }
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// Why a token request is refused (RFC 6749 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The `error` code.
    pub error: &'static str,
    /// In words.
    pub description: String,
}

impl Refusal {
    /// `invalid_request`.
    pub fn request(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// `invalid_client`.
    pub fn client(description: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    /// `invalid_grant`.
    pub fn grant(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_grant", description)
    }

    /// `invalid_scope`.
    pub fn scope(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", description)
    }

    /// An error of another kind, as a 400.
    pub fn other(error: &'static str, description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, description)
    }

    /// `unsupported_grant_type`.
    pub fn grant_type(grant_type: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", &format!("not {grant_type} here"))
    }

    fn new(status: StatusCode, error: &'static str, description: &str) -> Self {
        Self { status, error, description: description.to_owned() }
    }

    /// As the answer it is.
    pub fn into_answer(self) -> Answer {
        let answer = Answer::oauth_error(self.status, self.error, &self.description);
        match self.status {
            StatusCode::UNAUTHORIZED => answer.field(header::WWW_AUTHENTICATE, "Basic realm=\"simulator\""),
            _ => answer,
        }
    }
}

/// The scope's parts; refused where one is not `allowed`.
///
/// # Errors
/// `invalid_scope`.
pub fn scope_within(scope: &str, allowed: &[&str]) -> Result<Vec<String>, Refusal> {
    let parts: Vec<String> = scope.split(' ').map(str::to_owned).collect();
    match parts.iter().find(|part| !allowed.contains(&part.as_str())) {
        Some(part) => Err(Refusal::scope(&format!("no such scope: {part:?}"))),
        None => Ok(parts),
    }
}
