//! The chunked transfer coding (RFC 9112 section 7.1), read strictly and written plainly.
//!
//! Knows sizes, extensions (skipped, capped, never passed on), terminators and trailer lines. Does not read or write sockets.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{BodyError, fields, head::HeadError};

/// The longest chunk line with its extensions, in octets.
pub const LONGEST_LINE: usize = 4 << 10;
/// The longest trailer section, in octets.
pub const LONGEST_TRAILERS: usize = 16 << 10;
/// The most trailer fields.
pub const MOST_TRAILERS: usize = 100;
/// What all chunk extensions of one content may have together, in octets: a flood of them costs more than it carries.
pub const MOST_EXTENSIONS: usize = 64 << 10;

/// What one step of reading found.
#[derive(Debug)]
pub enum Step {
    /// Some content; never empty.
    Data(Bytes),
    /// All of it was read; what follows in the buffer belongs to the next message.
    End(Option<HeaderMap>),
    /// More octets are needed.
    More,
}

/// Where reading stands in a chunked content.
#[derive(Debug, Default)]
pub struct Reader {
    at: At,
    extensions: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// In front of a chunk's line.
    #[default]
    Line,
    /// In a chunk, with so many octets left.
    Data(u64),
    /// In front of the CRLF that ends a chunk.
    Terminator,
    /// Behind the last chunk's line.
    Trailers,
    End,
}

impl Reader {
    /// Takes what it can from `buffer`, whole octets of content without copying them. After an error or the end it is not to be asked again.
    ///
    /// # Errors
    /// The framing is not exactly that of RFC 9112 section 7.1: a bare LF, a size that is not hexadecimal or overflows, a chunk that
    /// does not end in CRLF, a trailer line that is none, or a line that is too long.
    pub fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyError> {
        loop {
            match self.at {
                At::Line => match self.line(buffer)? {
                    None => return Ok(Step::More),
                    Some(0) => self.at = At::Trailers,
                    Some(size) => self.at = At::Data(size),
                },
                At::Data(_) if buffer.is_empty() => return Ok(Step::More),
                At::Data(left) => {
                    let some = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - some as u64;
                    self.at = if left == 0 { At::Terminator } else { At::Data(left) };
                    return Ok(Step::Data(buffer.split_to(some).freeze()));
                }
                At::Terminator => match buffer[..] {
                    [] | [b'\r'] => return Ok(Step::More),
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.at = At::Line;
                    }
                    _ => {
                        return Err(BodyError::Malformed("a chunk does not end in CRLF where its size says"));
                    }
                },
                At::Trailers => return self.trailers(buffer),
                At::End => return Ok(Step::End(None)),
            }
        }
    }

    /// The size that the next chunk's line tells.
    fn line(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
        let Some(end) = memchr::memchr(b'\n', &buffer[..buffer.len().min(LONGEST_LINE)]) else {
            return if buffer.len() < LONGEST_LINE {
                Ok(None)
            } else {
                Err(BodyError::Malformed("a chunk's line is too long"))
            };
        };
        let Some(line) = buffer[..end].strip_suffix(b"\r") else {
            return Err(BodyError::Malformed("a chunk's line does not end in CRLF"));
        };
        let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
        let size =
            size(&line[..digits]).ok_or(BodyError::Malformed("a chunk's size is no hexadecimal number"))?;
        if !are_extensions(&line[digits..]) {
            return Err(BodyError::Malformed(
                "a chunk's size is followed by something that is no chunk extension",
            ));
        }
        self.extensions += line.len() - digits;
        if self.extensions > MOST_EXTENSIONS {
            return Err(BodyError::Malformed("the content has too many chunk extensions"));
        }
        buffer.advance(end + 1);
        Ok(Some(size))
    }

    fn trailers(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyError> {
        let malformed = |error| match error {
            HeadError::Malformed(problem) => BodyError::Malformed(problem),
            _ => BodyError::Malformed("the trailer section has too many octets or fields"),
        };
        let Some(end) = fields::end(buffer, LONGEST_TRAILERS, MOST_TRAILERS).map_err(malformed)? else {
            return Ok(Step::More);
        };
        let section = buffer.split_to(end).freeze();
        self.at = At::End;
        if end == 2 {
            return Ok(Step::End(None));
        }
        let trailers =
            fields::read(&section, 0, fields::BeforeColon::Refused, MOST_TRAILERS).map_err(malformed)?;
        Ok(Step::End(Some(trailers.to_map())))
    }
}

