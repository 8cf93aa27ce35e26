//! What is stored of one chain of tokens, and how it is written down.
//!
//! Knows the JSON of a record and its checksum, by which a torn or foreign file is told from a whole one. Does not know
//! where it lies.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{clock::Moment, oauth::Granted, secret::Secret};

const VERSION: u32 = 1;

/// A server's clock and ours agree to within this; a record from further ahead was written under another time.
const SKEW: Duration = Duration::from_secs(60);

/// One chain of tokens. `Debug` shows no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The name in the configuration, for people who look into the store.
    pub name: String,
    /// Which chain it is; a record under another chain's name is foreign.
    pub chain: String,
    /// What was sent to get the access token; it is used only where this is the same.
    pub recipe: String,
    /// The counter that names the access token. Grows over all processes on this store.
    pub generation: u64,
    /// The access token, where one was granted.
    #[serde(with = "optional_secret", default)]
    pub access_token: Option<Secret>,
    /// Its lifetime in milliseconds.
    pub lifetime_ms: u64,
    /// When it was asked for, in milliseconds since 1970.
    pub obtained_at_ms: u64,
    /// The scope that was granted with it, where the server said it. Absent it is not written, as in the files of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The refresh token to spend next.
    #[serde(with = "optional_secret", default)]
    pub refresh_token: Option<Secret>,
    /// The fingerprint of the configured first refresh token that the chain began with. Another one in the same file is
    /// another person's doing: it begins anew.
    #[serde(default)]
    pub first: Option<String>,
    /// The server refused the chain's refresh token: it, and the configured first one, are never sent again.
    pub dead: bool,
    /// The refresh token is being spent. Found at a start, it means that a crash came between, and that the refresh
    /// token may be dead.
    pub spending: bool,
}

#[derive(Serialize, Deserialize)]
struct Envelope<R> {
    version: u32,
    checksum: String,
    record: R,
}

impl Record {
    /// A record of which nothing is known yet.
    pub fn blank(name: &str, chain: &str, recipe: &str) -> Self {
        Self {
            name: name.to_owned(),
            chain: chain.to_owned(),
            recipe: recipe.to_owned(),
            generation: 0,
            access_token: None,
            lifetime_ms: 0,
            obtained_at_ms: 0,
            scope: None,
            refresh_token: None,
            first: None,
            dead: false,
            spending: false,
        }
    }

