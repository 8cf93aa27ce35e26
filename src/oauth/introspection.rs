//! Asking about a token (RFC 7662).
//!
//! Knows the introspection request and its answer. Does not know why somebody asks.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::Value;

use super::{
    Failure, Fault,
    refusal::{self, visible},
    response::{self, Asked},
    token_endpoint::TokenEndpoint,
    token_request::TokenRequest,
};
use crate::{secret::Secret, upstream::once::Answer};

/// What the server says of a token (RFC 7662 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspected {
    /// Whether it is good.
    pub active: bool,
    /// Its scope.
    pub scope: Option<String>,
    /// When it expires.
    pub expires_at: Option<SystemTime>,
    /// The client it was given to.
    pub client_id: Option<String>,
    /// Whom it acts for, in words for people.
    pub username: Option<String>,
}

impl TokenEndpoint {
    /// Asks about `access_token`. `None` where the server has no introspection endpoint that is known. `refresh_token` is sent
    /// along only where `introspection_refresh_token` says so.
    ///
    /// # Errors
    /// The server did not say.
    pub async fn introspect(
        &self,
        access_token: &Secret,
        refresh_token: Option<&Secret>,
    ) -> Result<Option<Introspected>, Failure> {
        let Some(place) = &self.introspection else { return Ok(None) };
        let Some(place) = place.locate_if_named().await? else { return Ok(None) };
        let mut request = TokenRequest::empty();
        request.secret("token", access_token.clone());
        if let Some(refresh_token) = refresh_token.filter(|_| self.introspection_refresh_token) {
            request.secret("refresh_token", refresh_token.clone());
        }
        let (answer, sent) = self.post_to_located(&place, request).await?;
        read(&answer, Asked { place: &place.shown, sent: &sent, now: self.now(), bare: true }).map(Some)
    }
}

fn read(answer: &Answer, asked: Asked<'_>) -> Result<Introspected, Failure> {
    if answer.status != StatusCode::OK {
        return Err(refusal::of_other(answer, asked));
    }
    let unusable = |problem: &str| refusal::failure(Fault::Unusable, answer, asked, problem);
    let members = response::object(answer)
        .map_err(|problem| unusable(&format!("{problem}: is this the introspection endpoint?")))?;
    let Some(active) = members.get("active").and_then(Value::as_bool) else {
        return Err(refusal::oauth_error(&members, answer, asked)
            .unwrap_or_else(|| unusable("whether the token is active is not in it")));
    };
    let text = |name| members.get(name).and_then(Value::as_str).map(|text| visible(text, asked.sent));
    Ok(Introspected {
        active,
        scope: members.get("scope").and_then(response::scope).map(|scope| visible(&scope, asked.sent)),
        expires_at: members.get("exp").and_then(date),
        client_id: text("client_id"),
        username: text("username"),
    })
}

