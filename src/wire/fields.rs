//! A field section: the lines of a head behind its first, and of trailers (RFC 9112 section 5).
//!
//! Knows where a section ends, what a field line is, and how names were spelled. Does not know what a field means.
//!
//! A line is found by its LF and has to end in CRLF; CR and LF stand nowhere else. So there is one way to see the lines, whoever
//! looks. Names are checked by [`HeaderName`], values by [`HeaderValue`], which both know RFC 9110's octets.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::HeadError;

/// The octets up to and including the empty line that ends a section which begins with `octets`; `None` if it is not there yet. There
/// may be `size` octets and `lines` lines in front of the empty one.
///
/// # Errors
/// A line does not end in CRLF, or there are too many of them or of their octets.
pub fn end(octets: &[u8], size: usize, lines: usize) -> Result<Option<usize>, HeadError> {
    let mut begin = 0;
    for (number, at) in memchr::memchr_iter(b'\n', octets).enumerate() {
        if at == begin || octets[at - 1] != b'\r' {
            return Err(HeadError::Malformed("a line does not end in CRLF"));
        }
        if at >= size {
            return Err(HeadError::TooLarge);
        }
        if at - 1 == begin {
            return Ok(Some(at + 1));
        }
        if number >= lines {
            return Err(HeadError::TooLarge);
        }
        begin = at + 1;
    }
    if octets.len() >= size { Err(HeadError::TooLarge) } else { Ok(None) }
}

/// What to do with white space between a name and its colon (RFC 9112 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeColon {
    /// Of a request and of trailers: it is malformed.
    Refused,
    /// Of an answer: it is removed.
    Removed,
}

/// The fields of the section that begins at `from` in `head` and ends with its empty line, as [`end`] found it. Values share the
/// octets of `head`.
///
/// # Errors
/// A line is no field line: no colon, an empty name or one that is no token, white space in front of it (obs-fold), or an octet in the
/// value that RFC 9110 section 5.5 does not know.
pub fn read(
    head: &Bytes,
    from: usize,
    before_colon: BeforeColon,
) -> Result<(HeaderMap, Spelling), HeadError> {
    let mut fields = HeaderMap::with_capacity(16);
    let mut names: Vec<Place> = Vec::with_capacity(16);
    let mut spelled = false;
    let mut begin = from;
    for at in memchr::memchr_iter(b'\n', &head[from..]) {
        let line = begin..from + at - 1;
        begin = from + at + 1;
        if line.is_empty() {
            break;
        }
        let octets = &head[line.clone()];
        let Some(colon) = memchr::memchr(b':', octets) else {
            return Err(HeadError::Malformed("a field line has no colon"));
        };
        let mut name = &octets[..colon];
        if before_colon == BeforeColon::Removed {
            name = without_end(name);
        }
        let place = Place { begin: line.start, length: name.len() };
        let name = name_of(name)?;
        spelled |= name.as_str().as_bytes() != place.of(head);
        let value = trimmed(octets, colon + 1);
        let value = head.slice(line.start + value.start..line.start + value.end);
        let value = HeaderValue::from_maybe_shared(value)
            .map_err(|_| HeadError::Malformed("a field's value has a CR or another control character"))?;
        fields.try_append(name, value).map_err(|_| HeadError::TooLarge)?;
        names.push(place);
    }
    let spelling = if spelled {
        Spelling(Some(Arc::new(Written { head: head.clone(), names })))
    } else {
        Spelling(None)
    };
    Ok((fields, spelling))
}

/// Whether these octets are a token (RFC 9110 section 5.6.2), as a field's name is one.
pub fn is_token(octets: &[u8]) -> bool {
    HeaderName::from_bytes(octets).is_ok()
}

/// Whether a field that h2 has read is what it does not make sure of (RFC 9110 section 5.5, RFC 9113 section 8.2.1): its name is a token
/// (HTTP/2's names may have a quote in `http`), and its value has no white space at its edges.
pub fn is_sound(name: &HeaderName, value: &HeaderValue) -> bool {
    !name.as_str().contains('"') && trimmed(value.as_bytes(), 0).len() == value.len()
}

/// The members of a field whose value is a list of tokens (RFC 9110 section 5.6.1), on however many lines; empty ones are left out.
pub fn members(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = fields.get_all(name).into_iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|octet| *octet == b','));
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

