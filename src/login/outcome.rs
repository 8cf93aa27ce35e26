//! How a login or a logout ended, in words for the person who did it.
//!
//! Knows whose fault it was and what helps. Shows no token and no code.

use std::{fmt, time::SystemTime};

use crate::{
    oauth::{Failure, Fault, revocation::Revoked},
    token::StoreError,
};

/// A login that succeeded and is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The granted scope, where the server said it.
    pub scope: Option<String>,
    /// When the access token expires.
    pub expires_at: SystemTime,
    /// Whether a refresh token came, so that nobody has to log in again then.
    pub lasting: bool,
}

/// What a logout could do.
#[derive(Debug)]
pub struct LoggedOut {
    /// What became of the refresh token; `None` where none was stored.
    pub refresh_token: Option<Result<Revoked, Failure>>,
    /// What became of the access token; `None` where none was stored.
    pub access_token: Option<Result<Revoked, Failure>>,
}

/// Why a login did not succeed. What was stored before is untouched.
#[derive(Debug)]
pub enum LoginError {
    /// The recipe needs no person.
    NoPerson,
    /// The redirect URI cannot be listened on.
    Listen(String),
    /// What came back is no code, or the person refused.
    Refused(String),
    /// Nobody came in time.
    TooLate,
    /// The authorization server granted nothing.
    Failed(Failure),
    /// What was granted could not be kept, or the store cannot be read.
    Store(StoreError),
    /// Nothing is stored that could be asked about.
    NothingStored,
}

/// What helps after a [`LoginError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A person logs in, again.
    LogIn,
    /// Time: it is the authorization server's trouble, or the way to it.
    TryLater,
    /// Something on this machine has to be mended: an address in use, a store, a secret's file.
    MendThisMachine,
    /// Another registration or configuration.
    Reconfigure,
    /// Nothing: there is nothing to log in for.
    Nothing,
}

impl LoginError {
    /// What helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NoPerson => Remedy::Nothing,
            Self::Refused(_) | Self::TooLate | Self::NothingStored => Remedy::LogIn,
            Self::Listen(_) | Self::Store(_) => Remedy::MendThisMachine,
            Self::Failed(failure) => match failure.fault {
                Fault::InvalidGrant => Remedy::LogIn,
                Fault::Limited | Fault::Unreachable | Fault::TimedOut | Fault::Unusable => Remedy::TryLater,
                Fault::Secret => Remedy::MendThisMachine,
                Fault::Refused | Fault::ParentRefused | Fault::Unchanged => Remedy::Reconfigure,
            },
        }
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPerson => f.write_str(
                "nobody has to log in for this token: its grant_type is neither authorization_code nor device_code",
            ),
            Self::Listen(words) | Self::Refused(words) => f.write_str(words),
            Self::TooLate => f.write_str("nobody finished the login in time; what was stored before is untouched"),
            Self::Failed(failure) => write!(f, "the authorization server granted nothing: {failure}"),
            Self::Store(error) => {
                write!(f, "the store could not be used: {error}; mend that, then log in again")
            }
            Self::NothingStored => f.write_str("nobody is logged in"),
        }
    }
}

impl std::error::Error for LoginError {}

impl LoggedOut {
    /// Whether there was nothing to forget.
    pub fn was_nothing(&self) -> bool {
        self.refresh_token.is_none() && self.access_token.is_none()
    }
}

/// One line for each token that was there.
impl fmt::Display for LoggedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.was_nothing() {
            return f.write_str("nothing was stored");
        }
        let tokens = [("refresh token", &self.refresh_token), ("access token", &self.access_token)];
        let lines = tokens.into_iter().filter_map(|(name, became)| Some((name, became.as_ref()?)));
        for (at, (name, became)) in lines.enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            match became {
                Ok(Revoked::Yes) => {
                    write!(f, "the {name} is revoked at the authorization server, and forgotten here")?
                }
                Ok(Revoked::Unsupported) => write!(
                    f,
                    "the {name} is forgotten here; the authorization server does not revoke this kind, so there it stays \
                     good until it expires"
                )?,
                Ok(Revoked::NoEndpoint) => write!(
                    f,
                    "the {name} is forgotten here; no revocation_endpoint is known, so at the authorization server it \
                     stays good until it expires"
                )?,
                Err(failure) => {
                    write!(f, "the {name} is forgotten here, but it could not be revoked: {failure}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_remedy() {
        let failed = |fault| LoginError::Failed(Failure::new(fault, "x")).remedy();
        for (fault, remedy) in [
            (Fault::InvalidGrant, Remedy::LogIn),
            (Fault::Refused, Remedy::Reconfigure),
            (Fault::Limited, Remedy::TryLater),
            (Fault::Unreachable, Remedy::TryLater),
            (Fault::TimedOut, Remedy::TryLater),
            (Fault::Unusable, Remedy::TryLater),
            (Fault::Secret, Remedy::MendThisMachine),
        ] {
            assert_eq!(failed(fault), remedy, "{fault:?}");
        }
        assert_eq!(LoginError::TooLate.remedy(), Remedy::LogIn);
        assert_eq!(LoginError::NoPerson.remedy(), Remedy::Nothing);
    }

    #[test]
    fn a_logout_says_for_each_token_what_became_of_it() {
        let out = LoggedOut {
            refresh_token: Some(Ok(Revoked::Yes)),
            access_token: Some(Err(Failure::new(Fault::Unreachable, "nobody is there"))),
        };
        let said = out.to_string();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].starts_with("the refresh token is revoked"), "{said}");
        assert!(lines[1].ends_with("it could not be revoked: nobody is there"), "{said}");
        let nothing = LoggedOut { refresh_token: None, access_token: None };
        assert!(nothing.was_nothing() && nothing.to_string() == "nothing was stored");
    }
}