/// `exp` (RFC 7662 section 2.2): seconds since 1970, of a moment that a calendar can hold.
fn date(exp: &Value) -> Option<SystemTime> {
    let seconds = response::seconds(exp)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::oauth::{
        Grant,
        testing::{Server, answer, grant, json as answering},
    };

    fn apicbase(server: &Server, changes: Value) -> Arc<dyn Grant> {
        let mut table = json!({
            "grant_type": "client_credentials",
            "token_endpoint": server.url("/oauth/token/"),
            "introspection_endpoint": server.url("/oauth/introspect/?tenant=1"),
            "client_id": "kitchen",
            "client_secret": "canary-client",
            "token_endpoint_auth_method": "client_secret_post",
        });
        table.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        grant(table)
    }

    async fn ask(grant: &dyn Grant) -> Result<Option<Introspected>, Failure> {
        let (access, refresh) = (Secret::new("canary-access"), Secret::new("canary-refresh"));
        grant.token_endpoint().unwrap().introspect(&access, Some(&refresh)).await
    }

    async fn read_of(body: Value) -> Introspected {
        let server = Server::answering([answering(body)]).await;
        ask(&*apicbase(&server, json!({}))).await.unwrap().unwrap()
    }

    /// PROVIDERS: Apicbase's shape.
    #[tokio::test]
    async fn r141_a_token_is_asked_about_with_the_refresh_token_only_where_it_is_wanted() {
        let active = json!({
            "active": true, "scope": "library menu", "exp": 1_800_000_000, "client_id": "kitchen", "username": "chef",
        });
        let server = Server::answering([answering(active.clone()), answering(active)]).await;
        let introspected = ask(&*apicbase(&server, json!({}))).await.unwrap().unwrap();
        assert_eq!(
            introspected,
            Introspected {
                active: true,
                scope: Some("library menu".to_owned()),
                expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
                client_id: Some("kitchen".to_owned()),
                username: Some("chef".to_owned()),
            }
        );
        ask(&*apicbase(&server, json!({ "introspection_refresh_token": true }))).await.unwrap();
        let [plain, with] = &server.seen()[..] else { panic!("two requests") };
        assert_eq!(plain.line, "POST /oauth/introspect/?tenant=1 HTTP/1.1");
        assert_eq!(plain.field("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(plain.field("accept"), Some("application/json"));
        assert_eq!(plain.body, "token=canary-access&client_id=kitchen&client_secret=canary-client");
        assert_eq!(
            with.body,
            "token=canary-access&refresh_token=canary-refresh&client_id=kitchen&client_secret=canary-client"
        );
    }

    /// A JSON token request does not make this one JSON (RFC 7662 section 2.1).
    #[tokio::test]
    async fn it_is_a_form_with_nothing_of_a_token_request_in_it() {
        let server = Server::answering([answering(json!({ "active": false }))]).await;
        let changes = json!({
            "encoding": "json", "scope": "a", "parameters": { "audience": "https://api.example" },
            "token_endpoint_auth_method": "client_secret_basic",
        });
        let introspected = ask(&*apicbase(&server, changes)).await.unwrap().unwrap();
        assert!(!introspected.active && introspected.scope.is_none() && introspected.expires_at.is_none());
        let seen = &server.seen()[0];
        assert_eq!(seen.body, "token=canary-access");
        assert!(seen.field("authorization").unwrap().starts_with("Basic "));
    }

    #[tokio::test]
    async fn odd_members_are_read_for_what_they_are_worth() {
        let odd =
            read_of(json!({ "active": true, "scope": ["a", "b"], "exp": "1800000000", "username": 7 })).await;
        assert_eq!(odd.scope.as_deref(), Some("a b"));
        assert_eq!(odd.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
        assert_eq!(odd.username, None);
        for exp in [json!(-5), json!(1e300), json!("soon"), json!(null)] {
            assert_eq!(read_of(json!({ "active": true, "exp": exp })).await.expires_at, None, "{exp}");
        }
        let tricky = json!({
            "active": true, "scope": "canary-access a\u{1b}[2J", "username": "canary-client\r\nchef", "client_id": "x",
        });
        let tricky = read_of(tricky).await;
        assert_eq!(tricky.scope.as_deref(), Some("*** a[2J"), "r146");
        assert_eq!(tricky.username.as_deref(), Some("***chef"), "r146");
    }

    #[tokio::test]
    async fn r146_what_is_no_answer_is_a_failure_that_shows_no_secret() {
        let echo =
            json!({ "error": "invalid_client", "error_description": "no canary-access, canary-client" });
        let html = |status| answer(status, "Content-Type: text/html\r\n", "<p>canary-access</p>");
        for (given, fault, words) in [
            (html(200), Fault::Unusable, "instead of a JSON object: is this the introspection endpoint?"),
            (answer(200, "", ""), Fault::Unusable, "an empty body"),
            (answering(json!({ "scope": "a" })), Fault::Unusable, "whether the token is active is not in it"),
            (
                answering(json!({ "active": "yes" })),
                Fault::Unusable,
                "whether the token is active is not in it",
            ),
            (answering(echo.clone()), Fault::Refused, "invalid_client (no ***, ***)"),
            (answer(401, "", &echo.to_string()), Fault::Refused, "check client_id"),
            (answer(403, "", r#"{"error":"access_denied"}"#), Fault::Unusable, "access_denied"),
            (html(404), Fault::Unusable, "text/html, no OAuth error in it"),
            (answer(308, "Location: https://elsewhere.example/\r\n", ""), Fault::Unusable, "not followed"),
            (answer(429, "", ""), Fault::Limited, "too many requests"),
        ] {
            let server = Server::answering([given]).await;
            let failure = ask(&*apicbase(&server, json!({}))).await.unwrap_err();
            assert_eq!(failure.fault, fault, "{failure}");
            assert!(failure.detail.starts_with(&server.url("/oauth/introspect/ answered")), "{failure}");
            assert!(failure.detail.contains(words) && !failure.detail.contains("canary"), "{failure}");
            assert_eq!(server.seen().len(), 1, "asked once");
        }
    }

    #[tokio::test]
    async fn without_an_endpoint_nothing_is_asked() {
        let server = Server::answering([""]).await;
        let table = json!({
            "grant_type": "client_credentials", "token_endpoint": server.url("/t"), "client_id": "a", "client_secret": "b",
        });
        assert_eq!(ask(&*grant(table)).await.unwrap(), None);
        assert!(server.seen().is_empty());
    }
}
