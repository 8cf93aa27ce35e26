//! Proof Key for Code Exchange (RFC 7636), method S256: only who began a login can redeem its code.
//!
//! Knows how a verifier is made and what its challenge is. Does not know who asks for a code. `plain` does not exist here.

use std::fmt;

use aws_lc_rs::{digest, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{Failure, Fault};
use crate::secret::Secret;

/// `code_challenge_method` (RFC 7636 section 4.3).
pub const METHOD: &str = "S256";
/// As many octets as section 4.1 recommends; in base64url they are 43 characters, the fewest that it allows.
const OCTETS: usize = 32;

/// The secret of one login (section 4.1).
pub struct Verifier(Secret);

impl Verifier {
    /// A new one.
    ///
    /// # Errors
    /// The machine has no random octets to give.
    pub fn random() -> Result<Self, Failure> {
        unguessable().map(Self)
    }

    /// `code_challenge` (section 4.2): what the authorization endpoint may see of it.
    #[expect(clippy::disallowed_methods, reason = "only its hash stays")]
    pub fn challenge(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.0.expose().as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(hash)
    }

    /// One that [`Verifier::secret`] gave to a store.
    pub(super) fn of(secret: Secret) -> Self {
        Self(secret)
    }

    /// The verifier itself, for a store.
    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// `code_verifier` (section 4.5): what the token endpoint gets in the end.
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// 43 unreserved characters (RFC 3986 section 2.3) that hold 256 bits of chance, of the cryptographic generator.
///
/// # Errors
/// The machine has no random octets to give.
pub(super) fn unguessable() -> Result<Secret, Failure> {
    let mut octets = Zeroizing::new([0; OCTETS]);
    rand::fill(&mut *octets)
        .map_err(|_| Failure::new(Fault::Secret, "this machine has no random octets to give"))?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*octets)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn r134_the_challenge_is_the_one_of_the_rfcs_example() {
        // RFC 7636 appendix B.
        let verifier = Verifier(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn r134_a_verifier_is_43_unreserved_characters_and_never_the_same() {
        let verifiers: HashSet<_> =
            (0..100).map(|_| Verifier::random().unwrap().into_secret().expose().to_owned()).collect();
        assert_eq!(verifiers.len(), 100);
        for verifier in verifiers {
            assert_eq!(verifier.len(), 43);
            let unreserved = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
            assert!(verifier.bytes().all(unreserved), "{verifier}");
        }
    }

    #[test]
    fn r146_a_verifier_is_not_shown() {
        let verifier = Verifier(Secret::new("canary"));
        assert_eq!(format!("{verifier:?}"), "Verifier(..)");
    }
}
