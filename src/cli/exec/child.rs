//! The command itself: how it is started, which signals reach it, and what its end is called.
//!
//! Knows processes. Does not know what is in their environment.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    process::ExitStatus,
};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::{
    process::Command,
    signal::unix::{Signal as Signals, SignalKind, signal},
};

use super::environment::Variables;
use crate::cli::exit::Exit;

/// The signals of somebody who wants the command to do something, caught from before it starts until after it has ended.
pub(super) struct Caught {
    terminate: Signals,
    hang_up: Signals,
    user1: Signals,
    user2: Signals,
    interrupt: Signals,
    quit: Signals,
}

impl Caught {
    /// Catches them.
    ///
    /// # Errors
    /// The system does not let us.
    pub(super) fn signals() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next one that the command has to be told of.
    async fn next(&mut self) -> Signal {
        loop {
            let (signal, from_terminal) = tokio::select! {
                _ = self.terminate.recv() => (Signal::TERM, false),
                _ = self.hang_up.recv() => (Signal::HUP, false),
                _ = self.user1.recv() => (Signal::USR1, false),
                _ = self.user2.recv() => (Signal::USR2, false),
                _ = self.interrupt.recv() => (Signal::INT, true),
                _ = self.quit.recv() => (Signal::QUIT, true),
            };
            // What is typed at a terminal reaches the command by itself, and must not reach it twice.
            if !(from_terminal && in_foreground()) {
                return signal;
            }
        }
    }
}

/// Whether the keys of a terminal signal our process group, which is the command's too.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| {
        rustix::termios::tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp())
    })
}

/// Runs `command` with `variables` beside our own environment, but for what is `hidden` of that, to its end; signals are passed on to it.
///
/// # Errors
/// It cannot be started (127 where there is none, 126 where it cannot be executed), or ended other than with status 0: the
/// same, and 128 and the signal's number where a signal ended it.
pub(super) async fn run(
    command: &[OsString],
    hidden: &[String],
    variables: Variables,
    mut caught: Caught,
) -> Result<(), Exit> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Exit::usage("name a command: bearward exec -- COMMAND"));
    };
    let mut started = Command::new(program);
    for name in hidden {
        started.env_remove(name);
    }
    let started = started.args(arguments).envs(variables).spawn();
    let mut child = started.map_err(|error| unstarted(program, &error))?;
    loop {
        tokio::select! {
            ended = child.wait() => {
                let status = ended.map_err(|error| Exit::failure(format!("cannot wait for the command: {error}")))?;
                return result(status);
            }
            signal = caught.next() => {
                let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                if let Some(id) = id {
                    // It may have ended just now, and then there is nobody to tell.
                    let _ = kill_process(id, signal);
                }
            }
        }
    }
}

fn unstarted(program: &OsStr, error: &io::Error) -> Exit {
    let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    Exit::with_status(status, format!("cannot run {}: {error}", program.display()))
}

fn result(status: ExitStatus) -> Result<(), Exit> {
    use std::os::unix::process::ExitStatusExt;

    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Exit::of_command(u8::try_from(code).unwrap_or(1))),
        (None, signal) => Err(Exit::of_command(128 + u8::try_from(signal.unwrap_or(0)).unwrap_or(0))),
    }
}
