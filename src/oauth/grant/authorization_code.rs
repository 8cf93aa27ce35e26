//! `authorization_code`: a person's browser brings a code (RFC 6749 section 4.1), always with PKCE (RFC 7636, S256) and a
//! `state` of one use; then refresh tokens. There is no way to start afresh without the person.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Grant, Identity, Start};
pub use crate::oauth::authorization::{AuthorizationRequest, Code, Refused};
use crate::{
    oauth::{
        Failure, Fault, Granted, Keys, Login,
        authorization::{self, ExpectedIssuer, Says},
        place::Place,
        redirect_uri::RedirectUri,
        refusal,
        response::{self, Asked},
        token_endpoint::{self, TokenEndpoint},
        token_request::TokenRequest,
    },
    secret::{Secret, SecretError, SecretSource},
    upstream::once::Answer,
};

const ENDPOINT: &str = "authorization_endpoint";
/// What a token request of this grant says beside what every one says (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
const SENT: &[&str] = &["code", "code_verifier", "redirect_uri"];
const INVALID_GRANT: &str =
    "the code was too old or used before, or belongs to another login: begin again, and hurry with the code";

/// The recipe.
#[derive(Debug)]
pub struct AuthorizationCode {
    token_endpoint: TokenEndpoint,
    endpoint: Place,
    /// The query of the authorization endpoint's URL as it is configured: it is sent, and may decide what is granted.
    query: Option<String>,
    /// Further parameters of the authorization request, as a query; they may decide what is granted, too.
    further: String,
    client_id: String,
    redirect_uri: Option<RedirectUri>,
    /// A person may have one already.
    first: Option<SecretSource>,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    let endpoint = Place::from_keys(keys, ENDPOINT);
    let query = query(keys);
    let further = further(keys, token_endpoint.as_ref());
    let client_id = client_id(keys, token_endpoint.as_ref());
    let redirect_uri = RedirectUri::from_keys(keys);
    let first = keys.secret("refresh_token");
    let parameters = token_endpoint::leaves_out(keys, SENT);
    let scope_parameter = scope_parameter(keys, token_endpoint.as_ref());
    if !(parameters && scope_parameter) {
        return None;
    }
    Some(Arc::new(AuthorizationCode {
        token_endpoint: token_endpoint?,
        endpoint: endpoint?,
        query: query?,
        further: further?,
        client_id: client_id?,
        redirect_uri: redirect_uri?,
        first,
    }))
}

impl AuthorizationCode {
    /// The configured redirect URI, exactly as written (RFC 8252 section 7.3: a loopback one may have port 0).
    pub fn redirect_uri(&self) -> Option<&str> {
        self.redirect().map(RedirectUri::as_str)
    }

    /// The same, taken apart.
    pub fn redirect(&self) -> Option<&RedirectUri> {
        self.redirect_uri.as_ref()
    }

    /// Begins a login that ends at `redirect_uri`, which is the configured one with its port filled in; `None` where none
    /// is configured.
    ///
    /// # Errors
    /// The authorization endpoint could not be discovered.
    pub async fn begin(&self, redirect_uri: Option<String>) -> Result<AuthorizationRequest, Failure> {
        let endpoint = self.endpoint.url().await?;
        let issuer = self.token_endpoint.metadata().await?.map(|metadata| ExpectedIssuer {
            identifier: metadata.issuer.clone(),
            promised: metadata.authorization_response_iss_parameter_supported,
        });
        let scope = self.token_endpoint.scope().map(|scope| (self.token_endpoint.scope_parameter(), scope));
        let says = Says { client_id: &self.client_id, redirect_uri, scope, further: &self.further, issuer };
        AuthorizationRequest::new(&endpoint, says)
    }

    /// Redeems the code that a browser or a person brought for `request`, whose verifier goes with it. It is sent once.
    ///
    /// # Errors
    /// The authorization server refused it ([`Fault::InvalidGrant`]: too old, used, or another verifier), or no usable
    /// token came.
    pub async fn redeem(&self, request: AuthorizationRequest, code: Code) -> Result<Granted, Failure> {
        let (verifier, redirect_uri) = request.into_proof();
        // The scope was asked for with the code (RFC 6749 section 4.1.3 knows none here).
        let mut request = TokenRequest::new("authorization_code").without_scope();
        request.secret("code", code.into_secret());
        if let Some(redirect_uri) = redirect_uri {
            request.text("redirect_uri", redirect_uri);
        }
        request.secret("code_verifier", verifier);
        self.token_endpoint.ask(request, granted).await?
    }
}

