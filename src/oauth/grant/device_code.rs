//! `device_code`: a person enters a code on another device (RFC 8628); then refresh tokens. There is no way to start afresh
//! without the person.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Grant, Identity, Start, authorization_code};
pub use crate::oauth::device_authorization::DeviceAuthorization;
use crate::{
    clock::Clock,
    oauth::{
        Failure, Fault, Granted, Keys, Login,
        place::Place,
        refusal,
        response::{self, Asked},
        token_endpoint::{self, TokenEndpoint},
        token_request::TokenRequest,
    },
    secret::Secret,
    upstream::once::Answer,
};

const ENDPOINT: &str = "device_authorization_endpoint";
/// The grant's name at a token endpoint (RFC 8628 section 3.4).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const INVALID_GRANT: &str = "the device code is not accepted: it was used before or withdrawn; begin again";

/// The recipe.
#[derive(Debug)]
pub struct DeviceCode {
    token_endpoint: TokenEndpoint,
    endpoint: Place,
    /// The query of the device authorization endpoint's URL as it is configured: it is sent.
    query: Option<String>,
    clock: Clock,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    let endpoint = Place::from_keys(keys, ENDPOINT);
    let query = keys.text(ENDPOINT).and_then(|url| url.split_once('?').map(|(_, query)| query.to_owned()));
    // A public client has to say who it is, too (section 3.1).
    let client_id = authorization_code::client_id(keys, token_endpoint.as_ref());
    if !token_endpoint::leaves_out(keys, &["device_code"]) {
        return None;
    }
    client_id?;
    let (token_endpoint, endpoint) = (token_endpoint?, endpoint?);
    Some(Arc::new(DeviceCode { token_endpoint, endpoint, query, clock: Clock::system() }))
}

impl DeviceCode {
    /// Asks for a user code (RFC 8628 section 3.1).
    ///
    /// # Errors
    /// The server gave none.
    pub async fn begin(&self) -> Result<DeviceAuthorization, Failure> {
        let mut request = TokenRequest::empty();
        if let Some(scope) = self.token_endpoint.scope() {
            request.text(self.token_endpoint.scope_parameter().to_owned(), scope);
        }
        let sent_at = self.clock.now();
        let (answer, sent) = self.token_endpoint.post_to(&self.endpoint, request).await?;
        let now = self.token_endpoint.now();
        let asked = Asked { place: self.endpoint.name(), sent: &sent, now, bare: false };
        DeviceAuthorization::read(&answer, asked, sent_at)
    }

    /// Asks once whether the person is done (RFC 8628 section 3.4). The caller waits [`DeviceAuthorization::interval`]
    /// before each call, which `slow_down` and connection timeouts make longer (section 3.5).
    pub async fn poll(&self, authorization: &mut DeviceAuthorization) -> Polled {
        let mut request = TokenRequest::new(GRANT_TYPE).without_scope();
        request.secret("device_code", authorization.device_code.clone());
        let polled =
            match self.token_endpoint.ask(request, Outcome::of).await.unwrap_or_else(Outcome::unanswered) {
                Outcome::Polled(polled) => polled,
                Outcome::SlowDown => {
                    authorization.slow_down();
                    Polled::Pending
                }
                Outcome::Passing(failure) => {
                    authorization.back_off(failure.retry_after);
                    tracing::warn!(%failure, "no answer about the login yet; asking again");
                    Polled::Pending
                }
            };
        let too_late = self.clock.now().reached(authorization.expires);
        if matches!(polled, Polled::Pending) && too_late { Polled::Expired } else { polled }
    }
}

/// What one question brought.
#[derive(Debug)]
pub enum Polled {
    /// Not yet; ask again after the interval.
    Pending,
    /// Done.
    Granted(Granted),
    /// The person refused (`access_denied`).
    Denied,
    /// Nobody came in time (`expired_token`).
    Expired,
    /// The server refused for good.
    Failed(Failure),
}

