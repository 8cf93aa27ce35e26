//! A message as it was read.
//!
//! Knows how its content and trailers are collected. Its `Debug` shows names and lengths, never a value.

use std::fmt;

use super::{Broken, grammar, head};

/// How a message begins.
#[derive(Clone, PartialEq, Eq)]
pub enum Start {
    /// A request line.
    Request {
        /// The method.
        method: String,
        /// The target, as sent.
        target: String,
    },
    /// A status line.
    Answer {
        /// The status code.
        status: u16,
    },
}

/// Where content ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// After so many octets.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// A field's name as sent and its value without white space at its edges.
pub type Field = (String, Vec<u8>);

/// A message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// How it begins.
    pub start: Start,
    /// HTTP/1.0.
    pub old: bool,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Where its content ends.
    pub framing: Framing,
    /// Its content, where content is kept.
    pub content: Vec<u8>,
    /// How long its content is, in octets.
    pub length: u64,
    /// Fields after the content.
    pub trailers: Vec<Field>,
    /// How many chunks had extensions.
    pub extensions: u64,
    /// Octets of the connection up to its end, where messages are kept.
    pub end: u64,
    /// Another message may follow.
    pub persists: bool,
}

impl Message {
    /// The values of a field.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// The status code of an answer.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Answer { status } => Some(status),
        }
    }

    /// An answer that another one follows (RFC 9110 section 15.2); 101 is none.
    pub fn is_interim(&self) -> bool {
        self.status().is_some_and(|status| status < 200 && status != 101)
    }

    /// As what a request asks: method, whether it is HTTP/1.0, whether it offers another protocol.
    pub fn asked(&self) -> Option<super::Asked> {
        let Start::Request { method, .. } = &self.start else { return None };
        let upgrade = !self.old && self.values("upgrade").next().is_some();
        Some(super::Asked { method: method.clone(), old: self.old, upgrade })
    }

    pub(super) fn content(&mut self, octets: &[u8], keeps: bool) {
        self.length += octets.len() as u64;
        if keeps {
            self.content.extend_from_slice(octets);
        }
    }

    /// Reads a chunk's first line.
    pub(super) fn chunk(&mut self, line: &[u8]) -> Result<u64, Broken> {
        let (size, extended) = grammar::chunk_line(line)?;
        self.extensions += u64::from(extended);
        Ok(size)
    }

    pub(super) fn trailer(&mut self, line: &[u8]) -> Result<(), Broken> {
        let (name, value) = head::field_line(line)?;
        if head::NO_TRAILERS.iter().any(|no| no.eq_ignore_ascii_case(&name)) {
            return Err(("RFC 9110 section 6.5.1", "a field among the trailers that belongs into a head"));
        }
        self.trailers.push((name, value));
        Ok(())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |fields: &[Field]| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Message")
            .field("start", &self.start)
            .field("fields", &names(&self.fields))
            .field("framing", &self.framing)
            .field("length", &self.length)
            .field("trailers", &names(&self.trailers))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, target } => {
                // A query may hold what nobody shall read in a log.
                write!(f, "{method} {}", target.split('?').next().unwrap_or_default())
            }
            Self::Answer { status } => write!(f, "{status}"),
        }
    }
}
