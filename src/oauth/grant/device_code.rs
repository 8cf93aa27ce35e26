//! `device_code`: a person enters a code on another device (RFC 8628); then refresh tokens. There is no way to start afresh
//! without the person.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{Grant, Identity, Start};
use crate::{
    clock::Deadline,
    oauth::{Failure, Granted, Keys, Login, token_endpoint::TokenEndpoint},
};

/// The recipe.
#[derive(Debug)]
pub struct DeviceCode {
    token_endpoint: TokenEndpoint,
}

pub(super) fn from_keys(keys: &mut dyn Keys) -> Option<Arc<dyn Grant>> {
    let token_endpoint = TokenEndpoint::from_keys(keys);
    Some(Arc::new(DeviceCode { token_endpoint: token_endpoint? }))
}

impl DeviceCode {
    /// Asks for a user code (RFC 8628 section 3.1).
    ///
    /// # Errors
    /// The server gave none.
    pub async fn begin(&self) -> Result<DeviceAuthorization, Failure> {
        todo!()
    }

    /// Asks once whether the person is done (RFC 8628 section 3.4). The caller waits [`DeviceAuthorization::interval`]
    /// before each call, which `slow_down` and connection timeouts make longer (section 3.5).
    pub async fn poll(&self, authorization: &mut DeviceAuthorization) -> Polled {
        let _ = authorization;
        todo!()
    }
}

/// What the server answered to the device (RFC 8628 section 3.2).
#[derive(Debug)]
pub struct DeviceAuthorization {
    /// What the person enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: Option<String>,
    /// When the codes stop being good.
    pub expires: Deadline,
    /// How long to wait before the next question.
    pub interval: Duration,
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

impl Grant for DeviceCode {
    fn identity(&self, subject: Option<&str>) -> Identity {
        let _ = subject;
        todo!()
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
        todo!()
    }
}
