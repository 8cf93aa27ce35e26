//! Messages as they pass through: a head, and content of some kind.
//!
//! Knows what both versions of HTTP say in a head. Does not know how it stands on a connection (`head`, hyper) or what it means. hyper's
//! types are made of these and these of hyper's where HTTP/2 is spoken, and nowhere else.

use bytes::Bytes;
use http::{Method, StatusCode, Uri, Version, header};
use hyper::ext::Protocol;

use super::fields::Fields;

/// What a request says in its head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target in origin, absolute, authority (CONNECT) or asterisk (OPTIONS) form.
    pub target: Uri,
    /// In which version it was received.
    pub version: Version,
    /// Its fields.
    pub fields: Fields,
    /// Of an extended CONNECT (RFC 8441): what is to be spoken.
    pub protocol: Option<Protocol>,
}

/// What an answer says in its head.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// The reason phrase, where it is not the usual one.
    pub reason: Option<Reason>,
    /// In which version it was received.
    pub version: Version,
    /// Its fields.
    pub fields: Fields,
}

/// A request.
#[derive(Debug)]
pub struct Request<C> {
    /// Its head; boxed, because it is handed on more often than it is looked at.
    pub head: Box<RequestHead>,
    /// Its content.
    pub content: C,
}

/// An answer.
#[derive(Debug)]
pub struct Answer<C> {
    /// Its head; boxed for the same reason.
    pub head: Box<AnswerHead>,
    /// Its content.
    pub content: C,
}

/// A reason phrase (RFC 9112 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Bytes);

impl Reason {
    /// `reason`, if RFC 9112 section 4 knows its octets.
    pub fn new(reason: Bytes) -> Option<Self> {
        let known = reason.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..));
        known.then_some(Self(reason))
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AnswerHead {
    /// One that says nothing but this.
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: None, version: Version::HTTP_11, fields: Fields::default() }
    }
}

impl<C> Request<C> {
    /// With other content.
    pub fn map<D>(self, content: impl FnOnce(C) -> D) -> Request<D> {
        Request { head: self.head, content: content(self.content) }
    }
}

impl<C> Answer<C> {
    /// A 200 with this content.
    pub fn new(content: C) -> Self {
        Self { head: Box::new(AnswerHead::new(StatusCode::OK)), content }
    }

    /// With other content.
    pub fn map<D>(self, content: impl FnOnce(C) -> D) -> Answer<D> {
        Answer { head: self.head, content: content(self.content) }
    }
}

impl<C> From<http::Request<C>> for Request<C> {
    fn from(request: http::Request<C>) -> Self {
        let (mut parts, content) = request.into_parts();
        let head = RequestHead {
            method: parts.method,
            target: parts.uri,
            version: parts.version,
            fields: Fields::from(&parts.headers),
            protocol: parts.extensions.remove(),
        };
        Self { head: Box::new(head), content }
    }
}

impl<C> From<Request<C>> for http::Request<C> {
    fn from(Request { head, content }: Request<C>) -> Self {
        let mut request = Self::new(content);
        *request.headers_mut() = head.fields.to_map();
        (*request.method_mut(), *request.uri_mut(), *request.version_mut()) =
            (head.method, head.target, head.version);
        if let Some(protocol) = head.protocol {
            request.extensions_mut().insert(protocol);
        }
        request
    }
}

impl<C> From<http::Response<C>> for Answer<C> {
    fn from(response: http::Response<C>) -> Self {
        let (parts, content) = response.into_parts();
        let fields = Fields::from(&parts.headers);
        let head = AnswerHead { status: parts.status, reason: None, version: parts.version, fields };
        Self { head: Box::new(head), content }
    }
}

impl<C> From<Answer<C>> for http::Response<C> {
    fn from(Answer { head, content }: Answer<C>) -> Self {
        let mut response = Self::new(content);
        (*response.status_mut(), *response.version_mut()) = (head.status, head.version);
        let fields = response.headers_mut();
        *fields = head.fields.to_map();
        // Of HTTP/1.1 alone; there what writes the head leaves them out.
        fields.remove(header::CONNECTION);
        fields.remove(header::TRANSFER_ENCODING);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_library_is_one_of_ours_and_back() {
        let mut request =
            http::Request::connect("http://a/b?c").header("x-a", "1").header("x-a", "2").body(7).unwrap();
        *request.version_mut() = Version::HTTP_2;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let again = http::Request::from(Request::from(request.clone()).map(|content| content + 1));
        assert_eq!((again.method(), again.uri()), (request.method(), request.uri()));
        assert_eq!((again.version(), again.headers()), (request.version(), request.headers()));
        assert_eq!(again.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
        assert_eq!(again.into_body(), 8);
        let mut answer = http::Response::builder().status(404).header("x-a", "1").body(7).unwrap();
        *answer.version_mut() = Version::HTTP_2;
        let again = http::Response::from(Answer::from(answer.clone()).map(|content| content + 1));
        assert_eq!((again.status(), again.version()), (answer.status(), answer.version()));
        assert_eq!((again.headers(), *again.body()), (answer.headers(), 8));
    }
}
