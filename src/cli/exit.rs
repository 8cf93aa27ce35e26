//! How a command ends, and where its words go.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// An end that is no success: a status and the words for it.
#[derive(Debug)]
pub(super) struct Exit {
    status: u8,
    message: String,
}

impl Exit {
    /// 1: what has no status of its own.
    pub(super) fn failure(message: impl fmt::Display) -> Self {
        Self { status: 1, message: message.to_string() }
    }

    /// 2: the command was called wrongly.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self { status: 2, message: message.to_string() }
    }

    /// 4: a person must log in.
    pub(super) fn login_required(message: impl fmt::Display) -> Self {
        Self { status: 4, message: message.to_string() }
    }

    /// 69: something needed is not there.
    pub(super) fn unavailable(message: impl fmt::Display) -> Self {
        Self { status: 69, message: message.to_string() }
    }

    /// 75: trying again may help.
    pub(super) fn try_again(message: impl fmt::Display) -> Self {
        Self { status: 75, message: message.to_string() }
    }

    /// 78: the configuration is wrong.
    pub(super) fn config(message: impl fmt::Display) -> Self {
        Self { status: 78, message: message.to_string() }
    }

    /// A status of its own.
    pub(super) fn with_status(status: u8, message: impl fmt::Display) -> Self {
        Self { status, message: message.to_string() }
    }

    /// What a command ended with, which has said all there is to say.
    pub(super) fn of_command(status: u8) -> Self {
        Self { status, message: String::new() }
    }

    /// With a further line.
    pub(super) fn and(self, line: impl fmt::Display) -> Self {
        Self { message: format!("{}\n{line}", self.message), ..self }
    }

    /// Says the words on stderr and yields the status.
    pub(super) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            tell(&self.message);
        }
        ExitCode::from(self.status)
    }
}

/// Writes data to stdout.
pub(super) fn print(data: &str) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(data.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads us has seen enough (`bearward schema | head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Exit::failure(format!("cannot write to stdout: {error}"))),
    }
}

/// Writes a message to stderr. Where stderr is gone there is nobody to tell.
pub(super) fn tell(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", message.trim_end());
}

/// Whether messages are coloured: on a terminal, unless NO_COLOR is set.
pub(super) fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
