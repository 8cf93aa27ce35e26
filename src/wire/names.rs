//! Field names that the proxy itself looks for, and some that nearly every head has, each known by a number.
//!
//! Knows spellings. What a name means is for others to know. A head is asked for these names all the time, and most of them are not
//! there: as numbers they are one bit each. A name that is known need not be looked through for octets that are none of a token's.

use http::HeaderName;

/// A field name that is known here, whatever its spelling (RFC 9110 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u8);

/// Some of the known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u64);

/// Declares the names, in the order of their length.
macro_rules! names {
    ($($name:ident $text:literal)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "they count the names, and are seen nowhere")]
        #[repr(u8)]
        enum Number { $($name),* }

        #[allow(missing_docs, reason = "each is the name that it says")]
        impl Name {
            $(pub const $name: Self = Self(Number::$name as u8);)*
        }

        const TEXTS: &[&str] = &[$($text),*];
    };
}

names! {
    TE "te"
    VIA "via"
    DATE "date"
    ETAG "etag"
    HOST "host"
    VARY "vary"
    ACCEPT "accept"
    COOKIE "cookie"
    EXPECT "expect"
    ORIGIN "origin"
    SERVER "server"
    ALT_SVC "alt-svc"
    REFERER "referer"
    UPGRADE "upgrade"
    CONNECTION "connection"
    KEEP_ALIVE "keep-alive"
    SET_COOKIE "set-cookie"
    USER_AGENT "user-agent"
    CONTENT_TYPE "content-type"
    MAX_FORWARDS "max-forwards"
    ACCEPT_RANGES "accept-ranges"
    AUTHORIZATION "authorization"
    CACHE_CONTROL "cache-control"
    LAST_MODIFIED "last-modified"
    CONTENT_LENGTH "content-length"
    HTTP2_SETTINGS "http2-settings"
    SEC_FETCH_SITE "sec-fetch-site"
    ACCEPT_ENCODING "accept-encoding"
    ACCEPT_LANGUAGE "accept-language"
    CONTENT_ENCODING "content-encoding"
    PROXY_CONNECTION "proxy-connection"
    WWW_AUTHENTICATE "www-authenticate"
    SEC_WEBSOCKET_KEY "sec-websocket-key"
    TRANSFER_ENCODING "transfer-encoding"
    PROXY_AUTHORIZATION "proxy-authorization"
    SEC_WEBSOCKET_ACCEPT "sec-websocket-accept"
    SEC_WEBSOCKET_VERSION "sec-websocket-version"
}

/// What a name is compared by: numbers made of its octets, and which bits of them count. In place of a letter both cases do.
#[derive(Clone, Copy)]
struct Spelling {
    length: usize,
    words: [u64; 3],
    count: [u64; 3],
}

/// Each name's, in the order of their numbers.
const SPELLINGS: [Spelling; Name::COUNT] = {
    let mut spellings = [Spelling { length: 0, words: [0; 3], count: [0; 3] }; Name::COUNT];
    let mut number = 0;
    while number < Name::COUNT {
        let text = TEXTS[number].as_bytes();
        let words = words(text);
        let mut count = [0; 3];
        let mut word = 0;
        while word < 3 {
            let mut octets = words[word].to_le_bytes();
            let mut at = 0;
            while at < 8 {
                octets[at] = if octets[at].is_ascii_lowercase() { !0x20 } else { !0 };
                at += 1;
            }
            count[word] = u64::from_le_bytes(octets);
            word += 1;
        }
        spellings[number] = Spelling { length: text.len(), words, count };
        number += 1;
    }
    spellings
};

/// The number of the one name of this hash; 255 where there is none.
const BY_HASH: [u8; 256] = {
    let mut by_hash = [u8::MAX; 256];
    let mut number = 0;
    while number < Name::COUNT {
        let hash = hash(TEXTS[number].as_bytes());
        assert!(by_hash[hash] == u8::MAX, "two names have one hash: it needs other factors");
        by_hash[hash] = number as u8;
        number += 1;
    }
    by_hash
};

/// Of the length and the first and the last letter, in either case. Not of nothing.
const fn hash(octets: &[u8]) -> usize {
    let (first, last) = (octets[0] | 0x20, octets[octets.len() - 1] | 0x20);
    (first as usize + last as usize * 2 + octets.len() * 21) & 0xff
}

