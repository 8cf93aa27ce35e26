//! `request`: a token got with another token, by one POST (not of RFC 6749). Where the URL or the body says `{subject}`,
//! the recipe yields one token for each.
//!
//! Knows how a subject gets into a URL or JSON without becoming anything but a value there. Does not know where the
//! subject or the parent's token come from.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Grant, Identity, Start};
use crate::oauth::{
    Failure, Fault, Granted, Keys,
    place::Place,
    refusal,
    response::{self, Asked},
    token_request::Sent,
};

const SUBJECT: &str = "{subject}";
/// As [`SUBJECT`], where a URL had its braces encoded.
const ENCODED_SUBJECT: &str = "%7Bsubject%7D";
/// All but the unreserved characters (RFC 3986 section 2.3).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

struct RequestGrant {
    place: Place,
    body: Option<Map<String, Value>>,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let place = Place::fixed(keys, "url");
    let body = keys.object("body");
    Some(Arc::new(RequestGrant { place: place?, body }))
}

impl fmt::Debug for RequestGrant {
    /// Without `body`, in which there may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestGrant").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Grant for RequestGrant {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.place.recipe("request");
        recipe.part_if("body", self.body.clone().map(|body| Value::Object(body).to_string()).as_deref());
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.place.name())
    }

    fn start<'a>(&'a self, with: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async move {
            let url = url_for(&self.place.url().await?, with.subject)?;
            let mut fields = HeaderMap::new();
            let mut body = Bytes::new();
            if let Some(template) = &self.body {
                fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let filled = filled(&Value::Object(template.clone()), with.subject)?;
                body = Bytes::from_owner(Zeroizing::new(filled.to_string().into_bytes()));
            }
            if let Some(parent) = with.parent {
                let mut parent = parent.clone();
                parent.set_sensitive(true);
                fields.insert(header::AUTHORIZATION, parent);
            }
            let answer = self.place.post(url, fields, body).await?;
            let sent = Sent::authorization(with.parent);
            let now = self.place.clock.now().wall();
            let asked = Asked { place: self.place.name(), sent: &sent, now, bare: true };
            if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                && with.parent.is_some()
            {
                return Err(refusal::of_parent(&answer, asked));
            }
            let mut granted = response::read(&answer, asked)?;
            granted.refresh_token = None;
            Ok(granted)
        })
    }
}

/// The URL with the subject in it. Percent-encoded it is one segment or one value, except that servers resolve `.` and
/// `..` and many take an encoded slash for a slash: with these a subject would choose another resource.
fn url_for(template: &Uri, subject: Option<&str>) -> Result<Uri, Failure> {
    let target = template.path_and_query().map_or("/", PathAndQuery::as_str);
    if !target.contains(SUBJECT) && !target.contains(ENCODED_SUBJECT) {
        return Ok(template.clone());
    }
    let subject = needed(subject)?;
    if matches!(subject, "" | "." | "..") || subject.contains(['/', '\\']) {
        return Err(refused(
            "this subject cannot stand in a URL: it is empty, `.` or `..`, or holds a slash",
        ));
    }
    let encoded = utf8_percent_encode(subject, NOT_UNRESERVED).to_string();
    let target = target.replace(SUBJECT, &encoded).replace(ENCODED_SUBJECT, &encoded);
    let mut parts = template.clone().into_parts();
    parts.path_and_query = Some(target.parse().map_err(|_| refused("this subject is too long for a URL"))?);
    Uri::from_parts(parts).map_err(|_| refused("this subject cannot stand in a URL"))
}

