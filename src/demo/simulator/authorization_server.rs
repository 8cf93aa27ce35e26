//! An authorization server of no provider: it answers as it is told.
//!
//! Knows every grant a token endpoint may be asked for, in a form or in JSON, and takes anybody unless told whom. Scripts
//! come first; without one it grants. Does not serve an API: that is the resource server's.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    Answer, Desk, Grant, Provider, Simulator, State,
    server::ANY_PORT,
    tokens::{Login, Tokens, fresh},
    wire::{Call, Parameters, Refusal},
};

/// The token endpoint's path.
pub const TOKEN_ENDPOINT: &str = "/token";
/// A refresh token that is good from the start.
pub const FIRST_REFRESH_TOKEN: &str = "first-refresh-token";

/// An authorization server, before its start.
#[derive(Debug)]
pub struct AuthorizationServer {
    lifetime: Duration,
    refresh_tokens: RefreshTokens,
    client: Option<(String, String)>,
    members: Map<String, Value>,
    answers: VecDeque<Answer>,
    address: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefreshTokens {
    Never,
    Kept,
    Rotated,
}

impl Default for AuthorizationServer {
    fn default() -> Self {
        Self::new()
    }
}

impl AuthorizationServer {
    /// Tokens of five minutes, no refresh tokens, any client.
    pub fn new() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            refresh_tokens: RefreshTokens::Never,
            client: None,
            members: Map::new(),
            answers: VecDeque::new(),
            address: ANY_PORT,
        }
    }

    /// Tokens live this long; `expires_in` says the whole seconds of it.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// With refresh tokens that are replaced at each use; a reused one kills its chain.
    #[must_use]
    pub fn rotating(mut self) -> Self {
        self.refresh_tokens = RefreshTokens::Rotated;
        self
    }

    /// With refresh tokens that stay good; a refresh response brings none.
    #[must_use]
    pub fn keeping_refresh_tokens(mut self) -> Self {
        self.refresh_tokens = RefreshTokens::Kept;
        self
    }

    /// Only this client, by Basic or in the body, and never both.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.client = Some((id.to_owned(), secret.to_owned()));
        self
    }

    /// Every token response has this member, in the place of its own; null leaves it out.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// The next token request is answered with `answer`; several queue up, and after them it grants.
    #[must_use]
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answers.push_back(answer);
        self
    }

    /// Listens at `address`, as one that comes back does.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(mut self) -> io::Result<Simulator> {
        let mut tokens = Tokens::default();
        tokens.begin_chain(FIRST_REFRESH_TOKEN, Login::default());
        let (address, next_token_answers) = (self.address, std::mem::take(&mut self.answers));
        Simulator::start(self, address, State { tokens, next_token_answers, ..State::default() }).await
    }

    fn expect_client(&self, call: &Call, parameters: &Parameters) -> Result<(), Refusal> {
        let Some((id, secret)) = &self.client else { return Ok(()) };
        let body = parameters.one("client_id").zip(parameters.one("client_secret"));
        let body = body.map(|(id, secret)| (id.to_owned(), secret.to_owned()));
        let given = match (call.basic(), body) {
            (Some(_), Some(_)) => return Err(Refusal::request("two client authentications at once")),
            (basic, body) => basic.or(body),
        };
        match given.is_some_and(|given| given == (id.clone(), secret.clone())) {
            true => Ok(()),
            false => Err(Refusal::client("no such client, or another secret")),
        }
    }

    fn refreshed(&self, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Option<String>, Refusal> {
        let used = parameters.needed("refresh_token")?;
        if self.refresh_tokens == RefreshTokens::Rotated {
            let next = fresh("refresh");
            desk.tokens.rotate(used, &next).map_err(|refused| desk.refused(refused))?;
            return Ok(Some(next));
        }
        desk.tokens.reuse(used).map_err(|refused| desk.refused(refused))?;
        Ok(None)
    }
}

impl Provider for AuthorizationServer {
    fn token_endpoint(&self) -> &'static str {
        TOKEN_ENDPOINT
    }

    fn parameters(&self, call: &Call) -> Result<Parameters, Refusal> {
        call.json().or_else(|_| call.form())
    }

    fn grant(&self, call: &Call, parameters: &Parameters, desk: &mut Desk<'_>) -> Result<Grant, Refusal> {
        self.expect_client(call, parameters)?;
        let refresh_token = match parameters.needed("grant_type")? {
            "refresh_token" => self.refreshed(parameters, desk)?,
            _ if self.refresh_tokens == RefreshTokens::Never => None,
            _ => {
                let first = fresh("refresh");
                desk.tokens.begin_chain(&first, Login::default());
                Some(first)
            }
        };
        let token = fresh("token");
        desk.tokens.issue(&token, "", &[], desk.now, self.lifetime);
        let mut response =
            json!({ "access_token": token, "token_type": "Bearer", "expires_in": self.lifetime.as_secs() });
        if let Some(refresh_token) = refresh_token {
            desk.tokens.bind(&token, &refresh_token);
            response["refresh_token"] = json!(refresh_token);
        }
        for (name, value) in &self.members {
            response[name] = value.clone();
        }
        if let Value::Object(members) = &mut response {
            members.retain(|_, value| !value.is_null());
        }
        Ok(Grant::new(token, response))
    }

    fn api(&self, _: &Call, _: &mut Desk<'_>) -> Answer {
        Answer::status(StatusCode::NOT_FOUND)
            .field(header::CONTENT_TYPE, "text/plain")
            .content("only /token is served here")
    }
}
