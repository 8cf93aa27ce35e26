//! What an issuer says of itself to somebody who has no configuration yet.
//!
//! Knows whether a mistake in the issuer or only the moment prevents it. Does not know how metadata is fetched (`oauth`) or
//! what is written because of it (`config`).

use std::time::Duration;

use crate::{
    config::{Discovered, draft::Draft},
    oauth::Fault,
};

/// How long an issuer may take to answer while a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an issuer has not been asked with success.
#[derive(Debug)]
pub enum Undiscovered {
    /// It did not answer, or had no time; nothing is known of it.
    Silent(String),
    /// It cannot be asked as it is written; or it answered, and bearward cannot go by it: it is another issuer's metadata, or
    /// none, or of other ways to a token.
    Unusable(String),
}

/// Asks the issuer of a draft for its metadata.
///
/// # Errors
/// As [`Undiscovered`] says.
pub async fn discover(draft: &Draft) -> Result<Discovered, Undiscovered> {
    let issuer = draft.issuer().map_err(Undiscovered::Unusable)?;
    let asked = match issuer.metadata(PATIENCE).await {
        Ok(metadata) => Discovered::of(&metadata),
        Err(failure) if failure.fault == Fault::Unusable => Err(failure.detail),
        Err(failure) => return Err(Undiscovered::Silent(failure.detail)),
    };
    asked.map_err(Undiscovered::Unusable)
}
