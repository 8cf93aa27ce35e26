//! A field line's grammar, as far as the `http` crate and h2 let more pass (RFC 9110 section 5.5; RFC 9113 section 8.2.1).
//!
//! Knows that a name is a token, which `HeaderName` does not hold to the letter, and that a value has no white space at its edges.

use http::{HeaderName, HeaderValue};

/// Whether both are what they should be.
pub fn is_sound(name: &HeaderName, value: &HeaderValue) -> bool {
    // The one octet that `HeaderName` takes and that is in no token (RFC 9110 section 5.6.2).
    !name.as_str().contains('"') && !has_white_edges(value)
}

fn has_white_edges(value: &HeaderValue) -> bool {
    let is_white = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    is_white(value.as_bytes().first()) || is_white(value.as_bytes().last())
}
