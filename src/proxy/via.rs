//! Via (RFC 9110 section 7.6.3): how this process names itself on what it passes on, and how it knows its own again.
//!
//! The name is a pseudonym of this process alone: two of us may stand in one another's way, and that is no loop.

use http::{HeaderValue, Version};

use crate::wire::fields::{Fields, Name};

/// How many letters and digits tell one process from another.
const LETTERS: usize = 6;

/// This process, as Via names it. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Via {
    name: HeaderValue,
    received_1_0: HeaderValue,
    received_1_1: HeaderValue,
    received_2: HeaderValue,
}

impl Via {
    /// A name that no other process has.
    pub fn new() -> Self {
        let name: String = (0..LETTERS).map(|_| fastrand::char('a'..='z')).collect();
        Self::named(&name)
    }

    fn named(name: &str) -> Self {
        let value = |received: &str| {
            HeaderValue::try_from(format!("{received}bearward-{name}"))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 bearward"))
        };
        Self {
            name: value(""),
            received_1_0: value("1.0 "),
            received_1_1: value("1.1 "),
            received_2: value("2.0 "),
        }
    }

    /// What is added to a message that was received in `version`.
    pub fn of(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_10 => &self.received_1_0,
            Version::HTTP_2 => &self.received_2,
            _ => &self.received_1_1,
        }
    }

    /// What a message is told that was received in `version` with `fields`: all of its way until here, and us.
    pub fn after(&self, fields: &Fields, version: Version) -> HeaderValue {
        let own = self.of(version);
        let mut all = Vec::new();
        for before in fields.get_all(Name::VIA) {
            all.extend_from_slice(before);
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(own.as_bytes());
        HeaderValue::from_bytes(&all).unwrap_or_else(|_| own.clone())
    }

    /// Whether these fields have been here before.
    pub fn is_in(&self, fields: &Fields) -> bool {
        let mut members = fields.get_all(Name::VIA).flat_map(|value| value.split(|octet| *octet == b','));
        members.any(|member| {
            let mut words =
                member.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|received_by| received_by == self.name.as_bytes())
        })
    }
}

impl Default for Via {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};

    use super::*;

    #[test]
    fn r028_it_knows_its_own_name_again_and_no_other() {
        let via = Via::named("abcdef");
        let seen = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(header::VIA, HeaderValue::from_static(value));
            }
            via.is_in(&Fields::from(&fields))
        };
        assert_eq!(via.of(Version::HTTP_10), "1.0 bearward-abcdef");
        assert_eq!(via.of(Version::HTTP_2), "2.0 bearward-abcdef");
        for own in [
            &["1.1 bearward-abcdef"][..],
            &["1.0 first, 1.1\t bearward-abcdef (a comment), 1.1 last"],
            &["1.1 first", "HTTP/2.0 bearward-abcdef"],
        ] {
            assert!(seen(own), "{own:?}");
        }
        for other in [
            &[][..],
            &["1.1 bearward"],
            &["1.1 bearward-abcdeg"],
            &["1.1 x (1.1 bearward-abcdef)"],
            &["bearward-abcdef"],
        ] {
            assert!(!seen(other), "{other:?}");
        }
        assert_ne!(Via::new().of(Version::HTTP_11), Via::new().of(Version::HTTP_11));
    }
}
