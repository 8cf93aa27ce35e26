//! The token endpoint (RFC 6749 section 3.2): one token request and its answer.
//!
//! Knows where tokens are asked for, how the client authenticates there, and what goes with every request. Does not know
//! grants: each brings its own parameters. The secrets go to the server's places and nowhere else, and are sent once.

use std::{fmt, sync::Arc, time::SystemTime};

use http::Method;
use serde_json::{Map, Value};

use super::{
    Failure, Fault, Granted, Keys,
    client_auth::{self, ClientAuthentication},
    discovery::{Issuer, Metadata},
    grant::Recipe,
    place::{Located, Place},
    response::{self, Asked},
    token_request::{Encoding, Sent, TokenRequest},
};
use crate::{secret::SecretError, upstream::once::Answer};

const PARAMETERS: &str = "parameters";
/// Parameters that have keys of their own, or that a grant sends.
const NOT_AMONG_PARAMETERS: &[&str] =
    &["grant_type", "client_id", "client_secret", "username", "password", "refresh_token"];

/// A token endpoint, and what goes with every request to it.
pub struct TokenEndpoint {
    place: Place,
    issuer: Option<Arc<Issuer>>,
    pub(super) introspection: Option<Place>,
    pub(super) introspection_refresh_token: bool,
    pub(super) revocation: Option<Place>,
    authentication: Arc<dyn ClientAuthentication>,
    encoding: Encoding,
    scope: Option<String>,
    scope_parameter: String,
    parameters: Map<String, Value>,
}

impl TokenEndpoint {
    /// Reads its keys; `None` where problems were reported.
    pub fn from_keys(keys: &mut dyn Keys) -> Option<Self> {
        let place = Place::from_keys(keys, "token_endpoint");
        let issuer = keys.issuer();
        let introspection = Place::optional(keys, "introspection_endpoint");
        let introspection_refresh_token = keys.flag("introspection_refresh_token");
        let revocation = Place::optional(keys, "revocation_endpoint");
        let authentication = client_auth::from_keys(keys);
        let encoding = encoding(keys);
        let scope = keys.words("scope").filter(|scope| !scope.is_empty());
        let scope_parameter = scope_parameter(keys);
        let parameters =
            parameters(keys, encoding, scope.is_some().then_some(scope_parameter.as_deref()).flatten());
        Some(Self {
            place: place?,
            issuer: issuer?,
            introspection: introspection?,
            introspection_refresh_token,
            revocation: revocation?,
            authentication: authentication?,
            encoding: encoding?,
            scope,
            scope_parameter: scope_parameter?,
            parameters: parameters?,
        })
    }

    /// Its name, which rate limits are shared by: the URL, or the issuer that names it.
    pub fn name(&self) -> &str {
        self.place.name()
    }

    /// The scope asked for.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The parameter that carries the scope.
    pub fn scope_parameter(&self) -> &str {
        &self.scope_parameter
    }

