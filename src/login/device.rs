//! A login on another device (RFC 8628): waiting until its person is done.
//!
//! Knows when to ask and when to give up. Does not know what is asked (`oauth::grant::device_code`).

use super::{Account, LoggedIn, LoginError};
use crate::{
    clock::Deadline,
    oauth::{
        Login,
        grant::device_code::{DeviceAuthorization, Polled},
    },
};

/// A login on another device.
#[derive(Debug)]
pub struct Device {
    account: Account,
    authorization: DeviceAuthorization,
}

impl Device {
    pub(super) fn new(account: Account, authorization: DeviceAuthorization) -> Self {
        Self { account, authorization }
    }

    /// What the person enters.
    pub fn user_code(&self) -> &str {
        &self.authorization.user_code
    }

    /// Where.
    pub fn verification_uri(&self) -> &str {
        &self.authorization.verification_uri
    }

    /// The address with the code in it, for a QR code.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.authorization.verification_uri_complete.as_deref()
    }

    /// When the code stops being good.
    pub fn expires(&self) -> Deadline {
        self.authorization.expires
    }

    /// Asks until the person is done, and keeps what was granted.
    ///
    /// # Errors
    /// The person refused, nobody came in time, or the server refused.
    pub async fn finish(self) -> Result<LoggedIn, LoginError> {
        let Self { account, mut authorization } = self;
        let Some(Login::Device(device)) = account.grant.login() else { return Err(LoginError::NoPerson) };
        loop {
            let next = account.clock.now().after(authorization.interval);
            if account.clock.now().until(authorization.expires).is_zero() {
                return Err(LoginError::TooLate);
            }
            account.clock.sleep_until(next.min(authorization.expires)).await;
            let asked = account.clock.now();
            match device.poll(&mut authorization).await {
                Polled::Pending => {}
                Polled::Granted(granted) => return account.keep(granted, asked).await,
                Polled::Denied => {
                    return Err(LoginError::Refused(
                        "the person refused on the other device (access_denied): log in again, and agree"
                            .to_owned(),
                    ));
                }
                Polled::Expired => return Err(LoginError::TooLate),
                Polled::Failed(failure) => return Err(LoginError::Failed(failure)),
            }
        }
    }
}