/// The JSON with the subject in its texts. It is put into values, not into their notation, so it cannot end a text.
fn filled(template: &Value, subject: Option<&str>) -> Result<Value, Failure> {
    Ok(match template {
        Value::String(text) if text.contains(SUBJECT) => {
            Value::String(text.replace(SUBJECT, needed(subject)?))
        }
        Value::Array(entries) => {
            Value::Array(entries.iter().map(|entry| filled(entry, subject)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| Ok((name.clone(), filled(value, subject)?)))
                .collect::<Result<_, Failure>>()?,
        ),
        other => other.clone(),
    })
}

fn needed(subject: Option<&str>) -> Result<&str, Failure> {
    subject.ok_or_else(|| refused("this token is one per subject, and no subject was named"))
}

fn refused(problem: &str) -> Failure {
    Failure::new(Fault::Refused, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        oauth::testing::{Server, answer, grant, start},
        secret::Secret,
    };

    fn jwt() -> String {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode("{\"exp\":1800000600}"))
    }

    fn for_subject<'a>(subject: &'a str, parent: &'a HeaderValue) -> Start<'a> {
        Start { subject: Some(subject), parent: Some(parent), rejected: None }
    }

    fn bank() -> HeaderValue {
        HeaderValue::from_static("Bearer canary")
    }

    /// Cybrid's customer tokens: 201, and nothing but a JWT.
    #[tokio::test]
    async fn a_customers_token_is_got_with_the_banks() {
        let date = "Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n";
        let server =
            Server::answering([answer(201, date, &json!({ "access_token": jwt() }).to_string())]).await;
        let grant = grant(json!({
            "grant_type": "request", "url": server.url("/api/customer_tokens"),
            "body": { "customer_guid": "{subject}", "scopes": ["trades:read"], "nested": [{ "id": "<{subject}>" }, 3] },
        }));
        let subject = "a\",\"scopes\":[\"all\"],\"x\":\"{subject}";
        let granted = grant.start(for_subject(subject, &bank())).await.unwrap();
        assert_eq!(granted.access_token, Secret::new(jwt()));
        // Ten minutes, and Date may be a second old.
        assert_eq!(granted.lifetime, Some(std::time::Duration::from_secs(599)));
        let [seen] = &server.seen()[..] else { panic!("one request") };
        assert_eq!(seen.line, "POST /api/customer_tokens HTTP/1.1");
        assert_eq!(seen.field("authorization"), Some("Bearer canary"));
        assert_eq!(seen.field("content-type"), Some("application/json"));
        let expected = json!({
            "customer_guid": subject, "scopes": ["trades:read"], "nested": [{ "id": format!("<{subject}>") }, 3],
        });
        assert_eq!(seen.json(), expected, "a subject is a value, whatever it holds");
        let (one, two) = (grant.identity(Some("one")), grant.identity(Some("two")));
        assert!(one.chain != two.chain && one.recipe != two.recipe);
    }

    #[tokio::test]
    async fn a_refused_parent_is_told_from_a_limit() {
        for (status, fault) in [
            (401, Fault::ParentRefused),
            (403, Fault::ParentRefused),
            (429, Fault::Limited),
            (404, Fault::Unusable),
            (500, Fault::Unusable),
        ] {
            let server = Server::answering([answer(status, "Retry-After: 7\r\n", "canary")]).await;
            let grant = grant(
                json!({ "grant_type": "request", "url": server.url("/t"), "body": { "id": "{subject}" } }),
            );
            let failure = grant.start(for_subject("s", &bank())).await.unwrap_err();
            assert_eq!(failure.fault, fault);
            assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), Some(7));
            assert!(!failure.detail.contains("canary"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_subject_in_the_url_is_one_segment_of_it() {
        let server = Server::answering([answer(200, "", "{}")]).await;
        let grant =
            grant(json!({ "grant_type": "request", "url": server.url("/c/{subject}/token?for={subject}") }));
        assert!(grant.start(for_subject("a b?c=%2e#ü&", &bank())).await.is_err());
        let [seen] = &server.seen()[..] else { panic!("one request") };
        let encoded = "a%20b%3Fc%3D%252e%23%C3%BC%26";
        assert_eq!(seen.line, format!("POST /c/{encoded}/token?for={encoded} HTTP/1.1"));
        assert_eq!(seen.body, "");
        for subject in ["", ".", "..", "../admin", "a/b", "a\\b"] {
            let failure = grant.start(for_subject(subject, &bank())).await.unwrap_err();
            assert_eq!(failure.fault, Fault::Refused, "{subject}");
        }
        assert_eq!(server.seen().len(), 1);
        assert_eq!(start(&*grant).await.unwrap_err().fault, Fault::Refused, "no subject at all");
    }
}
