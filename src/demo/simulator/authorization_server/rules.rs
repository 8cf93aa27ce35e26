//! How the authorization server of no provider judges a request.
//!
//! Knows the order of the checks: the client first, then what it asks for. Does not know how the server was set up.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{
    AUTHORIZATION_ENDPOINT, AuthorizationServer, DEVICE_AUTHORIZATION_ENDPOINT, INTROSPECTION_ENDPOINT,
    REVOCATION_ENDPOINT, RefreshTokens, TOKEN_ENDPOINT, VERIFICATION_PAGE,
};
use crate::demo::simulator::{
    Answer, Desk, Grant, Provider,
    authorization::Iss,
    clients::Client,
    device, overridden,
    revocation::{introspected, revoked},
    tokens::{Login, fresh},
    wire::{Call, Parameters, Refusal},
};

impl Provider for AuthorizationServer {
    fn token_endpoint(&self) -> &'static str {
        TOKEN_ENDPOINT
    }

    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal> {
        call.json().or_else(|_| call.form())
    }

    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        let client_id = self.client.authenticated(call, parameters)?;
        let grant_type = parameters.needed("grant_type")?;
        match (grant_type, &self.authorization, &self.devices) {
            ("refresh_token", ..) => self.refreshed(parameters, desk),
            ("authorization_code", Some(authorization), _) => {
                call.form()?;
                let login = authorization.redeem(parameters, &client_id, desk)?;
                let first = self.first_refresh_token(&login, desk);
                let grant = self.issued(&login, first.as_deref(), desk);
                authorization.gave(parameters.needed("code")?, &grant.token, first.as_deref());
                Ok(grant)
            }
            (device::GRANT_TYPE, _, Some(devices)) => {
                call.form()?;
                let login = devices.redeem(parameters, &client_id, desk)?;
                let first = self.first_refresh_token(&login, desk);
                Ok(self.issued(&login, first.as_deref(), desk))
            }
            _ => {
                let login = Login::default();
                let first = self.first_refresh_token(&login, desk);
                Ok(self.issued(&login, first.as_deref(), desk))
            }
        }
    }

    fn is_endpoint(&self, path: &str) -> bool {
        match path {
            AUTHORIZATION_ENDPOINT => self.authorization.is_some(),
            DEVICE_AUTHORIZATION_ENDPOINT | VERIFICATION_PAGE => self.devices.is_some(),
            REVOCATION_ENDPOINT => self.revocation.is_some(),
            INTROSPECTION_ENDPOINT => self.introspection,
            path => self.metadata.as_ref().is_some_and(|metadata| metadata.is_at(path)),
        }
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        match (call.path.as_str(), &self.authorization, &self.devices) {
            (AUTHORIZATION_ENDPOINT, Some(authorization), _) => return authorization.answer(call, desk),
            (VERIFICATION_PAGE, _, Some(devices)) => return devices.page(call, desk),
            _ if !self.is_endpoint(&call.path) => {}
            (path, ..) if self.metadata.as_ref().is_some_and(|metadata| metadata.is_at(path)) => {
                return self.described_at(&call.origin());
            }
            _ if call.method != Method::POST => {
                return Answer::status(StatusCode::METHOD_NOT_ALLOWED).field(header::ALLOW, "POST");
            }
            _ => return self.posted(call, desk).unwrap_or_else(Refusal::into_answer),
        }
        Answer::status(StatusCode::NOT_FOUND)
            .field(header::CONTENT_TYPE, "text/plain")
            .content("nothing is served here")
    }
}

impl AuthorizationServer {
    fn refreshed(&self, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        let used = parameters.needed("refresh_token")?;
        if let (Some(login), Some(scope)) = (desk.tokens.login(used), parameters.one("scope")) {
            // RFC 6749 section 6: nothing that was not granted by the person.
            let more = |part: &str| !login.scope.is_empty() && !login.scope.iter().any(|given| given == part);
            if scope.split(' ').any(more) {
                return Err(Refusal::scope("more than was granted"));
            }
        }
        if self.refresh_tokens == RefreshTokens::Rotated {
            let next = fresh("refresh");
            let login = desk.tokens.rotate(used, &next).map_err(|refused| desk.refused(refused))?;
            return Ok(self.issued(&login, Some(&next), desk));
        }
        let login = desk.tokens.reuse(used).map_err(|refused| desk.refused(refused))?;
        let grant = self.issued(&login, None, desk);
        desk.tokens.bind(&grant.token, used);
        Ok(grant)
    }

