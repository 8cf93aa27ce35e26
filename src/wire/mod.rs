//! HTTP as it stands on a connection: streams of octets, heads, framing; the same on both sides of the proxy.
//!
//! Knows RFC 9112's grammar and what of a message two readers could see differently. Does not know who sent a message, where it
//! goes, tokens, routes or configuration. HTTP/1.1 is read and written here, by us: a library's parser hides what was on the wire.
//! HTTP/2 is hyper's.

mod answer;
pub mod chunked;
pub mod content;
pub mod executor;
pub mod fields;
pub mod head;
pub mod message;
mod names;
pub mod pipe;
#[cfg(any(test, fuzzing))]
mod plain;
mod scan;
pub mod scratch;
pub mod splice;
pub mod stream;
pub mod target;

pub use content::{BodyError, Content, Incoming, Interim, SendsInterim, Source, Takeover};
pub use executor::LocalExecutor;
pub use message::{Answer, AnswerHead, Request, RequestHead};
pub use pipe::Pipe;
pub use splice::{End, Spliced, splice};
pub use stream::{Ending, Stream};
