//! A field section as it is read: where it ends, and where each name and value stands in it (RFC 9112 section 5).
//!
//! Knows what a field line is. Does not know what becomes of the fields.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::{Fields, Index, Line, Name, is_space, is_token};
use crate::wire::{head::HeadError, scan};

/// The octets up to and including the empty line that ends a section which begins with `octets`; `None` if it is not there yet. There
/// may be `size` octets, the empty line's among them, and `lines` lines in front of that. That lines end as they must is seen for sure
/// where they are read.
///
/// # Errors
/// A line does not end in CRLF, or there are too many of them or of their octets.
pub fn end(octets: &[u8], size: usize, lines: usize) -> Result<Option<usize>, HeadError> {
    // As a rule all of it is there.
    let end = if octets.starts_with(b"\r\n") { Some(2) } else { EMPTY_LINE.find(octets).map(|at| at + 4) };
    if let Some(end) = end {
        return if end > size { Err(HeadError::TooLarge) } else { Ok(Some(end)) };
    }
    let mut begin = 0;
    for (number, at) in memchr::memchr_iter(b'\n', octets).enumerate() {
        if at == begin || octets[at - 1] != b'\r' {
            return Err(HeadError::Malformed(NO_CRLF));
        }
        if at >= size || number >= lines {
            return Err(HeadError::TooLarge);
        }
        begin = at + 1;
    }
    if octets.len() >= size { Err(HeadError::TooLarge) } else { Ok(None) }
}

static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

const NO_CRLF: &str = "a line does not end in CRLF";

/// The length of a head's first line, which ends as all do.
///
/// # Errors
/// It does not.
pub(in crate::wire) fn first_line(head: &[u8]) -> Result<usize, HeadError> {
    let end = memchr::memchr(b'\n', head).and_then(|end| end.checked_sub(1));
    end.filter(|end| head[*end] == b'\r').ok_or(HeadError::Malformed(NO_CRLF))
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

/// The fields of the section that begins at `from` in `head` and ends with its empty line, as [`end`] found it; `most` at most. They
/// share the octets of `head`.
///
/// # Errors
/// A line does not end in CRLF or is no field line: no colon, an empty name or one that is no token, white space in front of it
/// (obs-fold), or an octet in the value that RFC 9110 section 5.5 does not know. Or there are too many.
pub fn read(head: &Bytes, from: usize, before_colon: BeforeColon, most: usize) -> Result<Fields, HeadError> {
    let mut lines: Vec<Line> = Vec::with_capacity(USUAL);
    let mut index = Index::default();
    let mut begin = from;
    while head.get(begin..begin + 2) != Some(b"\r\n") {
        if lines.len() >= most {
            return Err(HeadError::TooLarge);
        }
        let (line, next) = line(head, begin, before_colon)?;
        index.add(line.name, lines.len());
        lines.push(line);
        begin = next;
    }
    if begin + 2 != head.len() {
        // What `end` took for the end is not the first empty line: one before it ends in a bare LF.
        return Err(HeadError::Malformed(NO_CRLF));
    }
    Ok(Fields { read: head.clone(), added: Vec::new(), lines, index })
}

/// The line that begins at `begin`, and where the next one does.
fn line(head: &[u8], begin: usize, before_colon: BeforeColon) -> Result<(Line, usize), HeadError> {
    let Some(colon) = scan::find(head, begin, b':') else { return Err(no_field_line(head, begin)) };
    let mut name_end = colon;
    if before_colon == BeforeColon::Removed {
        while name_end > begin && is_space(head[name_end - 1]) {
            name_end -= 1;
        }
    }
    let spelled = &head[begin..name_end];
    let name = Name::of(spelled);
    if name.is_none() && !is_token(spelled) {
        return Err(no_field_line(head, begin));
    }
    let mut value = colon + 1;
    while head.get(value).is_some_and(|octet| is_space(*octet)) {
        value += 1;
    }
    let end = scan::text_end(head, value);
    match head.get(end..end + 2) {
        Some(b"\r\n") => {}
        Some([b'\n', _]) => return Err(HeadError::Malformed(NO_CRLF)),
        _ => return Err(HeadError::Malformed("a field's value has a CR or another control character")),
    }
    let mut value_end = end;
    while value_end > value && is_space(head[value_end - 1]) {
        value_end -= 1;
    }
    let line = Line {
        begin: place(begin)?,
        name_end: place(name_end)?,
        value: place(value)?,
        value_end: place(value_end)?,
        name,
        is_added: false,
    };
    Ok((line, end + 2))
}

pub(super) fn place(at: usize) -> Result<u32, HeadError> {
    u32::try_from(at).map_err(|_| HeadError::TooLarge)
}

fn no_field_line(head: &[u8], begin: usize) -> HeadError {
    let rest = &head[begin..];
    let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
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