    fn first_refresh_token(&self, login: &Login, desk: &mut Desk<'_>) -> Option<String> {
        (self.refresh_tokens != RefreshTokens::Never).then(|| {
            let first = fresh("refresh");
            desk.tokens.begin_chain(&first, login.clone());
            first
        })
    }

    fn issued(&self, login: &Login, refresh_token: Option<&str>, desk: &mut Desk<'_>) -> Grant {
        let token = fresh("token");
        desk.tokens.issue(&token, &login.subject, &login.scope, desk.now, self.lifetime);
        let mut response =
            json!({ "access_token": token, "token_type": "Bearer", "expires_in": self.lifetime.as_secs() });
        if !login.scope.is_empty() {
            response["scope"] = json!(login.scope.join(" "));
        }
        if let Some(refresh_token) = refresh_token {
            desk.tokens.bind(&token, refresh_token);
            response["refresh_token"] = json!(refresh_token);
        }
        overridden(&mut response, &self.members);
        Grant::new(token, response)
    }

    /// The endpoints that a client posts a form to.
    fn posted(&self, call: &Call, desk: &mut Desk<'_>) -> Result<Answer, Refusal> {
        let parameters = call.form()?;
        let client_id = self.client.authenticated(call, &parameters)?;
        match (call.path.as_str(), &self.devices, self.revocation) {
            (DEVICE_AUTHORIZATION_ENDPOINT, Some(devices), _) => devices.begin(call, &parameters, client_id),
            (REVOCATION_ENDPOINT, _, Some(revocable)) => revoked(revocable, &parameters, desk),
            // RFC 7662 section 2.1: not for everybody who knows an id.
            _ if self.client.is_public() => Err(Refusal::client("only for clients that authenticate")),
            _ => introspected(&parameters, &client_id, desk),
        }
    }

    fn described_at(&self, origin: &str) -> Answer {
        let Some(metadata) = &self.metadata else { return Answer::status(StatusCode::NOT_FOUND) };
        let known = [
            ("token_endpoint", TOKEN_ENDPOINT),
            ("authorization_endpoint", AUTHORIZATION_ENDPOINT),
            ("device_authorization_endpoint", DEVICE_AUTHORIZATION_ENDPOINT),
            ("revocation_endpoint", REVOCATION_ENDPOINT),
            ("introspection_endpoint", INTROSPECTION_ENDPOINT),
        ];
        let mut endpoints = known.to_vec();
        endpoints.retain(|(_, path)| *path == TOKEN_ENDPOINT || self.is_endpoint(path));
        Answer::json(StatusCode::OK, &metadata.document(origin, &endpoints, self.abilities()))
    }

    fn abilities(&self) -> Value {
        let methods: &[&str] = match self.client {
            Client::Anybody => &["client_secret_basic", "client_secret_post", "none"],
            Client::Confidential { .. } => &["client_secret_basic", "client_secret_post"],
            Client::Public { .. } => &["none"],
        };
        let mut grant_types = vec!["client_credentials", "password"];
        grant_types.extend((self.refresh_tokens != RefreshTokens::Never).then_some("refresh_token"));
        grant_types.extend(self.devices.as_ref().map(|_| device::GRANT_TYPE));
        let mut abilities = json!({ "token_endpoint_auth_methods_supported": methods });
        if let Some(authorization) = &self.authorization {
            grant_types.push("authorization_code");
            abilities["response_types_supported"] = json!(["code"]);
            abilities["code_challenge_methods_supported"] = json!(["S256"]);
            if authorization.iss != Iss::Absent {
                abilities["authorization_response_iss_parameter_supported"] = json!(true);
            }
        }
        abilities["grant_types_supported"] = json!(grant_types);
        abilities
    }
}
