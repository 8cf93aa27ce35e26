//! One connection: a request is written, its whole answer is read and checked, then the next one is.
//!
//! Knows one socket and what is under way on it. Does not know which request is next, nor the time.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::head::{self, Head};

/// What an answer has to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub status: u16,
    pub length: u64,
    /// The answer is the last thing on its connection.
    pub closes: bool,
}

/// Where a connection is.
#[derive(Debug)]
enum Step {
    Idle,
    Writing { sent: usize },
    Head,
    Content { missing: u64 },
    End,
}

#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    step: Step,
    /// What there is of a head that came in pieces.
    head: Vec<u8>,
}

impl Connection {
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, step: Step::Idle, head: Vec::new() }
    }

    /// From now on, [`Self::advance`] writes.
    pub fn begin(&mut self) {
        self.step = Step::Writing { sent: 0 };
    }

    /// Goes on until the socket has to be waited for (`false`) or the answer is complete and right (`true`). `ended`: the
    /// other side sends no more, which is told only once.
    pub fn advance(
        &mut self,
        request: &[u8],
        expected: Expected,
        ended: bool,
        space: &mut [u8],
    ) -> Result<bool, String> {
        if let Step::Writing { sent } = &mut self.step {
            while *sent < request.len() {
                match self.socket.write(&request[*sent..]) {
                    Ok(written) => *sent += written,
                    // A connection that is not there yet is not connected, or would block.
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                        return Ok(false);
                    }
                    Err(error) => return Err(format!("a request could not be sent: {error}")),
                }
            }
            self.step = Step::Head;
            self.head.clear();
            // No answer can be there yet, and its arrival will be an event of its own.
            return Ok(false);
        }
        loop {
            let read = match self.socket.read(space) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("an answer broke off: {error}")),
            };
            if self.take(&space[..read], expected)? {
                return Ok(true);
            }
            // A read that was short took all there was: the next octets are a new event (epoll(7)).
            if read < space.len() && !ended {
                return Ok(false);
            }
        }
    }

    /// Takes what was read; nothing is the end of the connection.
    fn take(&mut self, octets: &[u8], expected: Expected) -> Result<bool, String> {
        if octets.is_empty() {
            return match &self.step {
                Step::End => Ok(true),
                Step::Content { missing } => Err(format!("an answer ended {missing} octets early")),
                Step::Idle => Err("a connection was closed between requests".to_owned()),
                _ => Err("a connection was closed instead of an answer".to_owned()),
            };
        }
        let (announced, came) = match self.step {
            Step::Head => {
                self.head.extend_from_slice(octets);
                let head = head::read(&self.head).map_err(|why| wrong(&why, &self.head))?;
                let Some(head) = head else { return Ok(false) };
                check(&head, expected).map_err(|why| wrong(&why, &self.head))?;
                (head.length, self.head.len() - head.size)
            }
            Step::Content { missing } => (missing, octets.len()),
            Step::Idle | Step::Writing { .. } | Step::End => {
                return Err(wrong("it is more than was announced", octets));
            }
        };
        let missing = announced
            .checked_sub(came as u64)
            .ok_or_else(|| wrong("its content is longer than it announced", octets))?;
        if missing > 0 {
            self.step = Step::Content { missing };
            return Ok(false);
        }
        self.step = if expected.closes { Step::End } else { Step::Idle };
        Ok(!expected.closes)
    }
}

fn check(head: &Head, expected: Expected) -> Result<(), String> {
    if head.status != expected.status {
        return Err(format!("status {} instead of {}", head.status, expected.status));
    }
    if head.length != expected.length {
        return Err(format!("content of {} octets instead of {}", head.length, expected.length));
    }
    Ok(())
}

/// The beginning of what came is what helps to find out why.
fn wrong(why: &str, octets: &[u8]) -> String {
    let beginning = String::from_utf8_lossy(&octets[..octets.len().min(400)]).into_owned();
    format!("a wrong answer: {why}; it begins {beginning:?}")
}
