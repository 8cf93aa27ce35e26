//! An authorization server of no provider: it answers as it is told.
//!
//! Knows every grant a token endpoint may be asked for, in a form or in JSON, and takes anybody unless told whom. Scripts
//! come first; without one it grants. A person's pages, metadata, revocation and introspection are there where they are
//! switched on, and are strict then. Does not serve an API: that is the resource server's.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use serde_json::{Map, Value};

use super::{
    Answer, Simulator, State,
    authorization::{Authorization, Iss},
    clients::Client,
    device::Devices,
    metadata::Metadata,
    revocation::Revocable,
    server::ANY_PORT,
    tokens::{Login, Tokens},
};

mod rules;

/// The token endpoint's path.
pub const TOKEN_ENDPOINT: &str = "/token";
/// Where a person's browser is sent.
pub const AUTHORIZATION_ENDPOINT: &str = "/authorize";
/// Where a device asks for a user code.
pub const DEVICE_AUTHORIZATION_ENDPOINT: &str = "/device_authorization";
/// Where a person enters it.
pub const VERIFICATION_PAGE: &str = "/device";
/// Where tokens are taken back.
pub const REVOCATION_ENDPOINT: &str = "/revoke";
/// Where tokens are asked about.
pub const INTROSPECTION_ENDPOINT: &str = "/introspect";
/// A refresh token that is good from the start.
pub const FIRST_REFRESH_TOKEN: &str = "first-refresh-token";

/// An authorization server, before its start.
#[derive(Debug)]
pub struct AuthorizationServer {
    lifetime: Duration,
    refresh_tokens: RefreshTokens,
    client: Client,
    authorization: Option<Authorization>,
    devices: Option<Devices>,
    metadata: Option<Metadata>,
    revocation: Option<Revocable>,
    introspection: bool,
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
            client: Client::Anybody,
            authorization: None,
            devices: None,
            metadata: None,
            revocation: None,
            introspection: false,
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
        self.client = Client::Confidential { id: id.to_owned(), secret: secret.to_owned() };
        self
    }

    /// Only this client, which has no secret and says its id in the body.
    #[must_use]
    pub fn public_client(mut self, id: &str) -> Self {
        self.client = Client::Public { id: id.to_owned() };
        self
    }

    /// With an authorization endpoint (RFC 6749 section 3.1) whose page shows the code, unless a redirect URI is registered.
    #[must_use]
    pub fn authorizing(mut self) -> Self {
        self.authorization();
        self
    }

    /// With an authorization endpoint at which this redirect URI is registered; several may be. One on loopback is good with
    /// any port (RFC 8252 section 7.3).
    #[must_use]
    pub fn redirect_uri(mut self, uri: &str) -> Self {
        self.authorization().redirect_uris.push(uri.to_owned());
        self
    }

    /// With an authorization endpoint whose codes live this long rather than a minute.
    #[must_use]
    pub fn code_lifetime(mut self, lifetime: Duration) -> Self {
        self.authorization().code_lifetime = lifetime;
        self
    }

    /// With an authorization endpoint that refuses a request without a PKCE challenge.
    #[must_use]
    pub fn requiring_pkce(mut self) -> Self {
        self.authorization().challenge_needed = true;
        self
    }

    /// With an authorization endpoint that names the issuer in each response (RFC 9207), and metadata that says so.
    #[must_use]
    pub fn iss(mut self) -> Self {
        self.authorization().iss = Iss::Own(String::new());
        self
    }

    /// With an authorization endpoint that names this issuer, as if the response were another server's.
    #[must_use]
    pub fn wrong_iss(mut self, iss: &str) -> Self {
        self.authorization().iss = Iss::Other(iss.to_owned());
        self
    }

    /// With device authorization (RFC 8628): every device is held to `interval` (whole seconds are said), and its codes live
    /// for `lifetime`.
    #[must_use]
    pub fn device_authorization(mut self, interval: Duration, lifetime: Duration) -> Self {
        let devices = self.devices();
        (devices.interval, devices.lifetime) = (interval, lifetime);
        self
    }

    /// With device authorization whose responses have this member, in the place of their own; null leaves it out.
    #[must_use]
    pub fn device_member(mut self, name: &str, value: Value) -> Self {
        self.devices().members.insert(name.to_owned(), value);
        self
    }

    /// With a metadata document (RFC 8414) that names what is switched on; its issuer is `http://HOST:PORT` and this path,
    /// which is empty or begins with a slash.
    #[must_use]
    pub fn metadata(mut self, issuer_path: &str) -> Self {
        issuer_path.clone_into(&mut self.described().issuer_path);
        self
    }

    /// With a metadata document that has this member, in the place of its own (the issuer included); null leaves it out.
    #[must_use]
    pub fn metadata_member(mut self, name: &str, value: Value) -> Self {
        self.described().members.insert(name.to_owned(), value);
        self
    }

    /// With a revocation endpoint (RFC 7009). A refresh token takes its access tokens along.
    #[must_use]
    pub fn revocation(mut self) -> Self {
        self.revocation = Some(Revocable::All);
        self
    }

    /// With a revocation endpoint that knows refresh tokens alone, and says `unsupported_token_type` to others.
    #[must_use]
    pub fn revocation_of_refresh_tokens(mut self) -> Self {
        self.revocation = Some(Revocable::RefreshTokens);
        self
    }

    /// With an introspection endpoint (RFC 7662), for a client that authenticates.
    #[must_use]
    pub fn introspection(mut self) -> Self {
        self.introspection = true;
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
        if let Some(authorization) = &mut self.authorization {
            authorization.client_id = self.client.id().map(str::to_owned);
            if let (Iss::Own(path), Some(metadata)) = (&mut authorization.iss, &self.metadata) {
                path.clone_from(&metadata.issuer_path);
            }
        }
        let (address, next_token_answers) = (self.address, std::mem::take(&mut self.answers));
        Simulator::start(self, address, State { tokens, next_token_answers, ..State::default() }).await
    }

    fn authorization(&mut self) -> &mut Authorization {
        self.authorization.get_or_insert_with(|| Authorization::new(AUTHORIZATION_ENDPOINT))
    }

    fn devices(&mut self) -> &mut Devices {
        self.devices.get_or_insert_with(|| Devices::new(VERIFICATION_PAGE))
    }

    fn described(&mut self) -> &mut Metadata {
        self.metadata.get_or_insert_default()
    }
}
