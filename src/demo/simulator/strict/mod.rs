//! A second reading of HTTP/1.1 (RFC 9112), stricter than any server's: what two parties could read differently is a violation.
//!
//! Knows the grammar of requests and answers, framing, and in which order messages may follow one another on a connection. It
//! shares nothing with `wire`, whose readers and writers it is there to check: it is written plainly, and slow. Where RFC 9110 and
//! 9112 leave a recipient a choice, the strict one is made. Does not know what a message is about; a [`Violation`] never tells a
//! field's value.

use std::{collections::VecDeque, fmt};

mod grammar;
mod head;
mod message;
#[cfg(test)]
mod tests;
mod watched;

pub use message::{Field, Framing, Message, Start};
pub use watched::{Tally, Watched};

use head::Open;

/// The longest line that is read, in octets.
const LONGEST_LINE: usize = 1 << 20;

/// Which rule was broken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Where the rule stands.
    pub section: &'static str,
    /// What was found.
    pub found: &'static str,
    /// Octets of the connection before the line or octet that breaks it.
    pub offset: u64,
    /// Messages before the one that breaks it.
    pub messages: u64,
}

/// A broken rule, before it is known where: section and finding.
type Broken = (&'static str, &'static str);

/// What an answer's framing depends on: the request that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request's method.
    pub method: String,
    /// The request was HTTP/1.0.
    pub old: bool,
    /// The request offered to change protocols.
    pub upgrade: bool,
}

impl Asked {
    /// A plain HTTP/1.1 request.
    pub fn by(method: &str) -> Self {
        Self { method: method.to_owned(), old: false, upgrade: false }
    }
}

/// How a connection stood at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Between messages, or after one that the end itself ends.
    Whole,
    /// In the middle of a message, which nobody can take for a whole one.
    Cut,
}

/// The messages of all octets sent one way on a connection, in order.
///
/// # Errors
/// The first violation; that the last message is cut is none, it is left out.
pub fn requests(octets: &[u8]) -> Result<Vec<Message>, Violation> {
    let mut checker = Checker::requests().keeping();
    checker.push(octets)?;
    checker.end()?;
    Ok(checker.messages)
}

/// The same of answers, interim ones among them, to these requests in this order.
///
/// # Errors
/// The first violation, an answer too many among them.
pub fn answers(octets: &[u8], asked: impl IntoIterator<Item = Asked>) -> Result<Vec<Message>, Violation> {
    let mut checker = Checker::answers().keeping();
    asked.into_iter().for_each(|asked| checker.expect(asked));
    checker.push(octets)?;
    checker.end()?;
    Ok(checker.messages)
}

/// Reads what is sent one way on one connection, as it comes.
#[derive(Debug)]
pub struct Checker {
    state: State,
    /// Octets of a line whose end has not come.
    pending: Vec<u8>,
    /// Octets before `pending`.
    offset: u64,
    /// Requests without their final answer; for answers only.
    asked: Option<VecDeque<Asked>>,
    count: u64,
    /// Where the last whole message ended.
    ended: u64,
    keeps: bool,
    messages: Vec<Message>,
    /// The last request offered to leave HTTP: it changes protocols, or is a CONNECT.
    may_leave: bool,
    broken: Option<Violation>,
}

#[derive(Debug)]
enum State {
    /// Before the first line of a message.
    Between,
    Fields(Box<Open>),
    Counted(Box<Message>, u64),
    ChunkLine(Box<Message>),
    Chunk(Box<Message>, u64),
    /// After a chunk's data: an empty line.
    ChunkEnd(Box<Message>),
    Trailers(Box<Message>),
    /// Content that ends with the connection.
    ToClose(Box<Message>),
    /// A message said that the connection ends after it.
    Over,
    /// Another protocol.
    Opaque,
}

impl Checker {
    /// For what is sent to an origin server.
    pub fn requests() -> Self {
        Self::new(None)
    }

    /// For what is sent to an application; each request that it sent is told by [`Checker::expect`] before its answer.
    pub fn answers() -> Self {
        Self::new(Some(VecDeque::new()))
    }

    fn new(asked: Option<VecDeque<Asked>>) -> Self {
        Self {
            state: State::Between,
            pending: Vec::new(),
            offset: 0,
            asked,
            count: 0,
            ended: 0,
            keeps: false,
            messages: Vec::new(),
            may_leave: false,
            broken: None,
        }
    }

    /// The messages and their content are kept.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// The whole messages so far, where they are kept.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How many whole messages there were, interim answers among them.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many octets they were.
    pub fn whole_octets(&self) -> u64 {
        self.ended
    }