impl Grant for AuthorizationCode {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.token_endpoint.recipe("authorization_code");
        // Not the redirect URI: it says where the browser comes back to, and nothing of what is granted.
        recipe.part_if("authorization query", self.query.as_deref());
        recipe
            .part_if("authorization parameters", Some(&*self.further).filter(|further| !further.is_empty()));
        if let Some(first) = &self.first {
            recipe.first_secret("refresh_token", first);
        }
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.name())
    }

    fn login(&self) -> Option<Login<'_>> {
        Some(Login::Browser(self))
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
    }

    fn can_start(&self) -> bool {
        false
    }

    fn first_refresh_token(&self) -> Result<Option<Secret>, SecretError> {
        self.first.as_ref().map(SecretSource::read).transpose()
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async { Err(Failure::new(Fault::InvalidGrant, super::A_PERSON_IS_NEEDED)) })
    }

    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(self.token_endpoint.request(TokenRequest::refresh(refresh_token).without_scope()))
    }
}

fn granted(answer: &Answer, asked: Asked<'_>) -> Result<Granted, Failure> {
    response::read(answer, asked).map_err(|failure| refusal::meaning(failure, answer, asked, INVALID_GRANT))
}

/// The query of the configured authorization endpoint, which may say nothing that a login says itself; `None` where a problem
/// was reported.
#[expect(clippy::option_option, reason = "absent, wrong and right are three things")]
fn query(keys: &mut dyn Keys) -> Option<Option<String>> {
    let query = keys.text(ENDPOINT).and_then(|url| url.split_once('?').map(|(_, query)| query.to_owned()));
    if let Some(name) = query.as_deref().and_then(authorization::said_already) {
        let problem = format!("`{name}` is in its query, and every login says it already");
        keys.wrong(
            ENDPOINT,
            &problem,
            "take it out; client_id, scope and redirect_uri have keys of their own",
        );
        return None;
    }
    Some(query)
}

/// `authorization_parameters` as a query: OpenID's `prompt`, an `audience`. No parameter may be there twice (RFC 6749 section
/// 3.1); `None` where a problem was reported.
fn further(keys: &mut dyn Keys, token_endpoint: Option<&TokenEndpoint>) -> Option<String> {
    const KEY: &str = "authorization_parameters";
    let parameters = keys.object(KEY).unwrap_or_default();
    let written = keys.text(ENDPOINT).unwrap_or_default();
    let written = written.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let scope_parameter = token_endpoint.map(TokenEndpoint::scope_parameter);
    let mut good = true;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &parameters {
        let ours = authorization::OURS.contains(&name.as_str()) || scope_parameter == Some(name.as_str());
        if ours || authorization::says_parameter(written, name) {
            let problem = format!("{name:?} is sent already, and no parameter may be sent twice");
            keys.wrong(
                KEY,
                &problem,
                "take it out; client_id, scope and redirect_uri have keys of their own",
            );
            good = false;
        } else if name == "response_mode" {
            let fix = "take it out; the code comes back in the query, or is pasted";
            keys.wrong(KEY, "\"response_mode\" is not ours to choose", fix);
            good = false;
        }
        match value {
            Value::String(text) => drop(query.append_pair(name, text)),
            Value::Number(_) | Value::Bool(_) => drop(query.append_pair(name, &value.to_string())),
            _ => {
                keys.wrong(KEY, &format!("{name:?} has to be one value"), "for example prompt = \"consent\"");
                good = false;
            }
        }
    }
    good.then(|| query.finish())
}

/// Needed even where it is not for client authentication (RFC 6749 section 4.1.1).
pub(super) fn client_id(keys: &mut dyn Keys, token_endpoint: Option<&TokenEndpoint>) -> Option<String> {
    // Client authentication that is wrong has reported what it misses.
    if token_endpoint.is_some() { keys.needed_text("client_id") } else { keys.text("client_id") }
}

