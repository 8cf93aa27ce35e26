//! Taking a token back (RFC 7009).
//!
//! Knows the revocation request and its answer. Does not know what is forgotten on our side.

use serde_json::{Map, Value};

use super::{
    Failure, Fault,
    refusal::{self, media_type},
    response::Asked,
    token_endpoint::TokenEndpoint,
    token_request::TokenRequest,
};
use crate::{secret::Secret, upstream::once::Answer};

/// What `token_type_hint` says (RFC 7009 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `refresh_token`.
    Refresh,
    /// `access_token`.
    Access,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The server says that it is no longer good.
    Yes,
    /// The server does not revoke this kind (`unsupported_token_type`).
    Unsupported,
    /// No revocation endpoint is known.
    NoEndpoint,
}

impl TokenEndpoint {
    /// Revokes `token`.
    ///
    /// # Errors
    /// The server did not say that it did.
    pub async fn revoke(&self, token: &Secret, kind: TokenKind) -> Result<Revoked, Failure> {
        let Some(place) = &self.revocation else { return Ok(Revoked::NoEndpoint) };
        let Some(place) = place.locate_if_named().await? else { return Ok(Revoked::NoEndpoint) };
        let mut request = TokenRequest::empty();
        request.secret("token", token.clone());
        request.text("token_type_hint", kind.hint());
        let (answer, sent) = self.post_to_located(&place, request).await?;
        read(&answer, Asked { place: &place.shown, sent: &sent, now: self.now(), bare: true })
    }
}

impl TokenKind {
    fn hint(self) -> &'static str {
        match self {
            Self::Refresh => "refresh_token",
            Self::Access => "access_token",
        }
    }
}

/// A token that the server does not know is as good as revoked, and answered with 200 too (RFC 7009 section 2.2).
fn read(answer: &Answer, asked: Asked<'_>) -> Result<Revoked, Failure> {
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        // Some servers say 200 with an OAuth error, and some sites with a page for whatever is asked of them.
        if let Some(failure) = refusal::oauth_error(&members, answer, asked) {
            return Err(failure);
        }
        if !answer.body.is_empty() && media_type(&answer.fields) == "text/html" {
            let words = "with a page: is this the revocation endpoint?";
            return Err(refusal::failure(Fault::Unusable, answer, asked, words));
        }
        return Ok(Revoked::Yes);
    }
    if answer.status.is_client_error()
        && members.get("error").is_some_and(|code| code == "unsupported_token_type")
    {
        return Ok(Revoked::Unsupported);
    }
    Err(refusal::of_other(answer, asked))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::json;

    use super::*;
    use crate::oauth::{
        Grant,
        testing::{Server, answer, grant},
    };

    fn logged_in(server: &Server) -> Arc<dyn Grant> {
        grant(json!({
            "grant_type": "refresh_token", "refresh_token": "first", "token_endpoint": server.url("/token"),
            "revocation_endpoint": server.url("/revoke"), "client_id": "app", "client_secret": "canary-client",
            "encoding": "json", "scope": "a",
        }))
    }

    async fn revoke(given: String) -> Result<Revoked, Failure> {
        let server = Server::answering([given]).await;
        let grant = logged_in(&server);
        let revoked =
            grant.token_endpoint().unwrap().revoke(&Secret::new("canary-token"), TokenKind::Refresh).await;
        assert_eq!(server.seen().len(), 1, "asked once");
        revoked
    }

    #[tokio::test]
    async fn r141_a_token_is_revoked_by_a_form_that_says_its_kind() {
        let server = Server::answering([answer(200, "", ""), answer(200, "", "")]).await;
        let grant = logged_in(&server);
        let endpoint = grant.token_endpoint().unwrap();
        for kind in [TokenKind::Refresh, TokenKind::Access] {
            assert_eq!(endpoint.revoke(&Secret::new("canary-token"), kind).await.unwrap(), Revoked::Yes);
        }
        let [refresh, access] = &server.seen()[..] else { panic!("two requests") };
        assert_eq!(refresh.line, "POST /revoke HTTP/1.1");
        assert_eq!(refresh.field("content-type"), Some("application/x-www-form-urlencoded"));
        assert!(refresh.field("authorization").unwrap().starts_with("Basic "));
        assert_eq!(refresh.body, "token=canary-token&token_type_hint=refresh_token");
        assert_eq!(access.body, "token=canary-token&token_type_hint=access_token");
    }

    #[tokio::test]
    async fn whatever_succeeds_without_an_error_is_success() {
        for given in [
            answer(200, "", ""),
            answer(200, "Content-Type: text/html\r\n", ""),
            answer(200, "Content-Type: application/json\r\n", "{}"),
            answer(200, "", "OK"),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        ] {
            assert_eq!(revoke(given.clone()).await, Ok(Revoked::Yes), "{given}");
        }
    }

    #[tokio::test]
    async fn a_kind_that_the_server_does_not_revoke_is_no_failure() {
        for status in [400, 503] {
            let given = answer(status, "", r#"{"error":"unsupported_token_type"}"#);
            let revoked = revoke(given).await;
            assert_eq!(
                revoked.is_ok_and(|revoked| revoked == Revoked::Unsupported),
                status == 400,
                "{status}"
            );
        }
    }

    /// RFC 7009 section 2.2.1: after a 503 the token still exists.
    #[tokio::test]
    async fn r146_whatever_else_is_answered_the_token_is_not_said_to_be_revoked() {
        let echo = json!({ "error": "invalid_client", "error_description": "canary-client, canary-token" });
        let html =
            |status| answer(status, "Content-Type: text/html; charset=utf-8\r\n", "<p>canary-token</p>");
        for (given, fault, words) in [
            (answer(503, "Retry-After: 7\r\n", ""), Fault::Unusable, "answered 503: an empty body"),
            (answer(401, "", &echo.to_string()), Fault::Refused, "invalid_client (***, ***)"),
            (answer(200, "", &echo.to_string()), Fault::Refused, "invalid_client (***, ***)"),
            (html(200), Fault::Unusable, "is this the revocation endpoint?"),
            (html(404), Fault::Unusable, "text/html"),
            (answer(429, "", ""), Fault::Limited, "too many requests"),
            (answer(307, "Location: https://elsewhere.example/\r\n", ""), Fault::Unusable, "not followed"),
            ("SSH-2.0\r\n".to_owned(), Fault::Unusable, "no HTTP"),
        ] {
            let waits = given.contains("Retry-After").then_some(Duration::from_secs(7));
            let failure = revoke(given).await.unwrap_err();
            assert_eq!((failure.fault, failure.retry_after), (fault, waits), "{failure}");
            assert!(failure.detail.contains(words) && !failure.detail.contains("canary"), "{failure}");
        }
    }

    #[tokio::test]
    async fn without_an_endpoint_nothing_is_sent() {
        let server = Server::answering([""]).await;
        let grant = grant(json!({
            "grant_type": "client_credentials", "token_endpoint": server.url("/t"), "client_id": "a", "client_secret": "b",
        }));
        let endpoint = grant.token_endpoint().unwrap();
        assert_eq!(endpoint.revoke(&Secret::new("t"), TokenKind::Access).await, Ok(Revoked::NoEndpoint));
        assert!(server.seen().is_empty());
    }
}
