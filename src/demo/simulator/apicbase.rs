//! Apicbase: food-service back office.
//!
//! Knows the exchange of an authorization code that lives a minute, refresh tokens that stay good, introspection, and
//! the suppliers' client credentials in JSON. Does not have the pages where a person logs in: [`Kitchen::authorize`] is that person.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use http::{Method, StatusCode, header};
use serde_json::json;

use super::{
    Answer, Desk, Grant, Provider, Simulator, State, challenge, resource,
    server::ANY_PORT,
    tokens::{Standing, fresh},
    wire::{Call, Parameters, Refusal},
};
use crate::clock::{Clock, Deadline};

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
    code_lifetime: Duration,
    codes: Arc<Codes>,
}

/// The authorization codes that persons hold.
#[derive(Debug, Default)]
struct Codes(Mutex<Vec<Code>>);

#[derive(Debug)]
struct Code {
    code: String,
    redirect_uri: Option<String>,
    scope: Vec<String>,
    deadline: Deadline,
}

/// A running Apicbase and the person who logs in at it.
#[derive(Debug)]
pub struct Kitchen {
    /// The provider.
    pub simulator: Simulator,
    apicbase: Apicbase,
}

impl Kitchen {
    /// A person allows `scope`: the code that the browser ends with. `redirect_uri` where one is registered.
    pub fn authorize(&self, scope: &[&str], redirect_uri: Option<&str>) -> String {
        let code = fresh("code");
        let entry = Code {
            code: code.clone(),
            redirect_uri: redirect_uri.map(str::to_owned),
            scope: scope.iter().map(|part| (*part).to_owned()).collect(),
            deadline: Clock::system().now().after(self.apicbase.code_lifetime),
        };
        self.apicbase.codes.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        code
    }
}

impl Default for Apicbase {
    fn default() -> Self {
        Self::new()
    }
}

impl Apicbase {
    /// With tokens of a week and codes of a minute.
    pub fn new() -> Self {
        let codes = Arc::default();
        Self { lifetime: Duration::from_secs(7 * 86_400), code_lifetime: Duration::from_secs(60), codes }
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
        self.code_lifetime = lifetime;
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(self) -> io::Result<Kitchen> {
        let simulator = Simulator::start(self.clone(), ANY_PORT, State::default()).await?;
        Ok(Kitchen { simulator, apicbase: self })
    }

    /// A code is good once (RFC 6749 section 4.1.2), whether the exchange succeeds or not.
    fn take(&self, code: &str) -> Option<Code> {
        let mut codes = self.codes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = codes.iter().position(|held| held.code == code)?;
        Some(codes.swap_remove(at))
    }

    fn exchanged(&self, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        let code = self.take(parameters.needed("code")?).filter(|code| !desk.now.reached(code.deadline));
        let code = code.ok_or_else(|| Refusal::grant("the code is too old, used or unknown"))?;
        let given = parameters.one("redirect_uri").filter(|uri| !uri.is_empty());
        if given != code.redirect_uri.as_deref() {
            return Err(Refusal::grant("another redirect_uri than the one at the login"));
        }
        let refresh_token = fresh("refresh");
        desk.tokens.begin_chain(&refresh_token, &code.scope);
        Ok(self.issued(&code.scope, Some(&refresh_token), desk))
    }

    fn issued(&self, scope: &[String], refresh_token: Option<&str>, desk: &mut Desk<'_>) -> Grant {
        let token = fresh("apicbase");
        desk.tokens.issue(&token, "", scope, desk.now, self.lifetime);
        let mut response = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "scope": scope.join(" "),
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
        let exp = access.deadline.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let content = json!({
            "active": true,
            "scope": access.scope.join(" "),
            "exp": exp,
            "client_id": CLIENT_ID,
            "username": USERNAME,
        });
        Ok(Answer::json(StatusCode::OK, &content))
    }
}

impl Provider for Apicbase {
    fn token_endpoint(&self) -> &'static str {
        "/oauth/token/"
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
                let scope = desk.tokens.reuse(used).map_err(|refused| desk.refused(refused))?;
                Ok(self.issued(&scope, Some(used), desk))
            }
            "client_credentials" => {
                expect_client(parameters, SUPPLIER_ID, SUPPLIER_SECRET)?;
                if call.json().is_err() {
                    return Err(Refusal::request("suppliers' client credentials come in JSON"));
                }
                if parameters.needed("scope")? != "supplier" {
                    return Err(Refusal::scope("a supplier's scope is \"supplier\""));
                }
                Ok(self.issued(&["supplier".to_owned()], None, desk))
            }
            other => Err(Refusal::grant_type(other)),
        }
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        if call.path == "/oauth/introspect/" && call.method == Method::POST {
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
