//! Logs: one line per event on stderr, text for people on a terminal, JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for this process. `RUST_LOG` wins over `level`; `NO_COLOR` is honoured. A second call changes nothing.
pub fn start(level: Level, look: Look) {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::from_level(level).into()).from_env_lossy();
    let terminal = io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(false)
        // It would complain on stderr too, and panic where nobody reads that any more.
        .log_internal_errors(false);
    // Someone who embeds this crate may have a subscriber of their own: theirs stays.
    let _kept = match (look, terminal) {
        (Look::Json, _) | (Look::Auto, false) => lines.json().flatten_event(true).finish().try_init(),
        _ => lines.finish().try_init(),
    };
}