/// What one answer means (RFC 8628 section 3.5).
enum Outcome {
    Polled(Polled),
    SlowDown,
    /// The server's trouble, or the way to it.
    Passing(Failure),
}

impl Outcome {
    fn of(answer: &Answer, asked: Asked<'_>) -> Self {
        let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).unwrap_or_default();
        // Whatever the status: some servers say these with 200, 403 or 428.
        let code = members.get("error").and_then(Value::as_str).filter(|_| !answer.status.is_server_error());
        match code {
            Some("authorization_pending") => Self::Polled(Polled::Pending),
            Some("slow_down") => Self::SlowDown,
            Some("access_denied") => Self::Polled(Polled::Denied),
            Some("expired_token") => Self::Polled(Polled::Expired),
            _ => match response::read(answer, asked) {
                Ok(granted) => Self::Polled(Polled::Granted(granted)),
                Err(failure) if answer.status.is_server_error() || failure.fault == Fault::Limited => {
                    Self::Passing(failure)
                }
                Err(failure) => {
                    Self::Polled(Polled::Failed(refusal::meaning(failure, answer, asked, INVALID_GRANT)))
                }
            },
        }
    }

    fn unanswered(failure: Failure) -> Self {
        match failure.fault {
            Fault::TimedOut | Fault::Unreachable => Self::Passing(failure),
            _ => Self::Polled(Polled::Failed(failure)),
        }
    }
}

