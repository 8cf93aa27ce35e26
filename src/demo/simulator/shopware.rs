//! Shopware 6 Admin API: e-commerce.
//!
//! Knows token requests in JSON, integrations (client credentials) and administrators (password, `scopes` with an s,
//! rotating refresh tokens). `PROVIDERS` does not say how a dead token is answered: here as RFC 6750 section 3.1 has it.

use std::{io, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Answer, Desk, Grant, Provider, Simulator, State, challenge, resource,
    server::ANY_PORT,
    tokens::{Login, fresh},
    wire::{Call, Parameters, Refusal},
};

/// The access key id of the simulated integration.
pub const CLIENT_ID: &str = "SWIAINTEGRATION";
/// Its secret access key.
pub const CLIENT_SECRET: &str = "integration-secret";
/// The public client of administrators.
pub const ADMINISTRATION: &str = "administration";
/// An administrator's name.
pub const USERNAME: &str = "admin";
/// An administrator's password.
pub const PASSWORD: &str = "shopware-password";

/// A simulated Shopware, before its start.
#[derive(Debug)]
pub struct Shopware {
    lifetime: Duration,
}

impl Default for Shopware {
    fn default() -> Self {
        Self::new()
    }
}

impl Shopware {
    /// With tokens of ten minutes.
    pub fn new() -> Self {
        Self { lifetime: Duration::from_secs(600) }
    }

    /// With tokens of `lifetime`; `expires_in` says its whole seconds.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(self) -> io::Result<Simulator> {
        Simulator::start(self, ANY_PORT, State::default()).await
    }

    fn issued(&self, scope: &[String], refresh_token: Option<&str>, desk: &mut Desk<'_>) -> Grant {
        let token = fresh("shopware");
        desk.tokens.issue(&token, "", scope, desk.now, self.lifetime);
        let mut response =
            json!({ "token_type": "Bearer", "expires_in": self.lifetime.as_secs(), "access_token": token });
        if let Some(refresh_token) = refresh_token {
            desk.tokens.bind(&token, refresh_token);
            response["refresh_token"] = json!(refresh_token);
        }
        Grant::new(token, response)
    }
}

impl Provider for Shopware {
    fn token_endpoint(&self) -> &'static str {
        "/api/oauth/token"
    }

    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal> {
        call.json()
    }

    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        if call.fields.contains_key(http::header::AUTHORIZATION) {
            return Err(Refusal::client("the client is authenticated in the body alone"));
        }
        let client = parameters.needed("client_id")?;
        match (parameters.needed("grant_type")?, client) {
            ("client_credentials", CLIENT_ID) => {
                if parameters.needed("client_secret")? != CLIENT_SECRET {
                    return Err(Refusal::client("another secret"));
                }
                Ok(self.issued(&["write".to_owned()], None, desk))
            }
            ("password", ADMINISTRATION) => {
                parameters.without("scope", "its name is scopes")?;
                if parameters.needed("scopes")? != "write" {
                    return Err(Refusal::scope("the scopes are \"write\""));
                }
                if (parameters.needed("username")?, parameters.needed("password")?) != (USERNAME, PASSWORD) {
                    return Err(Refusal::grant("no such user, or another password"));
                }
                let (first, scope) = (fresh("refresh"), ["write".to_owned()]);
                desk.tokens.begin_chain(&first, Login::of_nobody(&scope));
                Ok(self.issued(&scope, Some(&first), desk))
            }
            ("refresh_token", ADMINISTRATION) => {
                let next = fresh("refresh");
                let used = parameters.needed("refresh_token")?;
                let rotated = desk.tokens.rotate(used, &next).map_err(|refused| desk.refused(refused))?;
                Ok(self.issued(&rotated.scope, Some(&next), desk))
            }
            ("client_credentials" | "password" | "refresh_token", _) => {
                Err(Refusal::client("no such client, or not for this grant"))
            }
            (other, _) => Err(Refusal::grant_type(other)),
        }
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        if !call.path.starts_with("/api/") || call.path.starts_with("/api/oauth/") {
            return Answer::json(StatusCode::NOT_FOUND, &errors("404", "Not Found"));
        }
        match desk.bearer(call) {
            Ok(access) => resource("shopware", call, &access),
            Err(why) => {
                let title = "The resource owner or authorization server denied the request.";
                challenge(why, &errors("401", title))
            }
        }
    }
}

fn errors(status: &str, title: &str) -> Value {
    json!({ "errors": [{ "code": "9", "status": status, "title": title }] })
}
