//! Cybrid: payments and crypto platform.
//!
//! Knows bank tokens by client credentials, a token endpoint that says "too many" with 403, and customer tokens that a
//! bank's token is exchanged for: JWTs, without an `expires_in`, one customer each. `PROVIDERS` does not say how a dead
//! token is answered: here as RFC 6750 section 3.1 has it, with Cybrid's error beside.

use std::{
    io,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Answer, Desk, Grant, Outcome, Provider, Simulator, State, TokenRequest, challenge, resource,
    server::ANY_PORT,
    tokens::{Access, fresh},
    wire::{Call, Parameters, Refusal, scope_within},
};
use crate::clock::Moment;

/// The bank's client id.
pub const CLIENT_ID: &str = "bank-client";
/// The bank's client secret.
pub const CLIENT_SECRET: &str = "bank-secret";
/// The bank's customers, by guid. No other guid is one.
pub const CUSTOMERS: [&str; 4] = [
    "11111111111111111111111111111111",
    "22222222222222222222222222222222",
    "33333333333333333333333333333333",
    "44444444444444444444444444444444",
];
/// The scopes that the bank may ask for.
pub const SCOPES: [&str; 5] =
    ["banks:read", "customers:read", "customers:write", "trades:read", "trades:execute"];
/// Where customer tokens are made.
pub const CUSTOMER_TOKENS: &str = "/api/customer_tokens";

/// A simulated Cybrid, before its start: identity and API behind one port.
#[derive(Debug)]
pub struct Cybrid {
    lifetime: Duration,
    customer_lifetime: Duration,
}

impl Default for Cybrid {
    fn default() -> Self {
        Self::new()
    }
}

impl Cybrid {
    /// With tokens of thirty minutes.
    pub fn new() -> Self {
        Self { lifetime: Duration::from_secs(1800), customer_lifetime: Duration::from_secs(1800) }
    }

    /// With bank tokens of `lifetime`; `expires_in` says its whole seconds.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// With customer tokens of `lifetime`, up to a second less: their JWT's `exp` is a whole second, and counts.
    #[must_use]
    pub fn customer_lifetime(mut self, lifetime: Duration) -> Self {
        self.customer_lifetime = lifetime;
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(self) -> io::Result<Simulator> {
        Simulator::start(self, ANY_PORT, State::default()).await
    }

    fn customer_token(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        let (parameters, outcome, answer) = match self.customer_grant(call, desk) {
            Ok((parameters, Grant { response, token, subject })) => {
                let answer = Answer::json(StatusCode::CREATED, &response);
                (parameters, Outcome::Granted { token, subject }, answer)
            }
            Err((code, answer)) => (call.json().unwrap_or_default(), Outcome::Refused(code), answer),
        };
        let endpoint = CUSTOMER_TOKENS.to_owned();
        let request = TokenRequest { at: call.at, endpoint, grant: String::new(), parameters, outcome };
        desk.record.token_request(request);
        answer
    }

    fn customer_grant(
        &self,
        call: &Call,
        desk: &mut Desk<'_>,
    ) -> Result<(Parameters, Grant), (&'static str, Answer)> {
        let bank = desk.bearer(call).map_err(|why| ("unauthorized", unauthorized(why)))?;
        for needed in ["customers:read", "customers:write"] {
            allowed(&bank, needed).map_err(|answer| ("insufficient_scope", answer))?;
        }
        let wrong =
            |what: &str| ("invalid_parameter", error(StatusCode::BAD_REQUEST, "invalid_parameter", what));
        let parameters = call.json().map_err(|refusal| wrong(&refusal.description))?;
        let guid = parameters.one("customer_guid").filter(|guid| CUSTOMERS.contains(guid));
        let guid = guid.ok_or_else(|| wrong("customer_guid names no customer of this bank"))?;
        let scopes: Option<Vec<String>> =
            parameters.one("scopes").and_then(|scopes| serde_json::from_str(scopes).ok());
        let known = |scope: &String| SCOPES.contains(&scope.as_str());
        let scopes = scopes.filter(|scopes| !scopes.is_empty() && scopes.iter().all(known));
        let scopes = scopes.ok_or_else(|| wrong("scopes is a list of known scopes"))?;
        let (token, left) = jwt(guid, &scopes, desk.now, self.customer_lifetime);
        desk.tokens.issue(&token, guid, &scopes, desk.now, left);
        let grant = Grant { response: json!({ "access_token": token }), token, subject: guid.to_owned() };
        Ok((parameters, grant))
    }
}

impl Provider for Cybrid {
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
        let scope = scope_within(parameters.needed("scope")?, &SCOPES)?;
        let token = fresh("bank");
        desk.tokens.issue(&token, "", &scope, desk.now, self.lifetime);
        let response = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "scope": scope.join(" "),
        });
        Ok(Grant::new(token, response))
    }

    /// 403, which elsewhere means that credentials are bad.
    fn limited(&self) -> Answer {
        error(StatusCode::FORBIDDEN, "rate_limited", "Rate limit exceeded")
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        if call.path == CUSTOMER_TOKENS {
            if call.method != Method::POST {
                return error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "POST makes a customer token",
                );
            }
            return self.customer_token(call, desk);
        }
        let needed = match call.path.strip_prefix("/api/").and_then(|rest| rest.split('/').next()) {
            Some("trades") => "trades:read",
            Some("customers") => "customers:read",
            _ => return error(StatusCode::NOT_FOUND, "not_found", "No such resource"),
        };
        let access = match desk.bearer(call) {
            Ok(access) => access,
            Err(why) => return unauthorized(why),
        };
        match allowed(&access, needed) {
            Ok(()) => resource("cybrid", call, &access),
            Err(answer) => answer,
        }
    }
}

fn allowed(access: &Access, needed: &str) -> Result<(), Answer> {
    match access.scope.iter().any(|scope| scope == needed) {
        true => Ok(()),
        false => Err(error(
            StatusCode::FORBIDDEN,
            "unauthorized_scope",
            &format!("the token's scope lacks {needed}"),
        )),
    }
}

fn unauthorized(why: super::Unauthorized) -> Answer {
    challenge(why, &body(StatusCode::UNAUTHORIZED, "invalid_token", "The token is not valid"))
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    Answer::json(status, &body(status, code, message))
}

fn body(status: StatusCode, code: &str, message: &str) -> Value {
    json!({ "status": status.as_u16(), "error_message": message, "message_code": code })
}

/// A JWT that nobody can verify, and how long it lives: to the whole second that its `exp` names.
fn jwt(subject: &str, scopes: &[String], now: Moment, lifetime: Duration) -> (String, Duration) {
    let since_epoch = now.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let exp = (since_epoch + lifetime).as_secs();
    let claims = json!({ "sub": subject, "scope": scopes.join(" "), "exp": exp, "jti": fresh("jti") });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(fresh("signature"));
    let token = format!("{}.{}.{signature}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    (token, Duration::from_secs(exp).saturating_sub(since_epoch))
}