impl Grant for DeviceCode {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.token_endpoint.recipe("device_code");
        recipe.part_if("device authorization query", self.query.as_deref());
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.name())
    }

    fn login(&self) -> Option<Login<'_>> {
        Some(Login::Device(self))
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
    }

    fn can_start(&self) -> bool {
        false
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async { Err(Failure::new(Fault::InvalidGrant, super::A_PERSON_IS_NEEDED)) })
    }

    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(self.token_endpoint.request(TokenRequest::refresh(refresh_token).without_scope()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::oauth::testing::{Server, answer, grant, json as granting, problems, start};

    fn table(server: &Server) -> Value {
        json!({
            "grant_type": "device_code", "token_endpoint": server.url("/token"),
            "device_authorization_endpoint": server.url("/device?tenant=1"), "client_id": "app",
            "token_endpoint_auth_method": "none", "scope": ["a", "b"], "token_request_timeout": 10_000,
        })
    }

    fn login(grant: &dyn Grant) -> &DeviceCode {
        let Some(Login::Device(login)) = grant.login() else { panic!("a device's login") };
        login
    }

    fn codes() -> String {
        granting(json!({
            "device_code": "canary/d", "user_code": "WDJB-MJHT", "verification_uri": "https://id.example/device",
            "expires_in": 600,
        }))
    }

    fn error(status: u16, code: &str) -> String {
        answer(status, "", &json!({ "error": code, "error_description": "of canary/d" }).to_string())
    }

    /// What one question brought, and the interval in seconds after it.
    async fn polled(polled_answer: impl Into<String>) -> (Polled, u64) {
        let server = Server::answering([codes(), polled_answer.into()]).await;
        let grant = grant(table(&server));
        let mut authorization = login(&*grant).begin().await.unwrap();
        let polled = login(&*grant).poll(&mut authorization).await;
        assert_eq!(server.seen().len(), 2, "one question is one request");
        (polled, authorization.interval.as_secs())
    }

    #[tokio::test]
    async fn r137_a_device_asks_until_the_person_is_done() {
        let token = granting(json!({
            "access_token": "t", "token_type": "Bearer", "expires_in": 300, "refresh_token": "r", "scope": "a b",
        }));
        let server = Server::answering([
            codes(),
            error(400, "authorization_pending"),
            error(400, "slow_down"),
            error(400, "slow_down"),
            token,
        ])
        .await;
        let grant = grant(table(&server));
        let login = login(&*grant);
        let mut authorization = login.begin().await.unwrap();
        for interval in [5, 10, 15] {
            assert!(matches!(login.poll(&mut authorization).await, Polled::Pending));
            assert_eq!(authorization.interval, Duration::from_secs(interval));
        }
        let Polled::Granted(granted) = login.poll(&mut authorization).await else { panic!("it is granted") };
        assert_eq!(granted.refresh_token, Some(Secret::new("r")));
        assert_eq!(granted.scope.as_deref(), Some("a b"));
        let seen = server.seen();
        assert_eq!(seen[0].line, "POST /device?tenant=1 HTTP/1.1");
        assert_eq!(seen[0].body, "scope=a+b&client_id=app");
        for seen in &seen[1..] {
            assert_eq!(seen.line, "POST /token HTTP/1.1");
            assert_eq!(
                seen.body,
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=canary%2Fd&client_id=app"
            );
        }
    }

    #[tokio::test]
    async fn a_confidential_device_authenticates_at_both_endpoints_and_further_parameters_go_to_one() {
        let server = Server::answering([codes(), error(400, "authorization_pending")]).await;
        let mut table = table(&server);
        table["token_endpoint_auth_method"] = json!("client_secret_basic");
        table["client_secret"] = json!("s");
        table["parameters"] = json!({ "audience": "x" });
        let grant = grant(table);
        let mut authorization = login(&*grant).begin().await.unwrap();
        login(&*grant).poll(&mut authorization).await;
        let [device, token] = &server.seen()[..] else { panic!("two requests") };
        assert_eq!(device.field("authorization"), Some("Basic YXBwOnM="));
        assert_eq!(token.field("authorization"), Some("Basic YXBwOnM="));
        assert_eq!(device.body, "scope=a+b");
        assert!(token.body.ends_with("&audience=x"), "{}", token.body);
    }

    #[tokio::test]
    async fn r137_refused_and_expired_are_told_apart_whatever_the_status() {
        for status in [200, 400, 401, 403, 428] {
            assert!(matches!(polled(error(status, "access_denied")).await.0, Polled::Denied), "{status}");
            assert!(matches!(polled(error(status, "expired_token")).await.0, Polled::Expired), "{status}");
            let (pending, interval) = polled(error(status, "authorization_pending")).await;
            assert!(matches!(pending, Polled::Pending) && interval == 5, "{status}");
            let (pending, interval) = polled(error(status, "slow_down")).await;
            assert!(matches!(pending, Polled::Pending) && interval == 10, "{status}");
        }
    }

    #[tokio::test]
    async fn r137_a_server_in_trouble_is_asked_again_and_less_often() {
        for trouble in [
            error(500, "access_denied"),
            answer(502, "", "<html>"),
            answer(403, "", "<html>"),
            answer(429, "Retry-After: 3\r\n", ""),
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(),
        ] {
            let (pending, interval) = polled(trouble.clone()).await;
            assert!(
                matches!(pending, Polled::Pending) && interval == 10,
                "{trouble}: {pending:?} {interval}"
            );
        }
        let (pending, interval) = polled(answer(503, "Retry-After: 30\r\n", "")).await;
        assert!(matches!(pending, Polled::Pending) && interval == 30);
    }

    #[tokio::test]
    async fn r137_silence_doubles_the_interval() {
        let server = Server::answering([codes(), String::new()]).await;
        let mut table = table(&server);
        let patient = grant(table.clone());
        let mut authorization = login(&*patient).begin().await.unwrap();
        table["token_request_timeout"] = json!(100);
        let impatient = grant(table);
        assert!(matches!(login(&*impatient).poll(&mut authorization).await, Polled::Pending));
        assert_eq!(authorization.interval, Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_final_refusal_ends_it_in_words_without_secrets() {
        for (refused, fault, words) in [
            (
                error(400, "invalid_grant"),
                Fault::InvalidGrant,
                "invalid_grant (of ***); the device code is not accepted",
            ),
            (error(401, "invalid_client"), Fault::Refused, "check client_id"),
            (error(400, "unsupported_grant_type"), Fault::Refused, "check grant_type"),
            (answer(404, "", "<html>"), Fault::Unusable, "answered 404"),
            (granting(json!({ "access_token": "t", "token_type": "mac" })), Fault::Unusable, "token_type"),
        ] {
            let (Polled::Failed(failure), 5) = polled(refused).await else { panic!("{words}") };
            assert_eq!(failure.fault, fault);
            assert!(failure.detail.contains(words) && !failure.detail.contains("canary"), "{failure}");
        }
    }

    #[tokio::test]
    async fn r137_it_ends_when_the_codes_expire_though_the_server_never_says_so() {
        let server =
            Server::answering([codes(), error(400, "authorization_pending"), error(400, "slow_down")]).await;
        let grant = grant(table(&server));
        let mut authorization = login(&*grant).begin().await.unwrap();
        authorization.expires = Clock::system().now().after(Duration::ZERO);
        for _ in 0..3 {
            let polled = login(&*grant).poll(&mut authorization).await;
            assert!(matches!(polled, Polled::Expired), "{polled:?}");
        }
    }

    #[tokio::test]
    async fn the_issuer_names_where_devices_ask() {
        let server = Server::answering_with(|address| {
            let metadata = json!({
                "issuer": format!("http://{address}"), "token_endpoint": format!("http://{address}/token"),
                "device_authorization_endpoint": format!("http://{address}/device/code"),
            });
            vec![granting(metadata), codes()]
        })
        .await;
        let grant = grant(json!({
            "grant_type": "device_code", "issuer": server.url(""), "client_id": "app",
            "token_endpoint_auth_method": "none",
        }));
        assert_eq!(login(&*grant).begin().await.unwrap().user_code, "WDJB-MJHT");
        assert_eq!(server.seen()[1].line, "POST /device/code HTTP/1.1");
        assert_eq!(server.seen()[1].body, "client_id=app");
    }

    #[tokio::test]
    async fn there_is_no_start_without_a_person_and_refreshes_do_not_name_the_scope() {
        let server =
            Server::answering([granting(json!({ "access_token": "t", "token_type": "Bearer" }))]).await;
        let grant = grant(table(&server));
        assert!(!grant.can_start());
        let failure = start(&*grant).await.unwrap_err();
        assert_eq!(failure.fault, Fault::InvalidGrant);
        assert!(failure.detail.contains("`bearward login`"), "{failure}");
        grant.refresh(&Secret::new("r")).await.unwrap();
        assert_eq!(server.seen()[0].body, "grant_type=refresh_token&refresh_token=r&client_id=app");
    }

    #[test]
    fn what_is_missing_or_wrong_is_reported_at_once() {
        let none = json!({ "grant_type": "device_code", "token_endpoint_auth_method": "none" });
        assert_eq!(problems(none), ["token_endpoint is missing", "device_authorization_endpoint is missing"],);
        let mut table = json!({
            "grant_type": "device_code", "token_endpoint": "https://id.example/token",
            "device_authorization_endpoint": "https://id.example/device", "token_endpoint_auth_method": "none",
        });
        assert_eq!(problems(table.clone()), ["client_id is missing"]);
        table["client_id"] = json!("app");
        table["parameters"] = json!({ "device_code": "x" });
        let found = problems(table);
        assert!(found.len() == 1 && found[0].contains("may be sent twice"), "{found:?}");
    }

    #[test]
    fn r019_whatever_is_sent_makes_another_login() {
        let table = json!({
            "grant_type": "device_code", "token_endpoint": "https://id.example/token", "client_id": "app",
            "device_authorization_endpoint": "https://id.example/device", "token_endpoint_auth_method": "none",
        });
        let original = grant(table.clone()).identity(None);
        for (key, value) in [
            ("scope", json!("a")),
            ("client_id", json!("app2")),
            ("parameters", json!({ "audience": "x" })),
            ("device_authorization_endpoint", json!("https://id.example/device?audience=x")),
        ] {
            let mut table = table.clone();
            table[key] = value;
            assert_ne!(grant(table).identity(None).chain, original.chain, "{key}");
        }
    }
}
