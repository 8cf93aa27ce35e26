//! A field section as it is read: where it ends, and where each name and value stands in it (RFC 9112 section 5).
//!
//! Knows what a field line is. Does not know what becomes of the fields.

use bytes::Bytes;

use super::{Fields, Index, Line, Name, is_space, is_token};
use crate::wire::{head::HeadError, scan};

/// The octets up to and including the empty line that ends a section which begins with `octets`; `None` if it is not there yet. There
/// may be `size` octets, the empty line's among them, and `lines` lines in front of that.
///
/// # Errors
/// A line does not end in CRLF, or there are too many of them or of their octets.
pub fn end(octets: &[u8], size: usize, lines: usize) -> Result<Option<usize>, HeadError> {
    let mut begin = 0;
    for (number, at) in memchr::memchr_iter(b'\n', octets).enumerate() {
        if at == begin || octets[at - 1] != b'\r' {
            return Err(HeadError::Malformed(NO_CRLF));
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

const NO_CRLF: &str = "a line does not end in CRLF";

/// The length of a head's first line, which ends as all do; `None` if it is not there yet.
///
/// # Errors
/// It ends in a bare LF.
pub(in crate::wire) fn first_line(octets: &[u8]) -> Result<Option<usize>, HeadError> {
    let Some(end) = memchr::memchr(b'\n', octets) else { return Ok(None) };
    match end.checked_sub(1) {
        Some(end) if octets[end] == b'\r' => Ok(Some(end)),
        _ => Err(HeadError::Malformed(NO_CRLF)),
    }
}

/// What to do with white space between a name and its colon (RFC 9112 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeColon {
    /// Of a request and of trailers: it is malformed.
    Refused,
    /// Of an answer: it is removed.
    Removed,
}

/// How many fields a head has as a rule, at most.
const USUAL: usize = 16;

/// A section that was read, apart from the octets that it was read from.
pub(in crate::wire) struct Section {
    lines: Vec<Line>,
    index: Index,
    /// Where it ends in those, its empty line included.
    pub(in crate::wire) end: usize,
}

impl Section {
    /// Its fields, which share the octets of `head`: those from which it was read.
    pub(in crate::wire) fn of(self, head: Bytes) -> Fields {
        Fields { read: head, added: Vec::new(), lines: self.lines, index: self.index }
    }
}

/// The section that begins at `from` in `octets` and ends with its empty line, of `most` fields at most; `None` if it is not all there,
/// as far as can be told while there is nothing wrong with it ([`end`] looks closer).
///
/// # Errors
/// A line does not end in CRLF or is no field line: no colon, an empty name or one that is no token, white space in front of it
/// (obs-fold), or an octet in the value that RFC 9110 section 5.5 does not know. Or there are too many.
pub(in crate::wire) fn section(
    octets: &[u8],
    from: usize,
    before_colon: BeforeColon,
    most: usize,
) -> Result<Option<Section>, HeadError> {
    let mut lines: Vec<Line> = Vec::with_capacity(USUAL);
    let mut index = Index::default();
    let mut begin = from;
    loop {
        match octets.get(begin..begin + 2) {
            Some(b"\r\n") => return Ok(Some(Section { lines, index, end: begin + 2 })),
            Some(_) => {}
            None => return Ok(None),
        }
        let Some(line) = line(octets, begin, before_colon)? else { return Ok(None) };
        if lines.len() >= most {
            return Err(HeadError::TooLarge);
        }
        index.add(line.name, lines.len());
        begin = line.end as usize;
        lines.push(line);
    }
}

/// The fields of a section that is whole: it begins at `from` in `head` and ends with it. They share its octets.
///
/// # Errors
/// As `section` has them.
pub fn read(head: &Bytes, from: usize, before_colon: BeforeColon, most: usize) -> Result<Fields, HeadError> {
    match section(head, from, before_colon, most)? {
        Some(section) if section.end == head.len() => Ok(section.of(head.clone())),
        _ => Err(HeadError::Malformed(NO_CRLF)),
    }
}

/// The line that begins at `begin`; `None` if it is not all there.
#[inline]
fn line(octets: &[u8], begin: usize, before_colon: BeforeColon) -> Result<Option<Line>, HeadError> {
    let Some(colon) = scan::find(octets, begin, b':') else { return unfinished(octets, begin) };
    let mut name_end = colon;
    if before_colon == BeforeColon::Removed {
        while name_end > begin && is_space(octets[name_end - 1]) {
            name_end -= 1;
        }
    }
    let spelled = &octets[begin..name_end];
    let name = Name::of(spelled);
    if name.is_none() && !is_token(spelled) {
        return unfinished(octets, begin);
    }
    let mut value = colon + 1;
    while octets.get(value).is_some_and(|octet| is_space(*octet)) {
        value += 1;
    }
    let end = scan::text_end(octets, value);
    if octets.get(end..end + 2) != Some(b"\r\n") {
        return unended(octets, end);
    }
    let mut value_end = end;
    while value_end > value && is_space(octets[value_end - 1]) {
        value_end -= 1;
    }
    Ok(Some(Line {
        begin: place(begin)?,
        name_end: place(name_end)?,
        value: place(value)?,
        value_end: place(value_end)?,
        end: place(end + 2)?,
        name,
        is_added: false,
        is_plain: value == name_end + 2 && octets.get(name_end + 1) == Some(&b' ') && value_end == end,
    }))
}

/// What no field line is, unless it is not all there.
#[cold]
fn unfinished(octets: &[u8], begin: usize) -> Result<Option<Line>, HeadError> {
    let rest = &octets[begin..];
    memchr::memchr(b'\n', rest).map_or(Ok(None), |end| Err(no_field_line(&rest[..end])))
}

/// A value whose text ends at `end` otherwise than with CRLF. What is wrong with a line is said when its LF is there, and no sooner:
/// in whatever pieces it comes.
#[cold]
fn unended(octets: &[u8], end: usize) -> Result<Option<Line>, HeadError> {
    match memchr::memchr(b'\n', &octets[end..]) {
        None => Ok(None),
        Some(0) => Err(HeadError::Malformed(NO_CRLF)),
        Some(_) => Err(HeadError::Malformed("a field's value has a CR or another control character")),
    }
}

pub(super) fn place(at: usize) -> Result<u32, HeadError> {
    u32::try_from(at).map_err(|_| HeadError::TooLarge)
}

/// Why this is no field line, whose LF is not in it any more.
fn no_field_line(line: &[u8]) -> HeadError {
    let Some(line) = line.strip_suffix(b"\r") else { return HeadError::Malformed(NO_CRLF) };
    let Some(colon) = memchr::memchr(b':', line) else {
        return HeadError::Malformed("a field line has no colon");
    };
    HeadError::Malformed(match &line[..colon] {
        [] => "a field has no name",
        [b' ' | b'\t', ..] => "a line begins with white space (a folded line, or one before the first field)",
        [.., b' ' | b'\t'] => "white space stands between a field's name and its colon",
        _ => "a field's name is no token",
    })
}
