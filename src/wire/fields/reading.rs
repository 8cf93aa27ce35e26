//! A field section as it is read: where it ends, and where each name and value stands in it (RFC 9112 section 5).
//!
//! Knows what a field line is. Does not know what becomes of the fields.

use std::ops::Range;

use bytes::Bytes;

use super::{Fields, IS_TOKEN, Line, Name, Names, is_space, trimmed};
use crate::wire::head::HeadError;

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

/// How many fields a head has as a rule, at most.
const USUAL: usize = 16;

/// The fields of the section that begins at `from` in `head` and ends with its empty line, as [`end`] found it. They share the octets
/// of `head`.
///
/// # Errors
/// A line is no field line: no colon, an empty name or one that is no token, white space in front of it (obs-fold), or an octet in the
/// value that RFC 9110 section 5.5 does not know.
pub fn read(head: &Bytes, from: usize, before_colon: BeforeColon) -> Result<Fields, HeadError> {
    let mut lines: Vec<Line> = Vec::with_capacity(USUAL);
    let mut known = Names::default();
    let mut begin = from;
    for at in memchr::memchr_iter(b'\n', &head[from..]) {
        let end = from + at - 1;
        if end <= begin {
            break;
        }
        let line = line(head, begin..end, before_colon)?;
        if let Some(name) = line.name {
            known.add(name);
        }
        lines.push(line);
        begin = end + 2;
    }
    if !is_text(&head[from..], lines.len() + 1) {
        return Err(HeadError::Malformed("a field's value has a CR or another control character"));
    }
    Ok(Fields { read: head.clone(), added: Vec::new(), lines, known })
}

fn line(head: &[u8], line: Range<usize>, before_colon: BeforeColon) -> Result<Line, HeadError> {
    let octets = &head[line.clone()];
    let length = octets.iter().position(|octet| !IS_TOKEN[usize::from(*octet)]).unwrap_or(octets.len());
    let mut colon = length;
    if before_colon == BeforeColon::Removed {
        colon += octets[length..].iter().take_while(|octet| is_space(**octet)).count();
    }
    if length == 0 || octets.get(colon) != Some(&b':') {
        return Err(no_field_line(octets));
    }
    let value = trimmed(octets, colon + 1);
    Ok(Line {
        begin: place(line.start)?,
        name_end: place(line.start + length)?,
        value: place(line.start + value.start)?,
        value_end: place(line.start + value.end)?,
        name: Name::of(&octets[..length]),
        is_added: false,
    })
}

/// Where an octet stands; no head is so long that this could not be told.
pub(super) fn place(at: usize) -> Result<u32, HeadError> {
    u32::try_from(at).map_err(|_| HeadError::TooLarge)
}

fn no_field_line(line: &[u8]) -> HeadError {
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

/// Whether there is no control character but tabs and the CR and LF of so many lines (RFC 9110 section 5.5). Without a branch, so that
/// many octets are looked at together.
fn is_text(octets: &[u8], lines: usize) -> bool {
    let (mut forbidden, mut returns) = (false, 0);
    for block in octets.chunks(128) {
        let mut in_block = 0_u8;
        for octet in block {
            in_block += u8::from(*octet == b'\r');
            forbidden |= (*octet < b' ') & (*octet != b'\t') & (*octet != b'\r') & (*octet != b'\n')
                | (*octet == 0x7f);
        }
        returns += usize::from(in_block);
    }
    !forbidden && returns == lines
}
