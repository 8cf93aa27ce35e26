//! `device_code`: a person enters a code on another device (RFC 8628); then refresh tokens. There is no way to start afresh
//! without the person.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Grant, Identity, Start, authorization_code};
pub use crate::oauth::device_authorization::DeviceAuthorization;
use crate::{
    clock::Clock,
    oauth::{
        Failure, Fault, Granted, Keys, Login,
        place::Place,
        refusal,
        response::{self, Asked},
        token_endpoint::{self, TokenEndpoint},
        token_request::TokenRequest,
    },
    secret::Secret,
    upstream::once::Answer,
};

const ENDPOINT: &str = "device_authorization_endpoint";
/// The grant's name at a token endpoint (RFC 8628 section 3.4).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const INVALID_GRANT: &str = "the device code is not accepted: it was used before or withdrawn; begin again";

/// The recipe.
#[derive(Debug)]
pub struct DeviceCode {
    token_endpoint: TokenEndpoint,
    endpoint: Place,
    /// The query of the device authorization endpoint's URL as it is configured: it is sent.
    query: Option<String>,
    clock: Clock,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    let endpoint = Place::from_keys(keys, ENDPOINT);
    let query = keys.text(ENDPOINT).and_then(|url| url.split_once('?').map(|(_, query)| query.to_owned()));
    // A public client has to say who it is, too (section 3.1).
    let client_id = authorization_code::client_id(keys, token_endpoint.as_ref());
    if !token_endpoint::leaves_out(keys, &["device_code"]) {
        return None;
    }
    client_id?;
    let (token_endpoint, endpoint) = (token_endpoint?, endpoint?);
    Some(Arc::new(DeviceCode { token_endpoint, endpoint, query, clock: Clock::system() }))
}

impl DeviceCode {
    /// Asks for a user code (RFC 8628 section 3.1).
    ///
    /// # Errors
    /// The server gave none.
    pub async fn begin(&self) -> Result<DeviceAuthorization, Failure> {
        let mut request = TokenRequest::empty();
        if let Some(scope) = self.token_endpoint.scope() {
            request.text(self.token_endpoint.scope_parameter().to_owned(), scope);
        }
        let sent_at = self.clock.now();
        let (answer, sent) = self.token_endpoint.post_to(&self.endpoint, request).await?;
        let now = self.token_endpoint.now();
        let asked = Asked { place: self.endpoint.name(), sent: &sent, now, bare: false };
        DeviceAuthorization::read(&answer, asked, sent_at)
    }

    /// Asks once whether the person is done (RFC 8628 section 3.4). The caller waits [`DeviceAuthorization::interval`]
    /// before each call, which `slow_down` and connection timeouts make longer (section 3.5).
    pub async fn poll(&self, authorization: &mut DeviceAuthorization) -> Polled {
        let mut request = TokenRequest::new(GRANT_TYPE).without_scope();
        request.secret("device_code", authorization.device_code.clone());
        let polled =
            match self.token_endpoint.ask(request, Outcome::of).await.unwrap_or_else(Outcome::unanswered) {
                Outcome::Polled(polled) => polled,
                Outcome::SlowDown => {
                    authorization.slow_down();
                    Polled::Pending
                }
                Outcome::Passing(failure) => {
                    authorization.back_off(failure.retry_after);
                    tracing::warn!(%failure, "no answer about the login yet; asking again");
                    Polled::Pending
                }
            };
        let too_late = self.clock.now().reached(authorization.expires);
        if matches!(polled, Polled::Pending) && too_late { Polled::Expired } else { polled }
    }
}

/// What one question brought.
#[derive(Debug)]
pub enum Polled {
    /// Not yet; ask again after the interval.
    Pending,
    /// Done.
    Granted(Granted),
    /// The person refused (`access_denied`).
    Denied,
    /// Nobody came in time (`expired_token`).
    Expired,
    /// The server refused for good.
    Failed(Failure),
}

/// What one answer means (RFC 8628 section 3.5).
enum Outcome {
    Polled(Polled),
    SlowDown,
    /// The server's trouble, or the way to it.
    Passing(Failure),
}

impl Outcome {
    fn of(answer: &Answer, asked: Asked<'_>) -> Self {
        let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).unwrap_or_default();
        // Whatever the status: some servers say these with 200, 403 or 428.
        let code = members.get("error").and_then(Value::as_str).filter(|_| !answer.status.is_server_error());
        match code {
            Some("authorization_pending") => Self::Polled(Polled::Pending),
            Some("slow_down") => Self::SlowDown,
            Some("access_denied") => Self::Polled(Polled::Denied),
            Some("expired_token") => Self::Polled(Polled::Expired),
            _ => match response::read(answer, asked) {
                Ok(granted) => Self::Polled(Polled::Granted(granted)),
                Err(failure) if answer.status.is_server_error() || failure.fault == Fault::Limited => {
                    Self::Passing(failure)
                }
                Err(failure) => {
                    Self::Polled(Polled::Failed(refusal::meaning(failure, answer, asked, INVALID_GRANT)))
                }
            },
        }
    }

    fn unanswered(failure: Failure) -> Self {
        match failure.fault {
            Fault::TimedOut | Fault::Unreachable => Self::Passing(failure),
            _ => Self::Polled(Polled::Failed(failure)),
        }
    }
}

impl Grant for DeviceCode {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let mut recipe = self.token_endpoint.recipe("device_code");
        recipe.part_if("device authorization query", self.query.as_deref());
        recipe.part_if("subject", subject);
        recipe.identity()
    }

    fn endpoint(&self) -> Option<&str> {
        Some(self.token_endpoint.name())
    }

    fn login(&self) -> Option<Login<'_>> {
        Some(Login::Device(self))
    }

    fn token_endpoint(&self) -> Option<&TokenEndpoint> {
        Some(&self.token_endpoint)
    }

    fn can_start(&self) -> bool {
        false
    }

    fn start<'a>(&'a self, _: Start<'a>) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(async { Err(Failure::new(Fault::InvalidGrant, super::A_PERSON_IS_NEEDED)) })
    }

    fn refresh<'a>(&'a self, refresh_token: &'a Secret) -> BoxFuture<'a, Result<Granted, Failure>> {
        Box::pin(self.token_endpoint.request(TokenRequest::refresh(refresh_token).without_scope()))
    }
}