fn name_of(name: &[u8]) -> Result<HeaderName, HeadError> {
    HeaderName::from_bytes(name).map_err(|_| {
        HeadError::Malformed(match name {
            [] => "a field has no name",
            [b' ' | b'\t', ..] => {
                "a line begins with white space (a folded line, or one before the first field)"
            }
            [.., b' ' | b'\t'] => "white space stands between a field's name and its colon",
            _ => "a field's name is no token",
        })
    })
}

/// Where `octets` from `from` on are without the white space at both ends.
fn trimmed(octets: &[u8], from: usize) -> std::ops::Range<usize> {
    let begin = octets[from..].iter().position(|octet| !matches!(octet, b' ' | b'\t'));
    match begin {
        None => from..from,
        Some(skipped) => from + skipped..without_end(octets).len(),
    }
}

fn without_end(mut octets: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// How field names were written, for a hop of the same version: some programs look for one spelling alone.
#[derive(Clone, Default)]
pub struct Spelling(Option<Arc<Written>>);

struct Written {
    head: Bytes,
    names: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    begin: usize,
    length: usize,
}

impl Place {
    fn of(self, head: &[u8]) -> &[u8] {
        &head[self.begin..self.begin + self.length]
    }
}

impl Spelling {
    /// Whether some name was not in lower case.
    pub fn is_own(&self) -> bool {
        self.0.is_some()
    }

    /// Spells the names of a message that goes on.
    pub fn spelled(&self) -> Spelled<'_> {
        Spelled { written: self.0.as_deref(), next: 0 }
    }
}

/// Spells one name after the other. What comes in the order in which it was read is found at once.
pub struct Spelled<'a> {
    written: Option<&'a Written>,
    next: usize,
}

impl<'a> Spelled<'a> {
    /// `name` as it was written; in lower case where it was not there.
    pub fn of<'b>(&mut self, name: &'b HeaderName) -> &'b [u8]
    where
        'a: 'b,
    {
        let name = name.as_str().as_bytes();
        let Some(written) = self.written else { return name };
        let (before, behind) = written.names.split_at(self.next);
        for (at, place) in behind.iter().chain(before).enumerate() {
            if place.length == name.len() && place.of(&written.head).eq_ignore_ascii_case(name) {
                self.next = (self.next + at + 1) % written.names.len();
                return place.of(&written.head);
            }
        }
        name
    }
}

/// Writes one field line to `out`.
pub fn write(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spelling").field(&self.is_own()).finish()
    }
}

