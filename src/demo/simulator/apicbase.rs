//! Apicbase: food-service back office.
//!
//! Knows that a person logs in and ends with a code that lives a minute, refresh tokens that stay good and refresh an access
//! token that has expired, introspection, and the suppliers' client credentials in JSON. It has no endpoint to revoke at.

use std::{io, time::Duration};

use http::{Method, StatusCode, header};
use serde_json::json;

use super::{
    Answer, Desk, Grant, Provider, Simulator, State,
    authorization::{Authorization, Iss},
    challenge,
    codes::Binding,
    resource,
    revocation::told,
    server::ANY_PORT,
    tokens::{Login, Standing, fresh},
    wire::{Call, Parameters, Refusal},
};
use crate::clock::Clock;

/// Where a person's browser is sent.
pub const AUTHORIZATION_ENDPOINT: &str = "/oauth/authorize/";
/// The token endpoint's path.
pub const TOKEN_ENDPOINT: &str = "/oauth/token/";
/// Where tokens are asked about.
pub const INTROSPECTION_ENDPOINT: &str = "/oauth/introspect/";

/// The client id of the simulated registration.
pub const CLIENT_ID: &str = "kitchen-app";
/// Its secret.
pub const CLIENT_SECRET: &str = "kitchen-secret";
/// The client id of a supplier.
pub const SUPPLIER_ID: &str = "supplier-app";
/// Its secret.
pub const SUPPLIER_SECRET: &str = "supplier-secret";
/// The person who logs in.
pub const USERNAME: &str = "chef@kitchen.example";

/// A simulated Apicbase, before its start.
#[derive(Clone, Debug)]
pub struct Apicbase {
    lifetime: Duration,
    authorization: Authorization,
}

/// A running Apicbase and the person who logs in at it.
#[derive(Debug)]
pub struct Kitchen {
    /// The provider.
    pub simulator: Simulator,
    authorization: Authorization,
}

impl Kitchen {
    /// Where a person's browser is sent, without a query.
    pub fn authorization_endpoint(&self) -> String {
        self.simulator.url() + AUTHORIZATION_ENDPOINT
    }

    /// A person allows `scope`, without pages and PKCE: the code that the browser ends with. `redirect_uri` where the request
    /// named one. [`super::Person`] takes the long way.
    pub fn authorize(&self, scope: &[&str], redirect_uri: Option<&str>) -> String {
        let redirect_uri = redirect_uri.map(str::to_owned);
        let binding = Binding { client_id: CLIENT_ID.to_owned(), redirect_uri, challenge: None };
        let scope = scope.iter().map(|part| (*part).to_owned()).collect();
        let login = Login { subject: USERNAME.to_owned(), scope };
        self.authorization.code(binding, login, Clock::system().now())
    }
}

impl Default for Apicbase {
    fn default() -> Self {
        Self::new()
    }
}

impl Apicbase {
    /// With tokens of a week and codes of a minute, which a page shows: no redirect URI is registered.
    pub fn new() -> Self {
        let mut authorization = Authorization::new(AUTHORIZATION_ENDPOINT);
        authorization.client_id = Some(CLIENT_ID.to_owned());
        authorization.scope_needed = true;
        Self { lifetime: Duration::from_secs(7 * 86_400), authorization }
    }

    /// With tokens of `lifetime`; `expires_in` says its whole seconds.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// With codes of `lifetime`.
    #[must_use]
    pub fn code_lifetime(mut self, lifetime: Duration) -> Self {
        self.authorization.code_lifetime = lifetime;
        self
    }

    /// With this redirect URI registered; several may be. One on loopback is good with any port (RFC 8252 section 7.3).
    #[must_use]
    pub fn redirect_uri(mut self, uri: &str) -> Self {
        self.authorization.redirect_uris.push(uri.to_owned());
        self
    }

    /// With its URL as `iss` in each authorization response (RFC 9207), which the real one does not send.
    #[must_use]
    pub fn iss(mut self) -> Self {
        self.authorization.iss = Iss::Own(String::new());
        self
    }