fn size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |size, digit| {
        let digit = (*digit as char).to_digit(16)?;
        size.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 section 7.1.1).
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(behind) = without_space(rest).strip_prefix(b";") else { return false };
        let Some(behind) = behind_token(without_space(behind)) else { return false };
        rest = behind;
        if let Some(value) = without_space(rest).strip_prefix(b"=") {
            let value = without_space(value);
            let behind = match value.strip_prefix(b"\"") {
                Some(quoted) => behind_quoted(quoted),
                None => behind_token(value),
            };
            let Some(behind) = behind else { return false };
            rest = behind;
        }
    }
    true
}

fn without_space(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = octets {
        octets = rest;
    }
    octets
}

fn behind_token(octets: &[u8]) -> Option<&[u8]> {
    let end =
        octets.iter().position(|octet| matches!(octet, b' ' | b'\t' | b';' | b'=')).unwrap_or(octets.len());
    fields::is_token(&octets[..end]).then_some(&octets[end..])
}

fn behind_quoted(mut octets: &[u8]) -> Option<&[u8]> {
    loop {
        octets = match octets {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            [b'\t' | b' '..=b'[' | b']'..=b'~' | 0x80.., rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// Writes the line in front of a chunk of `length` octets (not 0) to `out`; the chunk and CRLF follow.
pub fn begin(length: usize, out: &mut Vec<u8>) {
    debug_assert_ne!(length, 0, "that would be the last chunk");
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789ABCDEF"[(length >> (place * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and `trailers` to `out`.
pub fn end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        fields::write(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    type Read = Result<(Vec<u8>, Option<HeaderMap>, Vec<u8>), String>;

    /// Reads octets that come in pieces, at least one at a time.
    fn read_in(text: &[u8], piece: usize) -> Read {
        let (mut reader, mut buffer, mut content) = (Reader::default(), BytesMut::new(), Vec::new());
        let mut pieces = text.chunks(piece);
        loop {
            match reader.step(&mut buffer).map_err(|error| error.to_string())? {
                Step::Data(data) => {
                    assert!(!data.is_empty());
                    content.extend_from_slice(&data);
                }
                Step::End(trailers) => {
                    pieces.for_each(|piece| buffer.extend_from_slice(piece));
                    return Ok((content, trailers, buffer.to_vec()));
                }
                Step::More => buffer.extend_from_slice(pieces.next().ok_or("cut")?),
            }
        }
    }

    fn read(text: &[u8]) -> Read {
        let whole = read_in(text, text.len().max(1));
        for piece in 1..text.len().min(4) {
            assert_eq!(read_in(text, piece), whole, "{} by {piece}", text.escape_ascii());
        }
        whole
    }

    #[test]
    fn r038_r039_sizes_are_read_and_extensions_skipped() {
        for (text, content) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
            (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
            (b"A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n", b"0123456789!"),
            (b"a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n"),
            (b"1;a\r\nx\r\n0;b=c;d=\"e;\\\"\"\r\n\r\n", b"x"),
            (b"1 ; a = b\t;\tc\r\nx\r\n0\r\n\r\n", b"x"),
        ] {
            let (read, trailers, rest) = read(text).unwrap();
            assert_eq!((&*read, trailers, &*rest), (content, None, &b""[..]), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn r038_r039_r040_r041_what_is_not_exactly_chunked_is_refused() {
        for text in [
            &b"\r\n\r\n"[..],
            b"g\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"-1\r\n",
            b"+1\r\nx\r\n0\r\n\r\n",
            b" 1\r\nx\r\n0\r\n\r\n",
            b"1 \r\nx\r\n0\r\n\r\n",
            b"1\t\r\nx\r\n0\r\n\r\n",
            b"1_0\r\n",
            b"1\nx\r\n0\r\n\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"1\r\nx0\r\n\r\n",
            b"1\r\nxy\r\n0\r\n\r\n",
            b"2\r\nx\r\n0\r\n\r\n",
            b"1\r\nx\r\r\n0\r\n\r\n",
            b"1\r\nx\r\n\r\n0\r\n\r\n",
            b"1\rx\r\n",
            b"10000000000000000\r\n",
            b"ffffffffffffffffff\r\n",
            b"1;\r\nx\r\n0\r\n\r\n",
            b"1;=b\r\nx\r\n0\r\n\r\n",
            b"1;a=\r\nx\r\n0\r\n\r\n",
            b"1;a=\"b\r\nx\r\n0\r\n\r\n",
            b"1;a\rb\r\nx\r\n0\r\n\r\n",
            b"1;a\0\r\nx\r\n0\r\n\r\n",
            b"1;a=b c\r\nx\r\n0\r\n\r\n",
            b"1;a\"b\r\nx\r\n0\r\n\r\n",
            b"1 a\r\nx\r\n0\r\n\r\n",
            b"1,1\r\nx\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\n\r\n",
            b"0\r\nx\r\n\r\n",
        ] {
            let outcome = read(text);
            assert!(
                outcome.as_ref().is_err_and(|error| error != "cut"),
                "{}: {outcome:?}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn r038_the_greatest_size_is_a_size() {
        let mut reader = Reader::default();
        let mut buffer = BytesMut::from(&b"ffffffffffffffff\r\nx"[..]);
        assert!(matches!(reader.step(&mut buffer), Ok(Step::Data(data)) if data == "x"));
    }

    #[test]
    fn r039_extensions_are_capped_one_by_one_and_together() {
        let longest = format!("1;{}\r\n", "a".repeat(LONGEST_LINE - 4));
        assert_eq!(longest.len(), LONGEST_LINE);
        assert!(read_in(format!("{longest}x\r\n0\r\n\r\n").as_bytes(), 999).is_ok());
        assert!(
            read_in(format!("1;{}", "a".repeat(LONGEST_LINE - 2)).as_bytes(), 999)
                .is_err_and(|error| error != "cut")
        );
        let many = format!("{longest}x\r\n").repeat(MOST_EXTENSIONS / LONGEST_LINE + 1);
        assert!(read_in(format!("{many}0\r\n\r\n").as_bytes(), 999).is_err_and(|error| error != "cut"));
    }

    #[test]
    fn r042_trailers_are_field_lines() {
        let (_, trailers, rest) = read(b"0\r\nGrpc-Status: 0\r\nA: b\r\n\r\nGET").unwrap();
        let trailers = trailers.unwrap();
        assert_eq!(
            (&trailers["grpc-status"], trailers.len(), &*rest),
            (&HeaderValue::from_static("0"), 2, &b"GET"[..])
        );
        for section in [
            " a: b\r\n",
            "a : b\r\n",
            "a: b\r\n c\r\n",
            "a\r\n",
            ": b\r\n",
            "a: b\n",
            "a: b\rc\r\n",
            "a: b\0\r\n",
        ] {
            let outcome = read(format!("0\r\n{section}\r\n").as_bytes());
            assert!(outcome.as_ref().is_err_and(|error| error != "cut"), "{section}: {outcome:?}");
        }
        let many = "a: b\r\n".repeat(MOST_TRAILERS + 1);
        let long = format!("a: {}\r\n", "b".repeat(LONGEST_TRAILERS));
        for section in [many, long] {
            assert!(
                read_in(format!("0\r\n{section}\r\n").as_bytes(), 999).is_err_and(|error| error != "cut")
            );
        }
    }

    #[test]
    fn a_cut_content_never_ends() {
        let whole = b"3\r\nabc\r\n0\r\na: b\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err("cut".to_owned()), "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..5),
            trailers in proptest::collection::vec(("[a-z-]{1,9}", "([!-~]{1,9})?"), 0..4),
            piece in 1usize..40,
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                begin(chunk.len(), &mut text);
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            let mut map = HeaderMap::new();
            for (name, value) in &trailers {
                map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            end((!map.is_empty()).then_some(&map), &mut text);
            text.extend_from_slice(b"next");
            let (content, read, rest) = read_in(&text, piece).unwrap();
            prop_assert_eq!(content, chunks.concat());
            prop_assert_eq!(read.unwrap_or_default(), map);
            prop_assert_eq!(rest, b"next");
        }

        #[test]
        fn how_octets_are_cut_makes_no_difference(text in "[0-3a]{1,2}(;[a-z=\"]{0,4})?[\r\n]{1,3}[a-c\r\n]{0,9}0\r\n([a:\r\n ]{0,6})\r\n", piece in 1usize..9) {
            prop_assert_eq!(read_in(text.as_bytes(), piece), read_in(text.as_bytes(), 100));
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, piece in 1usize..9) {
            let _ = read_in(&octets, piece);
        }
    }
}
