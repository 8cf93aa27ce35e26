//! Who may use a simulated authorization server, and how they show it (RFC 6749 section 2.3).
//!
//! Knows HTTP Basic, credentials in the body, and that nobody may use both. Does not know what a client asks for.

use super::wire::{Call, Parameters, Refusal};

/// The registration that a server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// None: anybody may come.
    Anybody,
    /// One with a secret, by Basic or in the body.
    Confidential { id: String, secret: String },
    /// One that can keep no secret: it says its id in the body.
    Public { id: String },
}

impl Client {
    /// Its id; `None` where anybody may come.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Anybody => None,
            Self::Confidential { id, .. } | Self::Public { id } => Some(id),
        }
    }

    /// Whether it has something to authenticate with.
    pub(super) fn is_public(&self) -> bool {
        matches!(self, Self::Public { .. })
    }

    /// Who sent this request; empty where anybody may come and nobody said.
    ///
    /// # Errors
    /// It is somebody else, or shows it in another way than it has to.
    pub(super) fn authenticated(&self, call: &Call, parameters: &Parameters) -> Result<String, Refusal> {
        let (basic, secret) = (call.basic(), parameters.one("client_secret"));
        let id = parameters.one("client_id");
        match self {
            Self::Anybody => Ok(basic.map(|(id, _)| id).or(id.map(str::to_owned)).unwrap_or_default()),
            Self::Confidential { .. } if basic.is_some() && secret.is_some() => {
                Err(Refusal::request("two client authentications at once"))
            }
            Self::Confidential { id: known, secret: expected } => {
                let body = id.zip(secret).map(|(id, secret)| (id.to_owned(), secret.to_owned()));
                match basic.or(body).is_some_and(|given| given == (known.clone(), expected.clone())) {
                    true => Ok(known.clone()),
                    false => Err(Refusal::client("no such client, or another secret")),
                }
            }
            Self::Public { id: known } => match basic.is_none() && secret.is_none() && id == Some(known) {
                true => Ok(known.clone()),
                false => Err(Refusal::client("no such client, or one that shows a secret it has not")),
            },
        }
    }
}