impl fmt::Debug for Spelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spelled").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn section(text: &'static [u8]) -> Result<(HeaderMap, Spelling), HeadError> {
        assert_eq!(end(text, 1 << 16, 100)?, Some(text.len()));
        read(&Bytes::from_static(text), 0, BeforeColon::Refused)
    }

    #[test]
    fn a_section_ends_with_its_empty_line_and_nowhere_else() {
        let whole = b"A: b\r\nC: d\r\n\r\nrest";
        assert_eq!(end(whole, 100, 10), Ok(Some(14)));
        for short in 0..14 {
            assert_eq!(end(&whole[..short], 100, 10), Ok(None), "{short}");
        }
        assert_eq!(end(b"\r\n", 100, 0), Ok(Some(2)));
    }

    #[test]
    fn r114_a_section_is_measured_to_the_octet_and_the_line() {
        let whole = b"A: b\r\nC: d\r\n\r\n";
        assert_eq!(end(whole, whole.len(), 2), Ok(Some(whole.len())));
        assert_eq!(end(whole, whole.len() - 1, 2), Err(HeadError::TooLarge));
        assert_eq!(end(whole, whole.len(), 1), Err(HeadError::TooLarge));
        assert_eq!(end(&[b'a'; 10], 10, 1), Err(HeadError::TooLarge), "it cannot end any more");
    }

    #[test]
    fn r043_r044_r045_r046_r047_r048_r049_a_line_that_is_no_field_line_is_refused() {
        for text in [
            &b"A: b\n\r\n"[..],
            b"A: b\r\n\n",
            b"\nA: b\r\n\r\n",
            b"A: b\rc\r\n\r\n",
            b"A: b\r\r\n\r\n",
            b"A\r: b\r\n\r\n",
            b"A: b\0c\r\n\r\n",
            b"A: b\x7fc\r\n\r\n",
            b"A : b\r\n\r\n",
            b"A\t: b\r\n\r\n",
            b" A: b\r\n\r\n",
            b"A: b\r\n c\r\n\r\n",
            b"A: b\r\n\tc: d\r\n\r\n",
            b"A: b\r\n \r\n\r\n",
            b": b\r\n\r\n",
            b"A\r\n\r\n",
            b"A b: c\r\n\r\n",
            b"A(: c\r\n\r\n",
            b"A\"b: c\r\n\r\n",
            b"A\xc3\xa9: c\r\n\r\n",
        ] {
            let outcome = section(text);
            assert!(matches!(outcome, Err(HeadError::Malformed(_))), "{}: {outcome:?}", text.escape_ascii());
        }
    }

    #[test]
    fn values_keep_their_octets_without_the_white_space_around_them() {
        let (fields, _) = section(b"A: \t b  c \t\r\nB:\r\nC:   \r\nD:\xe9\r\n\r\n").unwrap();
        assert_eq!(fields["a"], "b  c");
        assert_eq!(fields["b"], "");
        assert_eq!(fields["c"], "");
        assert_eq!(fields["d"].as_bytes(), b"\xe9");
    }

    #[test]
    fn r086_white_space_before_the_colon_is_removed_from_an_answer() {
        let text = Bytes::from_static(b"A \t: b\r\n\r\n");
        let (fields, spelling) = read(&text, 0, BeforeColon::Removed).unwrap();
        assert_eq!(fields["a"], "b");
        assert_eq!(spelling.spelled().of(&HeaderName::from_static("a")), b"A");
    }

    #[test]
    fn r097_what_is_a_token_and_what_has_white_space_at_its_edges() {
        for (octets, token) in
            [("a", true), ("A-b!#$%&'*+.^_`|~9", true), ("", false), ("a\"b", false), ("a b", false)]
        {
            assert_eq!(is_token(octets.as_bytes()), token, "{octets}");
        }
        let name = HeaderName::from_static("a");
        for (value, sound) in [("", true), ("b c", true), (" b", false), ("b\t", false), (" ", false)] {
            assert_eq!(is_sound(&name, &HeaderValue::from_static(value)), sound, "{value:?}");
        }
        assert!(!is_sound(&HeaderName::from_lowercase(b"a\"").unwrap(), &HeaderValue::from_static("b")));
    }

    #[test]
    fn names_go_on_as_they_were_spelled() {
        let (fields, spelling) =
            section(b"X-One: 1\r\nset-cookie: a\r\nX-TWO: 2\r\nSet-Cookie: b\r\n\r\n").unwrap();
        let mut spelled = spelling.spelled();
        let written: Vec<_> =
            fields.iter().map(|(name, _)| String::from_utf8_lossy(spelled.of(name)).into_owned()).collect();
        assert_eq!(written, ["X-One", "set-cookie", "Set-Cookie", "X-TWO"]);
        assert_eq!(spelled.of(&HeaderName::from_static("via")), b"via");
        assert!(!section(b"x-one: 1\r\n\r\n").unwrap().1.is_own());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            lines in proptest::collection::vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,70}", "([!-~\u{e9}]([ \t!-~]{0,20}[!-~])?)?"), 0..20)
        ) {
            let mut text = Vec::new();
            for (name, value) in &lines {
                write(name.as_bytes(), value.as_bytes(), &mut text);
            }
            text.extend_from_slice(b"\r\n");
            prop_assert_eq!(end(&text, 1 << 20, 20), Ok(Some(text.len())));
            let (fields, spelling) = read(&text.into(), 0, BeforeColon::Refused).unwrap();
            prop_assert_eq!(fields.len(), lines.len());
            let mut spelled = spelling.spelled();
            let mut read: Vec<_> = fields
                .iter()
                .map(|(name, value)| (spelled.of(name).to_vec(), value.as_bytes().to_vec()))
                .collect();
            let mut written: Vec<_> =
                lines.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
            // Fields of one name are kept together; which of its spellings belongs to which value is then not told.
            let folded = |(name, value): &(Vec<u8>, Vec<u8>)| (name.to_ascii_lowercase(), value.clone());
            read.sort_by_key(folded);
            written.sort_by_key(folded);
            prop_assert_eq!(
                read.iter().map(folded).collect::<Vec<_>>(),
                written.iter().map(folded).collect::<Vec<_>>()
            );
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, lf in proptest::collection::vec(0usize..64, 0..8)) {
            let mut octets = octets;
            for at in lf {
                octets.insert(at.min(octets.len()), b'\n');
                octets.insert(at.min(octets.len()), b'\r');
            }
            octets.extend_from_slice(b"\r\n\r\n");
            if let Ok(Some(whole)) = end(&octets, 1 << 16, 100) {
                let _ = read(&Bytes::from(octets).slice(..whole), 0, BeforeColon::Refused);
            }
        }
    }
}
