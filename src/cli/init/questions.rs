//! Questions and their answers: a person's at a terminal, a line each from a pipe, none elsewhere.
//!
//! Knows that a typed secret is not shown. Does not know what is asked.

use std::io::{self, BufRead, IsTerminal, StdinLock, Write};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use crate::{cli::exit::Exit, secret::Secret};

/// More than any answer; what never ends a line is none.
const LONGEST: usize = 64 << 10;
/// What Ctrl-C types where it sends no signal.
const INTERRUPT: u8 = 3;

pub(super) struct Questions {
    input: StdinLock<'static>,
    terminal: bool,
}

impl Questions {
    pub fn new() -> Self {
        let input = io::stdin().lock();
        let terminal = input.is_terminal() && io::stderr().is_terminal();
        Self { input, terminal }
    }

    /// Whether a person is there.
    pub fn at_terminal(&self) -> bool {
        self.terminal
    }

    /// One of several, by its name or (at a terminal) its number. `None` where nobody answers.
    pub fn choose(
        &mut self,
        question: &str,
        choices: &[(String, String)],
        usual: Option<&str>,
    ) -> Result<Option<String>, Exit> {
        let width = choices.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        self.say(&format!("\n{question}\n"));
        for (number, (name, about)) in choices.iter().enumerate() {
            self.say(&format!("  {}  {name:width$}  {about}\n", number + 1));
        }
        loop {
            self.say(&usual.map_or("> ".to_owned(), |usual| format!("[{usual}] > ")));
            let Some(answer) = self.read()? else { return Ok(None) };
            let answer = answer.trim();
            let by_number = || choices.get(answer.parse::<usize>().ok()?.checked_sub(1)?);
            let by_name = choices.iter().find(|(name, _)| name == answer);
            match (by_name.or_else(by_number), usual) {
                (Some((name, _)), _) => return Ok(Some(name.clone())),
                (None, Some(usual)) if answer.is_empty() => return Ok(Some(usual.to_owned())),
                _ if self.terminal => self.say("One of the names or numbers above.\n"),
                _ => {
                    let names: Vec<_> = choices.iter().map(|(name, _)| name.as_str()).collect();
                    return Err(Exit::usage(format!("{answer:?} is none of {}", names.join(", "))));
                }
            }
        }
    }

    /// The value of `key`. `None` where nobody answers.
    pub fn line(&mut self, key: &str, words: &str) -> Result<Option<String>, Exit> {
        self.say(&format!("\n{words}\n"));
        loop {
            self.say(&format!("{key}: "));
            let Some(answer) = self.read()? else { return Ok(None) };
            let answer = answer.trim();
            if !answer.is_empty() {
                return Ok(Some(answer.to_owned()));
            }
            if !self.terminal {
                return Ok(None);
            }
        }
    }

    /// The same where an empty answer is one.
    pub fn optional(&mut self, key: &str, words: &str) -> Result<Option<String>, Exit> {
        self.say(&format!("\n{words} Optional: Enter leaves it out.\n{key}: "));
        let answer = self.read()?;
        Ok(answer.map(|answer| answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }

    /// The secret at `key`, which is not shown while it is typed. `None` where nobody answers.
    pub fn secret(&mut self, key: &str, words: &str) -> Result<Option<Secret>, Exit> {
        self.say(&format!("\n{words} Nothing shows while you type or paste it.\n"));
        loop {
            let answer = {
                // Before the question: what is typed as its answer is neither shown nor flushed away.
                let _unseen = if self.terminal { Some(Unseen::begin()?) } else { None };
                self.say(&format!("{key}: "));
                self.read()?
            };
            self.say("\n");
            let Some(answer) = answer else { return Ok(None) };
            let answer = answer.trim_end_matches(['\r', '\n']);
            if !answer.is_empty() {
                return Ok(Some(Secret::new(answer)));
            }
            if !self.terminal {
                return Ok(None);
            }
        }
    }

    /// Says something that is no question, to a person alone.
    pub fn tell(&self, words: &str) {
        self.say(&format!("{words}\n"));
    }

    fn say(&self, words: &str) {
        if self.terminal {
            // Where stderr is gone there is nobody to ask.
            let _ = io::stderr().lock().write_all(words.as_bytes());
        }
    }

    /// One line, without its end; `None` at the end of the input.
    fn read(&mut self) -> Result<Option<Zeroizing<String>>, Exit> {
        // As large as the longest from the start: a buffer that grows leaves copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
        loop {
            let part = match self.input.fill_buf() {
                Ok(part) => part,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Exit::failure(format!("cannot read stdin: {error}"))),
            };
            if part.contains(&INTERRUPT) {
                return Err(Exit::failure("\ninterrupted; nothing was written"));
            }
            let end = part.iter().position(|octet| *octet == b'\n');
            let taken = end.unwrap_or(part.len());
            if line.len() + taken > LONGEST {
                return Err(Exit::usage(format!("an answer is longer than {LONGEST} octets")));
            }
            line.extend_from_slice(&part[..taken]);
            let over = part.is_empty();
            self.input.consume(end.map_or(taken, |end| end + 1));
            if end.is_some() || (over && !line.is_empty()) {
                break;
            }
            if over {
                return Ok(None);
            }
        }
        match str::from_utf8(&line) {
            Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
            Err(_) => Err(Exit::usage("an answer is not UTF-8")),
        }
    }
}

/// A terminal that shows nothing of what is typed, until it is dropped. Ctrl-C ends the line instead of the process, which could
/// not set the terminal back.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> Result<Self, Exit> {
        let cannot =
            |error| Exit::failure(format!("cannot hide what is typed: {error}; choose --secrets env"));
        let before = termios::tcgetattr(io::stdin()).map_err(cannot)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        unseen.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &unseen).map_err(cannot)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to set back.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
