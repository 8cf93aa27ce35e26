//! A login on another device (RFC 8628): waiting until its person is done.
//!
//! Knows when to ask and when to give up. Does not know what is asked (`oauth::grant::device_code`).

use std::time::Duration;

use super::{Account, LoggedIn, LoginError};
use crate::{
    clock::{Deadline, Moment},
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
            let Some(next) = next(account.clock.now(), authorization.interval, authorization.expires) else {
                account.clock.sleep_until(authorization.expires).await;
                return Err(LoginError::TooLate);
            };
            account.clock.sleep_until(next).await;
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

/// When to ask next; `None` where the code expires before: asking any earlier is asking too often (RFC 8628 section 3.5).
fn next(now: Moment, interval: Duration, expires: Deadline) -> Option<Deadline> {
    (interval < now.until(expires)).then(|| now.after(interval))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn r137_nobody_is_asked_before_the_interval_is_over_also_where_the_code_expires_then() {
        let now = Clock::system().now();
        let (interval, expires) = (Duration::from_secs(5), now.after(Duration::from_secs(12)));
        let first = next(now, interval, expires);
        assert_eq!(first, Some(now.after(interval)));
        assert_eq!(next(now, Duration::from_secs(12), expires), None);
        assert_eq!(next(now, Duration::from_secs(60), expires), None, "grown by slow_down");
    }
}
