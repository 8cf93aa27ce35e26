//! What a fuzzer calls (`fuzz/`), and `cargo test` over the checked-in corpora: one function for each reader of foreign octets.
//!
//! Knows the readers, and what has to be true whatever they read: nobody panics, and what a strict reading of RFC 9112 refuses is
//! refused by ours, but for what [`messages`] names. It is part of tests and fuzzing builds alone.

#![expect(clippy::panic, reason = "a panic is how a fuzzer is told that something is wrong")]

mod contents;
mod messages;
#[cfg(test)]
mod tests;

pub use crate::ingress::{
    forward::fuzzed::opening,
    http2::fuzzed::{frames, header_blocks},
};
pub use contents::{challenge, config_file, rejection, store_file, token_response};
pub use messages::{answer_head, chunked, field_values, request_head, target_and_host};

/// A name, and what it names.
#[cfg(test)]
type Target = (&'static str, fn(&[u8]));

/// All of them; the names of `fuzz/fuzz_targets` and of the folders in `fuzz/corpus`.
#[cfg(test)]
const TARGETS: &[Target] = &[
    ("answer_head", answer_head),
    ("challenge", challenge),
    ("chunked", chunked),
    ("config_file", config_file),
    ("field_values", field_values),
    ("frames", frames),
    ("header_blocks", header_blocks),
    ("opening", opening),
    ("rejection", rejection),
    ("request_head", request_head),
    ("store_file", store_file),
    ("target_and_host", target_and_host),
    ("token_response", token_response),
];
