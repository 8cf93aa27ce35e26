//! The chunked transfer coding (RFC 9112 section 7.1), read strictly and written plainly.
//!
//! Knows sizes, extensions (skipped, capped, never passed on), terminators and trailer lines. Does not read or write sockets.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::BodyError;

/// The longest chunk line with its extensions, in octets.
pub const LONGEST_LINE: usize = 4 << 10;
/// The longest trailer section, in octets.
pub const LONGEST_TRAILERS: usize = 16 << 10;

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
pub struct Reader(());

impl Reader {
    /// Takes what it can from `buffer`, whole octets of content without copying them.
    ///
    /// # Errors
    /// The framing is not exactly that of RFC 9112 section 7.1: a bare LF, a size that is not hexadecimal or overflows, a chunk that
    /// does not end in CRLF, a trailer line that is none, or a line that is too long.
    pub fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyError> {
        let _ = (self.0, buffer);
        todo!()
    }
}

/// Writes the line in front of a chunk of `length` octets (not 0) to `out`; the chunk and CRLF follow.
pub fn begin(length: usize, out: &mut Vec<u8>) {
    let _ = (length, out);
    todo!()
}

/// Writes the last chunk and `trailers` to `out`.
pub fn end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    let _ = (trailers, out);
    todo!()
}
