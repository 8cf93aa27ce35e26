//! `bearward run`: the proxy, until a signal ends it.

use std::panic;

use tokio::signal::unix::{SignalKind, signal};

use super::{
    ask,
    exit::{self, Exit},
};
use crate::{
    app::App,
    config::{Loaded, LogFormat},
    telemetry::logs::{self, Look},
};

pub(super) fn run(loaded: Loaded) -> Result<(), Exit> {
    let look = match loaded.config.log.format {
        LogFormat::Auto => Look::Auto,
        LogFormat::Text => Look::Text,
        LogFormat::Json => Look::Json,
    };
    logs::start(loaded.config.log.level, look);
    take_all_descriptors();
    ask::runtime()?.block_on(async {
        let no_signals = |error| Exit::unavailable(format!("cannot listen for signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(no_signals)?;
        let running = App::start(loaded).map_err(Exit::unavailable)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => running.reload(),
                () = running.ended() => return Err(Exit::failure("a part of bearward ended by itself; see the log")),
            }
        }
        tracing::info!("stopping: running requests are finished first, a second signal ends at once");
        tokio::select! {
            () = running.stop() => Ok(()),
            _ = terminate.recv() => Err(Exit::failure("stopped at once: a second signal came")),
            _ = interrupt.recv() => Err(Exit::failure("stopped at once: a second signal came")),
        }
    })
}

/// A core file would hold every secret: none is written, and no other process of this user reads this one's memory.
pub(super) fn leave_no_core(by_limit: bool) {
    use rustix::process::{Resource, Rlimit, setrlimit};

    // Lowering a limit and giving up a right need none; should a sandbox forbid the call, there is nobody to ask.
    if by_limit {
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    // A core that is piped to a program, as systemd's is, does not heed the limit.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// As many descriptors as this process may have: each connection takes one, most exchanges two, and the limit that a process begins with
/// is for programs that use `select`.
fn take_all_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Raising it this far needs no right; should a sandbox forbid the call, there are fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// A panic says where it was and not what it held: its message may quote what was being worked on.
pub(super) fn silence_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        exit::tell(&format!("bearward has a bug: panic at {place}; please report it"));
    }));
}