    /// What the authorization server says of itself; `None` where no issuer is configured.
    ///
    /// # Errors
    /// It could not be fetched.
    pub async fn metadata(&self) -> Result<Option<Arc<Metadata>>, Failure> {
        match &self.issuer {
            Some(issuer) => issuer.metadata(self.place.timeout()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Asks for a token: adds to `request` what goes with every request, sends it once, and reads the answer.
    ///
    /// # Errors
    /// A secret cannot be read, or no usable token came.
    pub async fn request(&self, request: TokenRequest) -> Result<Granted, Failure> {
        self.ask(request, response::read).await?
    }

    /// As [`TokenEndpoint::request`], for a grant that reads more in the answer: `read` does.
    ///
    /// # Errors
    /// A secret cannot be read, or no answer came.
    pub(super) async fn ask<T>(
        &self,
        mut request: TokenRequest,
        read: impl FnOnce(&Answer, Asked<'_>) -> T,
    ) -> Result<T, Failure> {
        if let Some(scope) = self.scope.as_ref().filter(|_| request.wants_scope) {
            request.text(self.scope_parameter.clone(), scope);
        }
        let place = self.place.locate().await?;
        self.authentication.authenticate(&mut request)?;
        for (name, value) in &self.parameters {
            request.json(name.clone(), value.clone());
        }
        let (fields, body, sent) = request.encode(self.encoding);
        let answer = place.exchange(Method::POST, fields, body, self.place.timeout()).await?;
        Ok(read(&answer, Asked { place: &place.shown, sent: &sent, now: self.now(), bare: false }))
    }

    /// Sends a form to another endpoint of the same authorization server, with the client authentication of this one and
    /// nothing else added.
    ///
    /// # Errors
    /// A secret cannot be read, the place is not found, or no answer came.
    pub async fn post_to(&self, place: &Place, request: TokenRequest) -> Result<(Answer, Sent), Failure> {
        self.post_to_located(&place.locate().await?, request).await
    }

    /// As [`TokenEndpoint::post_to`], where it is known already where that is.
    pub(super) async fn post_to_located(
        &self,
        place: &Located,
        mut request: TokenRequest,
    ) -> Result<(Answer, Sent), Failure> {
        self.authentication.authenticate(&mut request)?;
        let (fields, body, sent) = request.encode(Encoding::Form);
        Ok((place.exchange(Method::POST, fields, body, self.place.timeout()).await?, sent))
    }

    /// What an answer is measured by that names no time.
    pub(super) fn now(&self) -> SystemTime {
        self.place.clock.now().wall()
    }

    /// A recipe with all that goes with every request to this endpoint. Another scope or parameter is another chain of
    /// refresh tokens, for what it was granted with stays with it.
    pub fn recipe(&self, grant_type: &str) -> Recipe {
        self.recipe_with(grant_type, Recipe::part)
    }

    /// As [`TokenEndpoint::recipe`], for a chain that a given refresh token names: whatever else is asked of it, it is one
    /// chain, and can be spent once.
    pub fn recipe_of_given_chain(&self, grant_type: &str) -> Recipe {
        self.recipe_with(grant_type, Recipe::manner)
    }

    fn recipe_with(&self, grant_type: &str, add: fn(&mut Recipe, &str, &str)) -> Recipe {
        let mut recipe = self.place.recipe(grant_type);
        self.authentication.describe(&mut recipe);
        recipe.manner("encoding", if self.encoding == Encoding::Json { "json" } else { "form" });
        if let Some(scope) = &self.scope {
            add(&mut recipe, "scope", scope);
            recipe.manner("scope_parameter", &self.scope_parameter);
        }
        add(&mut recipe, "parameters", &Value::Object(self.parameters.clone()).to_string());
        recipe
    }
}

impl fmt::Debug for TokenEndpoint {
    /// Without `parameters`, among which there may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("place", &self.place)
            .field("authentication", &self.authentication)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl From<SecretError> for Failure {
    fn from(problem: SecretError) -> Self {
        Self::new(Fault::Secret, problem.to_string())
    }
}

fn encoding(keys: &mut dyn Keys) -> Option<Encoding> {
    match keys.text("encoding").as_deref() {
        None | Some("form") => Some(Encoding::Form),
        Some("json") => Some(Encoding::Json),
        Some(other) => {
            keys.wrong("encoding", &format!("no such encoding: {other:?}"), "\"form\" or \"json\"");
            None
        }
    }
}

fn scope_parameter(keys: &mut dyn Keys) -> Option<String> {
    const KEY: &str = "scope_parameter";
    let name = keys.text(KEY).unwrap_or_else(|| "scope".to_owned());
    if name.is_empty() || NOT_AMONG_PARAMETERS.contains(&name.as_str()) {
        keys.wrong(
            KEY,
            &format!("{name:?} cannot carry the scope"),
            "\"scope\", or the name the server documents",
        );
        return None;
    }
    Some(name)
}

/// Whether `parameters` names nothing of what a grant sends itself, `names`; a problem is reported where it does.
pub(super) fn leaves_out(keys: &mut dyn Keys, names: &[&str]) -> bool {
    let parameters = keys.object(PARAMETERS).unwrap_or_default();
    let twice: Vec<_> = parameters.keys().filter(|name| names.contains(&name.as_str())).collect();
    for name in &twice {
        said_twice(keys, name);
    }
    twice.is_empty()
}

/// No parameter may be sent twice (RFC 6749 section 3.2).
fn parameters(
    keys: &mut dyn Keys,
    encoding: Option<Encoding>,
    scope: Option<&str>,
) -> Option<Map<String, Value>> {
    let parameters = keys.object(PARAMETERS).unwrap_or_default();
    let mut good = true;
    for (name, value) in &parameters {
        if NOT_AMONG_PARAMETERS.contains(&name.as_str()) || scope == Some(name.as_str()) {
            said_twice(keys, name);
            good = false;
        }
        let nested = match value {
            Value::Array(entries) => entries.iter().any(|entry| entry.is_object() || entry.is_array()),
            other => other.is_object(),
        };
        if nested && encoding == Some(Encoding::Form) {
            keys.wrong(
                PARAMETERS,
                &format!("{name:?} is a table, which a form cannot say"),
                "a text, or encoding = \"json\"",
            );
            good = false;
        }
    }
    good.then_some(parameters)
}

fn said_twice(keys: &mut dyn Keys, name: &str) {
    let problem = format!("{name:?} is sent already, and no parameter may be sent twice");
    keys.wrong(
        PARAMETERS,
        &problem,
        "take it out of parameters; it has a key of its own, or its value is not yours to choose",
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        oauth::{
            Fault,
            testing::{Server, Table, answer, grant, json as granting, problems, start},
        },
        upstream::once,
    };

    fn table(server: &Server) -> Value {
        json!({
            "grant_type": "client_credentials",
            "token_endpoint": server.url("/oauth/token/?tenant=1"),
            "client_id": "app",
            "client_secret": "canary",
            "token_request_timeout": 10_000,
        })
    }

    fn token() -> Value {
        json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 300 })
    }

    async fn failure(answers: impl Into<Vec<u8>>) -> (Failure, usize) {
        let server = Server::answering([answers.into()]).await;
        let failure = start(&*grant(table(&server))).await.unwrap_err();
        assert!(failure.detail.starts_with(&server.url("/oauth/token/")), "it says where: {failure}");
        assert!(!format!("{failure:?}").contains("canary"), "{failure}");
        (failure, server.seen().len())
    }

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    #[tokio::test]
    async fn one_request_is_one_post_to_the_very_url_that_was_configured() {
        let server = Server::answering([granting(token())]).await;
        let grant = grant(table(&server));
        let granted = is_send(start(&*grant)).await.unwrap();
        assert_eq!(granted.authorization, "Bearer t");
        assert_eq!(granted.lifetime, Some(Duration::from_secs(300)));
        let [seen] = &server.seen()[..] else { panic!("one request") };
        assert_eq!(seen.line, "POST /oauth/token/?tenant=1 HTTP/1.1");
        assert_eq!(seen.field("host"), Some(server.address.to_string().as_str()));
        assert_eq!(seen.field("accept"), Some("application/json"));
        assert_eq!(seen.field("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(seen.field("authorization"), Some("Basic YXBwOmNhbmFyeQ=="));
        assert_eq!(seen.field("connection"), Some("close"));
        assert_eq!(seen.body, "grant_type=client_credentials");
        assert_eq!(grant.endpoint(), Some(server.url("/oauth/token/").as_str()));
    }

    #[tokio::test]
    async fn scope_and_parameters_go_with_each_request_in_either_encoding() {
        let server = Server::answering([granting(token()), granting(token())]).await;
        let mut table = table(&server);
        table["scope"] = json!(["read:orders", "write:inventory"]);
        table["scope_parameter"] = json!("scopes");
        table["parameters"] = json!({ "audience": "https://api.example/", "depth": 2 });
        table["token_endpoint_auth_method"] = json!("client_secret_post");
        start(&*grant(table.clone())).await.unwrap();
        table["encoding"] = json!("json");
        start(&*grant(table)).await.unwrap();
        let [form, json] = &server.seen()[..] else { panic!("two requests") };
        assert_eq!(
            form.body,
            "grant_type=client_credentials&scopes=read%3Aorders+write%3Ainventory&client_id=app\
             &client_secret=canary&audience=https%3A%2F%2Fapi.example%2F&depth=2"
        );
        assert_eq!(json.field("content-type"), Some("application/json"));
        assert_eq!(
            json.json(),
            json!({
                "grant_type": "client_credentials", "scopes": "read:orders write:inventory", "client_id": "app",
                "client_secret": "canary", "audience": "https://api.example/", "depth": 2,
            })
        );
    }

    #[tokio::test]
    async fn r008_a_redirect_is_a_failure_and_the_secret_is_sent_once() {
        let elsewhere = Server::answering([granting(token())]).await;
        let location = format!("Location: {}\r\n", elsewhere.url("/oauth/token"));
        for status in [301, 307, 308] {
            let (failure, requests) = failure(answer(status, &location, "")).await;
            assert_eq!((failure.fault, requests), (Fault::Unusable, 1));
        }
        assert!(elsewhere.seen().is_empty());
    }

    #[tokio::test]
    async fn a_cut_connection_is_unreachable_and_nothing_is_sent_again() {
        let whole = granting(token());
        for end in [0, 5, whole.len() / 2, whole.len() - 1] {
            // Of an empty answer the server makes silence, so the shortest cut says one octet.
            let (failure, requests) = failure(&whole.as_bytes()[..end.max(1)]).await;
            assert_eq!((failure.fault, requests), (Fault::Unreachable, 1), "{failure}");
        }
    }

    #[tokio::test]
    async fn silence_ends_at_the_time_limit() {
        let server = Server::answering([""]).await;
        let mut table = table(&server);
        table["token_request_timeout"] = json!(100);
        let failure = start(&*grant(table)).await.unwrap_err();
        assert_eq!(failure.fault, Fault::TimedOut);
        assert!(failure.detail.contains("within 0.1 s"), "{failure}");
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_body_that_trickles_ends_at_the_time_limit_too() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
        let server = Server::holding_open(head).await;
        let mut table = table(&server);
        table["token_request_timeout"] = json!(100);
        assert_eq!(start(&*grant(table)).await.unwrap_err().fault, Fault::TimedOut);
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable_and_says_what_to_check() {
        let server = Server::answering([""]).await;
        let table = table(&server);
        drop(server);
        let failure = start(&*grant(table)).await.unwrap_err();
        assert_eq!(failure.fault, Fault::Unreachable);
        assert!(failure.detail.contains("check the URL's port"), "{failure}");
    }

    #[tokio::test]
    async fn what_is_no_http_is_unusable() {
        for garbage in
            ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
        {
            let (failure, requests) = failure(garbage).await;
            assert_eq!((failure.fault, requests), (Fault::Unusable, 1), "{failure}");
        }
    }

    #[tokio::test]
    async fn r116_a_body_beyond_one_mebibyte_is_not_read() {
        let long = "x".repeat(once::LONGEST_BODY + 1);
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
            long.len()
        );
        let announced = "HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n".to_owned();
        let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
        for too_long in [chunked, announced, until_close] {
            let (failure, _) = failure(too_long).await;
            assert_eq!(failure.fault, Fault::Unusable);
            assert!(failure.detail.contains("too large: at most 1024 KiB"), "{failure}");
        }
        let mut padded = token();
        padded["padding"] = json!("x".repeat(once::LONGEST_BODY - 200));
        let server = Server::answering([granting(padded)]).await;
        start(&*grant(table(&server))).await.unwrap();
    }

    #[tokio::test]
    async fn r092_a_head_without_end_is_not_read() {
        let fields = "X-Filler: 0123456789\r\n";
        for head in [fields.repeat(101), format!("X-Filler: {}\r\n", "x".repeat(70_000))] {
            let (failure, _) = failure(answer(200, &head, "{}")).await;
            assert_eq!(failure.fault, Fault::Unusable, "{failure}");
        }
    }

    #[tokio::test]
    async fn a_secret_file_is_read_anew_for_each_request() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let server = Server::answering([granting(token()), granting(token())]).await;
        let mut table = table(&server);
        table["client_secret"] = json!({ "file": file });
        table["token_endpoint_auth_method"] = json!("client_secret_post");
        let grant = grant(table);
        assert_eq!(start(&*grant).await.unwrap_err().fault, Fault::Secret);
        for secret in ["one", "two"] {
            std::fs::write(&file, secret).unwrap();
            start(&*grant).await.unwrap();
        }
        let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
        assert!(
            bodies[0].ends_with("client_secret=one") && bodies[1].ends_with("client_secret=two"),
            "{bodies:?}"
        );
    }

    #[test]
    fn all_that_is_missing_is_reported_at_once() {
        let found = problems(json!({ "grant_type": "password" }));
        for key in ["token_endpoint", "client_id", "client_secret", "username", "password"] {
            assert!(found.contains(&format!("{key} is missing")), "{key}: {found:?}");
        }
    }

    #[test]
    fn wrong_values_are_reported_with_what_would_be_right() {
        let good = json!({
            "grant_type": "client_credentials", "token_endpoint": "https://id.example/t", "client_id": "a", "client_secret": "b",
        });
        assert!(TokenEndpoint::from_keys(&mut Table::of(good.clone())).is_some());
        for (key, value, expected) in [
            ("encoding", json!("xml"), "\"form\" or \"json\""),
            ("token_endpoint_auth_method", json!("basic"), "client_secret_basic, client_secret_post, none"),
            ("basic_encoding", json!("no"), "\"rfc6749\" or \"raw\""),
            ("scope_parameter", json!("client_id"), "cannot carry the scope"),
            ("parameters", json!({ "client_secret": "x" }), "may be sent twice"),
            ("parameters", json!({ "claims": { "a": 1 } }), "encoding = \"json\""),
            ("token_request_timeout", json!(0), "no answer comes in no time"),
        ] {
            let mut table = good.clone();
            table[key] = value;
            let found = problems(table);
            assert_eq!(found.len(), 1, "{key}: {found:?}");
            assert!(found[0].starts_with(key) && found[0].contains(expected), "{found:?}");
        }
        let mut twice = good;
        twice["scope"] = json!("a");
        twice["parameters"] = json!({ "scope": "b" });
        assert_eq!(problems(twice).len(), 1);
    }

    #[test]
    fn r019_whatever_is_sent_makes_another_identity() {
        let base = json!({
            "grant_type": "client_credentials", "token_endpoint": "https://id.example/t", "client_id": "a", "client_secret": "b",
        });
        let mut identities =
            vec![grant(base.clone()).identity(None), grant(base.clone()).identity(Some("s"))];
        for (key, value) in [
            ("token_endpoint", json!("https://id.example/t/")),
            ("client_id", json!("a2")),
            ("client_secret", json!("b2")),
            ("token_endpoint_auth_method", json!("client_secret_post")),
            ("basic_encoding", json!("raw")),
            ("encoding", json!("json")),
            ("scope", json!("s")),
            ("parameters", json!({ "audience": "x" })),
        ] {
            let mut table = base.clone();
            table[key] = value;
            identities.push(grant(table).identity(None));
        }
        let mut user = base.clone();
        user["username"] = json!("u");
        user["password"] = json!("p");
        identities.push(grant(user).identity(None));
        let different: std::collections::HashSet<_> =
            identities.iter().map(|identity| &identity.recipe).collect();
        assert_eq!(different.len(), identities.len());
        assert_eq!(grant(base.clone()).identity(None), grant(base).identity(None));
        assert!(identities[0].chain.starts_with("id.example-"));
    }
}
