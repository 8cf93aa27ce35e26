//! HTTP/1.1 to an upstream: one request and its answer at a time on a connection, all of it in the future that asked.
//!
//! Knows that writing and reading go on side by side (an answer may come during the upload, RFC 9112 section 9.5), and when a
//! connection may carry another request. Does not know pools, tokens, or whether a request may be sent again. No task and no
//! channel per request: whoever waits for the answer, or reads it, drives the connection.

mod connection;
mod exchange;
mod reading;
mod sending;

pub(super) use connection::Connection;
pub(super) use exchange::{Exchange, Left, Unanswered};
pub(super) use sending::Sending;

#[cfg(test)]
mod tests;
