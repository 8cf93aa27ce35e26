//! End to end: real sockets, in-process fakes for the remote parties only.

#![allow(clippy::disallowed_methods, reason = "tests look at clocks and secrets")]

mod first_request;
mod support;
