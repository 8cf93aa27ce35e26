//! A request as hyper wants it for HTTP/2 (RFC 9113), and what hyper's failures mean.
//!
//! Knows which fields HTTP/2 does not have, and when an upstream has said that it did not begin with a request. Does not know connections.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use hyper::client::conn::TrySendError;

use super::client::{SendError, Unanswered, Unsent};
use crate::wire::{
    fields::{Name, Names},
    head::Outgoing,
};

/// What HTTP/2 says otherwise, or not at all (RFC 9113 sections 8.2.2 and 8.3.1).
const NOT_IN_HTTP2: Names = Names::of(&[Name::HOST, Name::CONNECTION, Name::TRANSFER_ENCODING]);

/// A request as hyper wants it for HTTP/2: `Host` becomes `:authority`, and connection-specific fields stay behind.
pub(super) fn request<B>(
    outgoing: &dyn Outgoing,
    content: B,
    https: bool,
) -> Result<http::Request<B>, SendError> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if https { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    uri.authority = outgoing.host().try_into().ok();
    uri.path_and_query = outgoing.target().try_into().ok();
    let mut request = http::Request::new(content);
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = outgoing.method().clone();
    *request.uri_mut() = Uri::from_parts(uri).map_err(|error| SendError::NotHttp(error.to_string()))?;
    if let Some(protocol) = outgoing.protocol() {
        request.extensions_mut().insert(protocol.clone());
    }
    let mut fields = HeaderMap::with_capacity(outgoing.came().len() + 4);
    for field in outgoing.came().iter() {
        if field.known.is_some_and(|name| NOT_IN_HTTP2.has(name)) || outgoing.stays_behind(&field) {
            continue;
        }
        // Both were checked; `http` knows the same octets.
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value))
        {
            // RFC 7541 section 7.1.3: a credential is never indexed.
            value.set_sensitive(field.known == Some(Name::AUTHORIZATION));
            fields.append(name, value);
        }
    }
    outgoing.added(&mut |name, value| {
        fields.append(name, value.clone());
    });
    *request.headers_mut() = fields;
    Ok(request)
}

impl<B> From<TrySendError<http::Request<B>>> for Unanswered<B> {
    fn from(mut failed: TrySendError<http::Request<B>>) -> Self {
        let request = failed.take_message();
        let error = failed.into_error();
        match request {
            Some(request) => Self::NotSent(Box::new(Unsent::Content(request.into_body())), error.into()),
            None if is_not_begun(&error) => Self::Failed(SendError::NotBegun(error.into())),
            None if error.is_user() => Self::Failed(SendError::Body(error.into())),
            None if error.is_parse_too_large() => Self::Failed(SendError::HeadTooLarge),
            None if error.is_parse() => Self::Failed(SendError::NotHttp(error.to_string())),
            None => Self::Failed(SendError::Cut(error.into())),
        }
    }
}

/// RFC 9113 section 8.7. h2 gives the GOAWAY for an error to those streams alone that it does not name; the others end as the connection
/// does.
fn is_not_begun(error: &hyper::Error) -> bool {
    of_h2(error).is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
}

fn of_h2(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Whether this is a connection that was told to end, rather than one stream.
pub(super) fn is_go_away(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    cause.downcast_ref().and_then(of_h2).is_some_and(h2::Error::is_go_away)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::wire::Request;

    #[test]
    fn r066_on_http_2_host_is_the_authority_and_a_credential_is_never_indexed() {
        let came = http::Request::post("/a?b")
            .header("host", "h:8080")
            .header("connection", "te")
            .header("transfer-encoding", "chunked")
            .header("X-One", "1")
            .header("authorization", "Basic eDp5")
            .header("x-one", "2");
        let Request { head, .. } = Request::from(came.body(()).unwrap());
        let made = request(&*head, (), true).unwrap();
        assert_eq!((made.method(), made.version()), (&Method::POST, Version::HTTP_2));
        assert_eq!(made.uri().to_string(), "https://h:8080/a?b");
        let fields: Vec<_> =
            made.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("x-one", &b"1"[..]), ("x-one", b"2"), ("authorization", b"Basic eDp5")]);
        assert!(made.headers()["authorization"].is_sensitive() && !made.headers()["x-one"].is_sensitive());
    }
}