    /// The record after this one when `granted`, asked for at `asked` with `recipe`, is good for `lifetime`. Its refresh
    /// token is the one that came: whether an absent one leaves the old one valid is the caller's to know.
    pub(in crate::token) fn followed_by(
        &self,
        recipe: &str,
        granted: &Granted,
        asked: Moment,
        lifetime: Duration,
    ) -> Self {
        Self {
            recipe: recipe.to_owned(),
            generation: self.generation + 1,
            access_token: Some(granted.access_token.clone()),
            lifetime_ms: u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX),
            obtained_at_ms: unix_ms(asked.wall()),
            scope: granted.scope.clone(),
            refresh_token: granted.refresh_token.clone(),
            dead: false,
            spending: false,
            ..self.clone()
        }
    }

    /// The record after this one when a person logged out: it names no token, so that every process on the store drops the
    /// one it holds, and a configured first refresh token is not sent again.
    pub(in crate::token) fn logged_out(&self) -> Self {
        Self {
            generation: self.generation + 1,
            access_token: None,
            scope: None,
            refresh_token: None,
            dead: true,
            spending: false,
            ..self.clone()
        }
    }

    /// Whether it is what [`Record::logged_out`] left. A chain that was lost or refused before its first token has no
    /// generation.
    pub(in crate::token) fn is_logged_out(&self) -> bool {
        self.generation > 0 && self.dead && self.access_token.is_none() && self.refresh_token.is_none()
    }

    /// What is left of the access token's lifetime at `now`; never more than the lifetime, and nothing where the
    /// record comes from the future.
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        let now = unix_ms(now);
        if now.saturating_add(u64::try_from(SKEW.as_millis()).ok()?) < self.obtained_at_ms {
            return None;
        }
        let age = now.saturating_sub(self.obtained_at_ms);
        self.lifetime_ms.checked_sub(age).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// Whether nobody will miss it a day after its access token expired.
    pub(super) fn is_spent(&self, now_ms: u64) -> bool {
        const DAY_MS: u64 = 86_400_000;
        let expired = self.obtained_at_ms.saturating_add(self.lifetime_ms);
        self.refresh_token.is_none() && !self.dead && expired.saturating_add(DAY_MS) < now_ms
    }

    /// As it stands in a file.
    pub(crate) fn to_json(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        let envelope = Envelope { version: VERSION, checksum: self.checksum()?, record: self };
        Ok(Zeroizing::new(serde_json::to_vec(&envelope)?))
    }

    /// Reads what [`Record::to_json`] wrote for `chain`; anything else is nothing.
    pub(crate) fn from_json(bytes: &[u8], chain: &str) -> Option<Self> {
        let envelope: Envelope<Self> = serde_json::from_slice(bytes).ok()?;
        let Envelope { version, checksum, record } = envelope;
        let sound = version == VERSION && record.chain == chain && record.checksum().ok()? == checksum;
        sound.then_some(record)
    }

    fn checksum(&self) -> serde_json::Result<String> {
        let text = Zeroizing::new(serde_json::to_vec(self)?);
        let sum = digest::digest(&digest::SHA256, &text);
        Ok(sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Milliseconds since 1970; 0 before.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

mod optional_secret {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    #[expect(
        clippy::disallowed_methods,
        reason = "the store keeps tokens across restarts, in files of mode 0600"
    )]
    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            generation: 7,
            access_token: Some(Secret::new("a.b-c")),
            lifetime_ms: 2000,
            obtained_at_ms: 1_700_000_000_000,
            refresh_token: Some(Secret::new("r\"\\ü")),
            ..Record::blank("shop", "shop.example-00", "recipe")
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let json = record().to_json().unwrap();
        assert_eq!(Record::from_json(&json, "shop.example-00"), Some(record()));
        assert_eq!(
            Record::from_json(&json, "another-00"),
            None,
            "a file under another chain's name is foreign"
        );
    }

    #[test]
    fn r145_a_stored_token_never_gains_life_by_a_stepped_clock() {
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let record = record();
        let obtained = record.obtained_at_ms;
        assert_eq!(record.remaining(at(obtained + 500)), Some(Duration::from_millis(1500)));
        assert_eq!(record.remaining(at(obtained + 2000)), None);
        assert_eq!(record.remaining(at(obtained - 30_000)), Some(Duration::from_secs(2)));
        assert_eq!(record.remaining(at(obtained - 61_000)), None, "written under another time");
        assert_eq!(record.remaining(at(0)), None);
    }

    #[test]
    fn r146_debug_shows_no_token() {
        let shown = format!("{:?}", record());
        assert!(!shown.contains("a.b-c") && !shown.contains("ü"), "{shown}");
    }

    proptest! {
        #[test]
        fn r144_a_torn_or_altered_file_is_never_taken_for_a_whole_one(cut in 0..500_usize, flip in 0..500_usize, bit in 0..8_u8) {
            let whole = record().to_json().unwrap();
            let torn = &whole[..cut.min(whole.len() - 1)];
            prop_assert_eq!(Record::from_json(torn, "shop.example-00"), None);
            let mut altered = whole.to_vec();
            let at = flip % altered.len();
            altered[at] ^= 1 << bit;
            let read = Record::from_json(&altered, "shop.example-00");
            prop_assert!(read.is_none() || read == Some(record()));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Record::from_json(&bytes, "c"), None);
        }
    }
}