    /// With this `iss` in each authorization response, as if the answer were another server's.
    #[must_use]
    pub fn wrong_iss(mut self, iss: &str) -> Self {
        self.authorization.iss = Iss::Other(iss.to_owned());
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(self) -> io::Result<Kitchen> {
        let authorization = self.authorization.clone();
        let simulator = Simulator::start(self, ANY_PORT, State::default()).await?;
        Ok(Kitchen { simulator, authorization })
    }

    fn exchanged(&self, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        let login = self.authorization.redeem(parameters, CLIENT_ID, desk)?;
        let refresh_token = fresh("refresh");
        desk.tokens.begin_chain(&refresh_token, login.clone());
        let grant = self.issued(&login, Some(&refresh_token), desk);
        self.authorization.gave(parameters.needed("code")?, &grant.token, Some(&refresh_token));
        Ok(grant)
    }

    fn issued(&self, login: &Login, refresh_token: Option<&str>, desk: &mut Desk<'_>) -> Grant {
        let token = fresh("apicbase");
        desk.tokens.issue(&token, &login.subject, &login.scope, desk.now, self.lifetime);
        let mut response = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "scope": login.scope.join(" "),
        });
        if let Some(refresh_token) = refresh_token {
            desk.tokens.bind(&token, refresh_token);
            response["refresh_token"] = json!(refresh_token);
        }
        Grant::new(token, response)
    }

    fn introspection(call: &Call, desk: &mut Desk<'_>) -> Result<Answer, Refusal> {
        let parameters = call.form()?;
        expect_client(&parameters, CLIENT_ID, CLIENT_SECRET)?;
        parameters.needed("refresh_token")?;
        let Standing::Alive(access) = desk.tokens.standing(parameters.needed("token")?, desk.now) else {
            return Ok(Answer::json(StatusCode::OK, &json!({ "active": false })));
        };
        Ok(Answer::json(StatusCode::OK, &told(&access, CLIENT_ID)))
    }
}

impl Provider for Apicbase {
    fn token_endpoint(&self) -> &'static str {
        TOKEN_ENDPOINT
    }

    /// Suppliers send JSON, everybody else a form.
    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal> {
        match call.json() {
            Ok(parameters) if parameters.one("grant_type") == Some("client_credentials") => Ok(parameters),
            Ok(_) => Err(Refusal::request("only suppliers' client credentials come in JSON")),
            Err(_) => call.form(),
        }
    }

    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        if call.fields.contains_key(header::AUTHORIZATION) {
            return Err(Refusal::client("the client is authenticated in the body alone"));
        }
        match parameters.needed("grant_type")? {
            "authorization_code" => {
                expect_client(parameters, CLIENT_ID, CLIENT_SECRET)?;
                self.exchanged(parameters, desk)
            }
            "refresh_token" => {
                expect_client(parameters, CLIENT_ID, CLIENT_SECRET)?;
                let used = parameters.needed("refresh_token")?;
                let login = desk.tokens.reuse(used).map_err(|refused| desk.refused(refused))?;
                Ok(self.issued(&login, Some(used), desk))
            }
            "client_credentials" => {
                expect_client(parameters, SUPPLIER_ID, SUPPLIER_SECRET)?;
                if call.json().is_err() {
                    return Err(Refusal::request("suppliers' client credentials come in JSON"));
                }
                if parameters.needed("scope")? != "supplier" {
                    return Err(Refusal::scope("a supplier's scope is \"supplier\""));
                }
                Ok(self.issued(&Login::of_nobody(&["supplier".to_owned()]), None, desk))
            }
            other => Err(Refusal::grant_type(other)),
        }
    }

    fn is_endpoint(&self, path: &str) -> bool {
        path == AUTHORIZATION_ENDPOINT || path == INTROSPECTION_ENDPOINT
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        if call.path == AUTHORIZATION_ENDPOINT {
            return self.authorization.answer(call, desk);
        }
        if call.path == INTROSPECTION_ENDPOINT && call.method == Method::POST {
            return Self::introspection(call, desk).unwrap_or_else(Refusal::into_answer);
        }
        if !call.path.starts_with("/api/") {
            return Answer::json(StatusCode::NOT_FOUND, &json!({ "detail": "Not found." }));
        }
        match desk.bearer(call) {
            Ok(access) => resource("apicbase", call, &access),
            Err(why) => challenge(why, &json!({ "detail": "Invalid token." })),
        }
    }
}

fn expect_client(parameters: &Parameters, id: &str, secret: &str) -> Result<(), Refusal> {
    match (parameters.needed("client_id")?, parameters.needed("client_secret")?) == (id, secret) {
        true => Ok(()),
        false => Err(Refusal::client("no such client, or another secret")),
    }
}