    /// How many octets were pushed.
    pub fn read(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    /// A request was sent whose answer is to come.
    pub fn expect(&mut self, asked: Asked) {
        self.asked.get_or_insert_default().push_back(asked);
    }

    /// The last request may be answered in a way that ends HTTP on this connection.
    pub fn may_leave(&self) -> bool {
        self.may_leave
    }

    /// The answer was one: what follows is another protocol.
    pub fn leave(&mut self) {
        self.state = State::Opaque;
    }

    /// Reads what came next.
    ///
    /// # Errors
    /// The first violation, again and again.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), Violation> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let held = std::mem::take(&mut self.pending);
        let joined;
        let mut rest = match held.is_empty() {
            true => octets,
            false => {
                joined = [&held, octets].concat();
                &joined
            }
        };
        while !rest.is_empty() {
            match self.step(rest) {
                Ok(0) => break,
                Ok(read) => {
                    self.offset += read as u64;
                    rest = &rest[read..];
                    if matches!(self.state, State::Between | State::Over) {
                        self.ended = self.offset;
                        if let Some(message) = self.messages.last_mut() {
                            message.end = self.offset;
                        }
                    }
                }
                Err(broken) => return Err(self.breaks(broken)),
            }
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// There was a violation before.
    pub fn end(&mut self) -> Result<Ending, Violation> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::ToClose(message) => self.whole(*message),
            State::Between if self.pending.is_empty() => {}
            State::Over | State::Opaque => {}
            _ => return Ok(Ending::Cut),
        }
        Ok(Ending::Whole)
    }

    fn breaks(&mut self, (section, found): Broken) -> Violation {
        let broken = Violation { section, found, offset: self.offset, messages: self.count };
        self.broken = Some(broken);
        broken
    }

    /// Takes octets off the front of `rest` and says how many; 0 if more are needed.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Broken> {
        match &mut self.state {
            State::Opaque => return Ok(rest.len()),
            State::Over => {
                return Err(("RFC 9112 section 9.6", "octets after a message that closes the connection"));
            }
            State::ToClose(message) => {
                message.content(rest, self.keeps);
                return Ok(rest.len());
            }
            State::Counted(message, left) | State::Chunk(message, left) => {
                let some = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                message.content(&rest[..some], self.keeps);
                *left -= some as u64;
                if *left == 0 {
                    self.state = match std::mem::replace(&mut self.state, State::Over) {
                        State::Chunk(message, _) => State::ChunkEnd(message),
                        State::Counted(message, _) => self.after(*message),
                        other => other,
                    };
                }
                return Ok(some);
            }
            _ => {}
        }
        let Some(line) = grammar::line(rest)? else {
            return match rest.len() > LONGEST_LINE {
                true => Err(("RFC 9112 section 2.3", "a line without an end")),
                false => Ok(0),
            };
        };
        self.line(line)?;
        Ok(line.len() + 2)
    }

    /// Reads one line, without its CRLF.
    fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Between => State::Fields(Box::new(self.first_line(line)?)),
            State::Fields(mut open) if !line.is_empty() => {
                open.field(line)?;
                State::Fields(open)
            }
            State::Fields(open) => self.head(*open)?,
            State::ChunkLine(mut message) => match message.chunk(line)? {
                0 => State::Trailers(message),
                length => State::Chunk(message, length),
            },
            State::ChunkEnd(message) if line.is_empty() => State::ChunkLine(message),
            State::ChunkEnd(_) => return Err(("RFC 9112 section 7.1", "a chunk longer than its size")),
            State::Trailers(mut message) if !line.is_empty() => {
                message.trailer(line)?;
                State::Trailers(message)
            }
            State::Trailers(message) => self.after(*message),
            // They have no lines; `step` saw to them.
            other => other,
        };
        Ok(())
    }

    fn first_line(&self, line: &[u8]) -> Result<Open, Broken> {
        match &self.asked {
            None => head::request_line(line),
            Some(asked) if asked.is_empty() => {
                Err(("RFC 9112 section 9.2", "an answer that nobody has asked for"))
            }
            Some(_) => head::status_line(line),
        }
    }

    /// A head has ended: where does its message?
    fn head(&mut self, open: Open) -> Result<State, Broken> {
        let asked = self.asked.as_mut().and_then(|asked| asked.front().cloned());
        let (message, leaves) = open.close(asked.as_ref())?;
        if let Some(asked) = &mut self.asked
            && !message.is_interim()
        {
            asked.pop_front();
        }
        self.may_leave = leaves;
        Ok(match message.framing {
            // Whether a request's connection is taken over depends on the answer; an answer says it.
            Framing::Nothing | Framing::Length(0) => {
                let state = self.after(message);
                if leaves && self.asked.is_some() { State::Opaque } else { state }
            }
            Framing::Length(length) => State::Counted(Box::new(message), length),
            Framing::Chunked => State::ChunkLine(Box::new(message)),
            Framing::Close => State::ToClose(Box::new(message)),
        })
    }

    /// A whole message was read; what follows it?
    fn after(&mut self, message: Message) -> State {
        let over = !message.persists;
        self.whole(message);
        if over { State::Over } else { State::Between }
    }

    fn whole(&mut self, message: Message) {
        self.count += 1;
        if self.keeps {
            self.messages.push(message);
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { section, found, offset, messages } = self;
        write!(f, "{found} ({section}), {offset} octets into the connection, after {messages} messages")
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Violation {}
