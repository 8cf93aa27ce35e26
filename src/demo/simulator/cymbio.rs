//! Cymbio: dropship and marketplace.
//!
//! Knows client credentials that carry a username and a password too, scopes, and tokens of five minutes. `PROVIDERS`
//! does not say how a dead token is answered: here as RFC 6750 section 3.1 has it.

use std::{io, time::Duration};

use http::{StatusCode, header};
use serde_json::json;

use super::{
    Answer, Desk, Grant, Provider, Simulator, State, challenge, resource,
    server::ANY_PORT,
    tokens::fresh,
    wire::{Call, Parameters, Refusal, scope_within},
};

/// The client id of the simulated account.
pub const CLIENT_ID: &str = "brand-client";
/// Its secret.
pub const CLIENT_SECRET: &str = "brand-secret";
/// The account's user name, where it has one.
pub const USERNAME: &str = "brand@shop.example";
/// The account's password, where it has one.
pub const PASSWORD: &str = "brand-password";
/// The scopes that the account may ask for.
pub const SCOPES: [&str; 4] = ["read:orders", "write:orders", "read:inventory", "write:inventory"];

/// A simulated Cymbio, before its start.
#[derive(Debug)]
pub struct Cymbio {
    lifetime: Duration,
    login: bool,
}

impl Default for Cymbio {
    fn default() -> Self {
        Self::new()
    }
}

impl Cymbio {
    /// With tokens of five minutes and an account that has a username and a password.
    pub fn new() -> Self {
        Self { lifetime: Duration::from_secs(300), login: true }
    }

    /// With tokens of `lifetime`; `expires_in` says its whole seconds.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// With an account that has neither username nor password.
    #[must_use]
    pub fn without_login(mut self) -> Self {
        self.login = false;
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(self) -> io::Result<Simulator> {
        Simulator::start(self, ANY_PORT, State::default()).await
    }
}

impl Provider for Cymbio {
    fn token_endpoint(&self) -> &'static str {
        "/oauth/token"
    }

    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal> {
        call.form()
    }

    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        if call.fields.contains_key(header::AUTHORIZATION) {
            return Err(Refusal::client("the client is authenticated in the body alone"));
        }
        match parameters.needed("grant_type")? {
            "client_credentials" => {}
            other => return Err(Refusal::grant_type(other)),
        }
        if (parameters.needed("client_id")?, parameters.needed("client_secret")?)
            != (CLIENT_ID, CLIENT_SECRET)
        {
            return Err(Refusal::client("no such client, or another secret"));
        }
        if self.login {
            let given = (parameters.needed("username")?, parameters.needed("password")?);
            if given != (USERNAME, PASSWORD) {
                return Err(Refusal::grant("no such user, or another password"));
            }
        }
        let scope = scope_within(parameters.needed("scope")?, &SCOPES)?;
        let token = fresh("cymbio");
        desk.tokens.issue(&token, "", &scope, desk.now, self.lifetime);
        let response = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "scope": scope.join(" "),
        });
        Ok(Grant::new(token, response))
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        let Some(needed) = scope_for(call) else {
            return Answer::json(StatusCode::NOT_FOUND, &json!({ "message": "no such resource" }));
        };
        match desk.bearer(call) {
            Ok(access) if access.scope.contains(&needed) => resource("cymbio", call, &access),
            Ok(_) => Answer::json(StatusCode::FORBIDDEN, &json!({ "message": format!("needs {needed}") }))
                .field(
                    header::WWW_AUTHENTICATE,
                    &format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\""),
                ),
            Err(why) => challenge(why, &json!({ "message": "Unauthorized" })),
        }
    }
}

/// `/v3/orders` read: `read:orders`; anything else but a read: `write:…`.
fn scope_for(call: &Call) -> Option<String> {
    let resource = call.path.strip_prefix("/v3/")?.split('/').next().filter(|name| !name.is_empty())?;
    let verb = if call.method.is_safe() { "read" } else { "write" };
    Some(format!("{verb}:{resource}"))
}