/// The scope goes to the authorization endpoint, among parameters that are not in a token request.
fn scope_parameter(keys: &mut dyn Keys, token_endpoint: Option<&TokenEndpoint>) -> bool {
    let Some(name) = token_endpoint.map(TokenEndpoint::scope_parameter) else { return true };
    let good = name == "scope" || !authorization::OURS.contains(&name);
    if !good {
        let fix = "\"scope\", or the name the server documents";
        keys.wrong("scope_parameter", &format!("{name:?} cannot carry the scope"), fix);
    }
    good
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::testing::{Server, answer, grant, json as granting, problems, start};

    /// Apicbase: a confidential client by POST, no redirect URI.
    fn table(server: &Server) -> Value {
        json!({
            "grant_type": "authorization_code", "token_endpoint": server.url("/oauth/token/"),
            "authorization_endpoint": server.url("/oauth/authorize/"), "client_id": "app", "client_secret": "s",
            "token_endpoint_auth_method": "client_secret_post", "scope": ["A", "B"],
        })
    }

    fn login(grant: &dyn Grant) -> &AuthorizationCode {
        let Some(Login::Browser(login)) = grant.login() else { panic!("a browser's login") };
        login
    }

    fn parameter(request: &AuthorizationRequest, wanted: &str) -> Option<String> {
        let (_, query) = request.url().split_once('?')?;
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    }

    #[tokio::test]
    async fn further_parameters_go_with_the_browser_and_belong_to_the_identity() {
        let server = Server::answering::<&str>([]).await;
        let mut table = table(&server);
        let plain = grant(table.clone()).identity(None);
        table["authorization_parameters"] = json!({ "prompt": "consent", "max_age": 60 });
        let grant = grant(table);
        let request = login(&*grant).begin(None).await.unwrap();
        assert_eq!(parameter(&request, "prompt").as_deref(), Some("consent"));
        assert_eq!(parameter(&request, "max_age").as_deref(), Some("60"));
        assert_ne!(grant.identity(None).chain, plain.chain);
        assert!(server.seen().is_empty(), "the token endpoint has no part in it");
    }

    #[tokio::test]
    async fn no_further_parameter_is_one_of_the_logins_own() {
        let server = Server::answering::<&str>([]).await;
        for further in [
            json!({ "state": "x" }),
            json!({ "scope": "x" }),
            json!({ "audience": "x" }),
            json!({ "response_mode": "fragment" }),
            json!({ "prompt": ["login", "consent"] }),
        ] {
            let mut table = table(&server);
            table["authorization_endpoint"] = json!(server.url("/oauth/authorize/?audience=own"));
            table["authorization_parameters"] = further.clone();
            let [problem] = &problems(table)[..] else { panic!("one problem: {further}") };
            assert!(problem.contains("authorization_parameters"), "{problem}");
        }
    }

    fn token() -> Value {
        json!({
            "access_token": "t", "token_type": "Bearer", "expires_in": 604_800, "refresh_token": "r", "scope": "A B",
        })
    }

    #[tokio::test]
    async fn r134_a_code_is_redeemed_with_its_verifier_and_without_what_is_not_configured() {
        let server = Server::answering([granting(token())]).await;
        let grant = grant(table(&server));
        let login = login(&*grant);
        let request = login.begin(None).await.unwrap();
        assert!(
            request
                .url()
                .starts_with(&server.url("/oauth/authorize/?response_type=code&client_id=app&scope=A+B&"))
        );
        assert_eq!(parameter(&request, "redirect_uri"), None);
        let challenge = parameter(&request, "code_challenge").unwrap();
        let code = request.pasted("c/1").unwrap();
        let granted = login.redeem(request, code).await.unwrap();
        assert_eq!(granted.refresh_token, Some(Secret::new("r")));
        let [seen] = &server.seen()[..] else { panic!("one request") };
        assert_eq!(seen.line, "POST /oauth/token/ HTTP/1.1");
        let sent: Vec<_> = form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
        let verifier = sent.iter().find(|(name, _)| name == "code_verifier").unwrap().1.clone();
        let expected = [
            ("grant_type", "authorization_code"),
            ("code", "c/1"),
            ("code_verifier", &verifier),
            ("client_id", "app"),
            ("client_secret", "s"),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(hash), challenge);
    }

    #[tokio::test]
    async fn the_redirect_uri_is_the_same_at_both_endpoints_and_further_parameters_go_to_one() {
        let server = Server::answering([granting(token())]).await;
        let mut table = table(&server);
        table["redirect_uri"] = json!("http://127.0.0.1:0/callback");
        table["parameters"] = json!({ "audience": "x" });
        table["scope_parameter"] = json!("user_scope");
        let grant = grant(table);
        let login = login(&*grant);
        assert_eq!(login.redirect_uri(), Some("http://127.0.0.1:0/callback"));
        let filled = login.redirect().unwrap().with_port(4711);
        let request = login.begin(Some(filled.clone())).await.unwrap();
        assert_eq!(parameter(&request, "redirect_uri"), Some(filled));
        assert_eq!(parameter(&request, "user_scope").as_deref(), Some("A B"));
        assert_eq!(parameter(&request, "scope"), None);
        assert_eq!(parameter(&request, "audience"), None);
        let code = request.pasted("c").unwrap();
        login.redeem(request, code).await.unwrap();
        let body = &server.seen()[0].body;
        assert!(body.contains("&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback&"), "{body}");
        assert!(body.ends_with("&audience=x") && !body.contains("scope"), "{body}");
    }

    #[tokio::test]
    async fn a_late_code_is_called_that_and_nothing_secret_is_repeated() {
        let refused =
            json!({ "error": "invalid_grant", "error_description": "canary-code of canary-secret" });
        let server = Server::answering([answer(400, "", &refused.to_string())]).await;
        let mut table = table(&server);
        table["client_secret"] = json!("canary-secret");
        let grant = grant(table);
        let login = login(&*grant);
        let request = login.begin(None).await.unwrap();
        let code = request.pasted("canary-code").unwrap();
        let failure = login.redeem(request, code).await.unwrap_err();
        assert_eq!(failure.fault, Fault::InvalidGrant);
        assert_eq!(
            failure.detail,
            format!(
                "{} answered 400: invalid_grant (*** of ***); the code was too old or used before, or belongs to another \
                 login: begin again, and hurry with the code",
                server.url("/oauth/token/")
            )
        );
    }

    #[tokio::test]
    async fn other_refusals_keep_their_words() {
        let invalid_client = answer(401, "", &json!({ "error": "invalid_client" }).to_string());
        for (answer, fault, words) in [
            (invalid_client, Fault::Refused, "check client_id, client_secret"),
            (answer(200, "", ""), Fault::Unusable, "an empty body"),
            (answer(503, "", "{\"error\":\"invalid_grant\"}"), Fault::Unusable, "answered 503"),
        ] {
            let server = Server::answering([answer]).await;
            let grant = grant(table(&server));
            let request = login(&*grant).begin(None).await.unwrap();
            let code = request.pasted("c").unwrap();
            let failure = login(&*grant).redeem(request, code).await.unwrap_err();
            assert_eq!(failure.fault, fault);
            assert!(failure.detail.contains(words) && !failure.detail.contains("begin again"), "{failure}");
            assert_eq!(server.seen().len(), 1, "a code is sent once");
        }
    }

    #[tokio::test]
    async fn refreshes_keep_the_scope_by_not_naming_it() {
        let mut rotated = token();
        rotated.as_object_mut().unwrap().remove("refresh_token");
        let server = Server::answering([granting(rotated)]).await;
        let grant = grant(table(&server));
        let granted = grant.refresh(&Secret::new("r")).await.unwrap();
        assert_eq!(granted.refresh_token, None, "Apicbase does not rotate");
        assert_eq!(
            server.seen()[0].body,
            "grant_type=refresh_token&refresh_token=r&client_id=app&client_secret=s"
        );
    }

    #[tokio::test]
    async fn without_a_person_there_is_no_start_but_with_a_refresh_token_that_one_has() {
        let server = Server::answering([""]).await;
        let mut table = table(&server);
        let without = grant(table.clone());
        assert!(!without.can_start());
        assert_eq!(without.first_refresh_token().unwrap(), None);
        let failure = start(&*without).await.unwrap_err();
        assert_eq!(failure.fault, Fault::InvalidGrant);
        assert!(failure.detail.contains("`bearward login`"), "{failure}");
        table["refresh_token"] = json!("r");
        let with = grant(table);
        assert_eq!(with.first_refresh_token().unwrap(), Some(Secret::new("r")));
        assert_ne!(with.identity(None).chain, without.identity(None).chain);
        assert!(server.seen().is_empty());
    }

    #[tokio::test]
    async fn r133_the_issuer_names_the_endpoints_and_has_to_answer_itself() {
        let server = Server::answering_with(|address| {
            let metadata = json!({
                "issuer": format!("http://{address}"), "token_endpoint": format!("http://{address}/token"),
                "authorization_endpoint": format!("http://{address}/auth?realm=x"),
                "authorization_response_iss_parameter_supported": true,
            });
            vec![granting(metadata), granting(token())]
        })
        .await;
        let grant = grant(json!({
            "grant_type": "authorization_code", "issuer": server.url(""), "client_id": "app",
            "token_endpoint_auth_method": "none",
        }));
        let login = login(&*grant);
        let request = login.begin(None).await.unwrap();
        assert!(
            request.url().starts_with(&server.url("/auth?realm=x&response_type=code&client_id=app&state="))
        );
        let state = parameter(&request, "state").unwrap();
        for wrong in ["", "&iss=https://evil.example"] {
            let judged = request.judge(&format!("code=c&state={state}{wrong}"));
            assert!(matches!(judged, Err(Refused::WrongIssuer(_))), "{judged:?}");
        }
        let code = request.judge(&format!("code=c&state={state}&iss={}", server.url(""))).unwrap();
        login.redeem(request, code).await.unwrap();
        let body = &server.seen()[1].body;
        assert!(
            body.starts_with("grant_type=authorization_code&code=c&code_verifier=")
                && body.ends_with("&client_id=app"),
            "{body}"
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_reported_at_once() {
        let found = problems(json!({ "grant_type": "authorization_code" }));
        for key in ["token_endpoint", "authorization_endpoint", "client_id", "client_secret"] {
            let missing = format!("{key} is missing");
            assert_eq!(found.iter().filter(|problem| **problem == missing).count(), 1, "{key}: {found:?}");
        }
        let good = json!({
            "grant_type": "authorization_code", "token_endpoint": "https://id.example/token",
            "authorization_endpoint": "https://id.example/auth?prompt=consent", "client_id": "app", "client_secret": "s",
        });
        grant(good.clone());
        for (key, value, expected) in [
            ("redirect_uri", json!("urn:ietf:wg:oauth:2.0:oob"), "no URL"),
            ("redirect_uri", json!("http://127.0.0.1:0/#x"), "fragment"),
            (
                "authorization_endpoint",
                json!("https://id.example/auth?client_id=x"),
                "`client_id` is in its query",
            ),
            ("parameters", json!({ "code_verifier": "x" }), "may be sent twice"),
            ("scope_parameter", json!("state"), "cannot carry the scope"),
        ] {
            let mut table = good.clone();
            table[key] = value;
            let found = problems(table);
            assert_eq!(found.len(), 1, "{key}: {found:?}");
            assert!(found[0].starts_with(key) && found[0].contains(expected), "{found:?}");
        }
        let mut public = good;
        public["token_endpoint_auth_method"] = json!("none");
        public.as_object_mut().unwrap().remove("client_id");
        assert_eq!(problems(public), ["client_id is missing"]);
    }

    #[test]
    fn r019_another_scope_is_another_login_and_another_redirect_uri_is_not() {
        let table = json!({
            "grant_type": "authorization_code", "token_endpoint": "https://id.example/token",
            "authorization_endpoint": "https://id.example/auth", "client_id": "app", "client_secret": "s", "scope": "a",
        });
        let original = grant(table.clone()).identity(None);
        for (key, value, same_chain, same_recipe) in [
            ("scope", json!("a b"), false, false),
            ("client_id", json!("app2"), false, false),
            ("authorization_endpoint", json!("https://id.example/auth?audience=x"), false, false),
            ("client_secret", json!("s2"), true, false),
            ("redirect_uri", json!("http://127.0.0.1:0/"), true, true),
            ("authorization_endpoint", json!("https://login.example/auth"), true, true),
        ] {
            let mut table = table.clone();
            table[key] = value;
            let changed = grant(table).identity(None);
            assert_eq!(changed.chain == original.chain, same_chain, "{key}");
            assert_eq!(changed.recipe == original.recipe, same_recipe, "{key}");
        }
    }
}
