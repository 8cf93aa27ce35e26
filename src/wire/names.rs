//! Field names that the proxy itself looks for, and some that nearly every head has, each known by a number.
//!
//! Knows spellings. What a name means is for others to know. A head is asked for these names all the time, and most of them are not
//! there: as numbers they are one bit each. A name that is known need not be looked through for octets that are none of a token's.

use http::HeaderName;

use super::scan::has_controls;

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

const LONGEST: usize = 21;

/// The first of the names of each length; those of the next length begin where these end.
const BY_LENGTH: [u8; LONGEST + 2] = {
    let mut first = [TEXTS.len() as u8; LONGEST + 2];
    let mut at = TEXTS.len();
    while at > 0 {
        at -= 1;
        let length = TEXTS[at].len();
        assert!(at == 0 || TEXTS[at - 1].len() <= length, "they stand in the order of their length");
        let mut shorter = 0;
        while shorter <= length {
            first[shorter] = at as u8;
            shorter += 1;
        }
    }
    first
};

impl Name {
    /// The known name that is spelled so, if it is one.
    pub fn of(spelled: &[u8]) -> Option<Self> {
        if !(1..=LONGEST).contains(&spelled.len()) {
            return None;
        }
        // Every field of every head is asked: few names are of a length and begin alike.
        let (mut number, end) = (BY_LENGTH[spelled.len()], BY_LENGTH[spelled.len() + 1]);
        let first = spelled[0] | 0x20;
        while number < end {
            let text = TEXTS[usize::from(number)].as_bytes();
            if text[0] == first && is_same(text, spelled) {
                return Some(Self(number));
            }
            number += 1;
        }
        None
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

/// Whether `spelled`, which is as long as `text`, says the same but for the case of letters. By a few numbers, which may overlap, in
/// place of each octet.
fn is_same(text: &[u8], spelled: &[u8]) -> bool {
    let words = |octets: &'_ [u8]| {
        let between = octets.get(8..16).and_then(<[u8]>::first_chunk).copied();
        Some([*octets.first_chunk()?, between.unwrap_or(*octets.first_chunk()?), *octets.last_chunk()?])
    };
    match (words(text), words(spelled)) {
        (Some(texts), Some(words)) => {
            texts.iter().zip(&words).all(|(text, spelled)| is_same_word(*text, *spelled))
        }
        _ => text.eq_ignore_ascii_case(spelled),
    }
}

fn is_same_word(text: [u8; 8], spelled: [u8; 8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let (text, spelled) = (u64::from_le_bytes(text), u64::from_le_bytes(spelled));
    // What differs in nothing but this bit is a letter in both, or a control character in one of them: CR is like a hyphen.
    text == spelled | CASE && !has_controls(spelled)
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
