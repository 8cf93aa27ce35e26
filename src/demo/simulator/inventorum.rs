//! Inventorum: retail point of sale.
//!
//! Knows one-use refresh tokens from a dashboard, the older password grant, HTTP Basic, and an API that wants
//! `Accept: application/json` and says `token.invalid` in its own words.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::{StatusCode, header};
use serde_json::json;

use super::{
    Answer, Desk, Grant, Provider, Simulator, State, Unauthorized, resource,
    server::ANY_PORT,
    tokens::{Access, Login, Tokens, fresh},
    wire::{Call, Parameters, Refusal},
};

/// The client id of the simulated account.
pub const CLIENT_ID: &str = "till-app";
/// Its secret.
pub const CLIENT_SECRET: &str = "till-app-secret";
/// The refresh token that a person made in the dashboard.
pub const FIRST_REFRESH_TOKEN: &str = "dashboard-refresh-token";
/// The person's user name, for older apps.
pub const USERNAME: &str = "owner@shop.example";
/// The person's password, for older apps.
pub const PASSWORD: &str = "owner-password";
/// The content of a 401 for a dead token, octet for octet.
pub const TOKEN_INVALID: &str =
    r#"{"error":{"fields":{},"description":"Invalid token","key":"token.invalid"}}"#;
/// The content of the answer where the scope does not allow the endpoint.
pub const SCOPE_WRONG: &str = r#"{"error":{"fields":{},"description":"Wrong scope","key":"scope.wrong"}}"#;
/// A path that the token's scope does not allow. It is answered 401 the first time, then 403, and so on in turn.
pub const FORBIDDEN_PATH: &str = "/api/finance/";

const SCOPE: &str = "products:read orders:read";

/// A simulated Inventorum, before its start.
#[derive(Debug)]
pub struct Inventorum {
    lifetime: Duration,
    forbidden: AtomicU64,
}

impl Default for Inventorum {
    fn default() -> Self {
        Self::new()
    }
}

impl Inventorum {
    /// With tokens of ten hours.
    pub fn new() -> Self {
        Self { lifetime: Duration::from_secs(36_000), forbidden: AtomicU64::new(0) }
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
        let mut tokens = Tokens::default();
        tokens.begin_chain(FIRST_REFRESH_TOKEN, Login::default());
        Simulator::start(self, ANY_PORT, State { tokens, ..State::default() }).await
    }

    fn granted(&self, refresh_token: &str, desk: &mut Desk<'_>) -> Grant {
        let token = fresh("inventorum");
        let scope: Vec<_> = SCOPE.split(' ').map(str::to_owned).collect();
        desk.tokens.issue(&token, "", &scope, desk.now, self.lifetime);
        desk.tokens.bind(&token, refresh_token);
        let response = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "refresh_token": refresh_token,
            "scope": SCOPE,
        });
        Grant::new(token, response)
    }

    fn admitted(&self, call: &Call, desk: &mut Desk<'_>) -> Result<Access, Answer> {
        if call.field(&header::ACCEPT) != Some("application/json") {
            return Err(error(
                StatusCode::NOT_ACCEPTABLE,
                "accept.invalid",
                "Accept must be application/json",
            ));
        }
        desk.bearer(call).map_err(|why| match why {
            Unauthorized::Dead => fixed(StatusCode::UNAUTHORIZED, TOKEN_INVALID),
            Unauthorized::Bare => error(StatusCode::UNAUTHORIZED, "authentication.missing", "No token"),
        })
    }
}

impl Provider for Inventorum {
    fn token_endpoint(&self) -> &'static str {
        "/api/auth/token/"
    }

    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal> {
        call.form()
    }

    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        if call.basic() != Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())) {
            return Err(Refusal::client("the client is authenticated by HTTP Basic"));
        }
        parameters.without("client_secret", "the client is authenticated by HTTP Basic alone")?;
        let next = fresh("refresh");
        match parameters.needed("grant_type")? {
            "refresh_token" => {
                let used = parameters.needed("refresh_token")?;
                desk.tokens.rotate(used, &next).map_err(|refused| desk.refused(refused))?;
            }
            "password" => {
                let given = (parameters.needed("username")?, parameters.needed("password")?);
                if given != (USERNAME, PASSWORD) {
                    return Err(Refusal::grant("no such user, or another password"));
                }
                desk.tokens.begin_chain(&next, Login::default());
            }
            other => return Err(Refusal::grant_type(other)),
        }
        Ok(self.granted(&next, desk))
    }

    fn api(&self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        if !call.path.starts_with("/api/") || call.path.starts_with("/api/auth/") {
            return error(StatusCode::NOT_FOUND, "not.found", "No such resource");
        }
        let access = match self.admitted(call, desk) {
            Ok(access) => access,
            Err(answer) => return answer,
        };
        if call.path == FORBIDDEN_PATH {
            let status = match self.forbidden.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => StatusCode::UNAUTHORIZED,
                _ => StatusCode::FORBIDDEN,
            };
            return fixed(status, SCOPE_WRONG);
        }
        resource("inventorum", call, &access)
    }
}

fn fixed(status: StatusCode, content: &'static str) -> Answer {
    Answer::status(status).field(header::CONTENT_TYPE, "application/json").content(content)
}

fn error(status: StatusCode, key: &str, description: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "fields": {}, "description": description, "key": key } }))
}