/// All of up to 24 octets, in numbers that overlap.
const fn words(octets: &[u8]) -> [u64; 3] {
    if let (Some(first), Some(last)) = (octets.first_chunk(), octets.last_chunk()) {
        let first = u64::from_le_bytes(*first);
        let between = match octets.split_at(8).1.first_chunk() {
            Some(between) => u64::from_le_bytes(*between),
            None => first,
        };
        return [first, between, u64::from_le_bytes(*last)];
    }
    if let (Some(first), Some(last)) = (octets.first_chunk(), octets.last_chunk()) {
        return [u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32, 0, 0];
    }
    match octets {
        [one, two] => [*one as u64 | (*two as u64) << 8, 0, 0],
        [one, two, three] => [*one as u64 | (*two as u64) << 8 | (*three as u64) << 16, 0, 0],
        _ => [0; 3],
    }
}

impl Name {
    /// The known name that is spelled so, if it is one.
    pub fn of(spelled: &[u8]) -> Option<Self> {
        // Every field of every head is asked.
        if spelled.is_empty() {
            return None;
        }
        let number = BY_HASH[hash(spelled)];
        let Spelling { length, words: known, count } = SPELLINGS.get(usize::from(number))?;
        if *length != spelled.len() {
            return None;
        }
        let words = words(spelled);
        let differs = (words[0] ^ known[0]) & count[0]
            | (words[1] ^ known[1]) & count[1]
            | (words[2] ^ known[2]) & count[2];
        (differs == 0).then_some(Self(number))
    }

    /// How many there are.
    pub(super) const COUNT: usize = TEXTS.len();

    /// From 0 on.
    pub(super) fn number(self) -> usize {
        usize::from(self.0)
    }

    /// In lower case.
    pub fn as_str(self) -> &'static str {
        TEXTS[usize::from(self.0)]
    }
}

impl Names {
    /// These names.
    pub const fn of(names: &[Name]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < names.len() {
            bits |= 1 << names[at].0;
            at += 1;
        }
        Self(bits)
    }

    /// These and the others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These but the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether this is one of them.
    pub const fn has(self, name: Name) -> bool {
        self.0 & (1 << name.0) != 0
    }

    /// Whether any of the others is one of these.
    pub const fn meet(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// With one more.
    pub(super) fn add(&mut self, name: Name) {
        self.0 |= 1 << name.0;
    }
}

/// What a field can be asked for: a known name, or any.
pub trait Named {
    /// The known name, where it is one for sure.
    fn known(&self) -> Option<Name>;
    /// How it is spelled.
    fn spelled(&self) -> &[u8];
}

impl Named for Name {
    fn known(&self) -> Option<Name> {
        Some(*self)
    }

    fn spelled(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl Named for &str {
    fn known(&self) -> Option<Name> {
        Name::of(self.as_bytes())
    }

    fn spelled(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Named for &HeaderName {
    fn known(&self) -> Option<Name> {
        Name::of(self.as_str().as_bytes())
    }

    fn spelled(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_known_however_it_is_spelled_and_nothing_else_is() {
        for (number, text) in TEXTS.iter().enumerate() {
            let name = Name::of(text.to_ascii_uppercase().as_bytes()).unwrap();
            assert_eq!((usize::from(name.0), name.as_str()), (number, *text));
            assert_eq!(HeaderName::from_static(text).as_str(), *text);
            for other in
                [format!("{text}s"), format!("x{text}"), text[1..].to_owned(), text.replace('-', "_")]
            {
                assert!(other == *text || Name::of(other.as_bytes()).is_none(), "{other}");
            }
        }
        assert!(TEXTS.len() <= 64);
        assert_eq!(Name::of(b""), None);
    }

    #[test]
    fn some_names_are_those_and_no_others() {
        let mut some = Names::of(&[Name::TE, Name::HOST]);
        assert!(some.has(Name::TE) && some.has(Name::HOST) && !some.has(Name::VIA));
        some.add(Name::VIA);
        assert!(some.meet(Names::of(&[Name::VIA, Name::DATE])) && !some.meet(Names::of(&[Name::DATE])));
        let others = Names::of(&[Name::DATE, Name::TE]);
        assert_eq!(some.and(others), Names::of(&[Name::TE, Name::HOST, Name::VIA, Name::DATE]));
        assert!(!Names::default().meet(some) && !some.meet(Names::default()));
    }
}
