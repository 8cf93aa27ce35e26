//! Logs: one line per event on stderr, text for people on a terminal, JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

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
    let asked = std::env::var("RUST_LOG").unwrap_or_default();
    let (targets, ignored) = wanted(&asked, level);
    let terminal = io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(false)
        // It would complain on stderr too, and panic where nobody reads that any more.
        .log_internal_errors(false);
    let lines = match (look, terminal) {
        (Look::Json, _) | (Look::Auto, false) => lines.json().flatten_event(true).boxed(),
        _ => lines.boxed(),
    };
    // Someone who embeds this crate may have a subscriber of their own: theirs stays.
    let _kept = registry().with(lines).with(targets).try_init();
    for directive in ignored {
        tracing::warn!(directive, "a part of RUST_LOG is ignored: it is neither a level nor TARGET=LEVEL");
    }
}

/// What `RUST_LOG` asks for, a list of `LEVEL` and `TARGET=LEVEL`, and what of it cannot be understood; `level` where nothing is left.
/// Spans and fields, which others choose by, are not to be had: what is logged here has no spans.
fn wanted(asked: &str, level: Level) -> (Targets, Vec<&str>) {
    let (mut targets, mut ignored, mut found) = (Targets::new(), Vec::new(), false);
    for directive in asked.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        match directive.parse::<Targets>() {
            Ok(parsed) if !directive.contains(['[', '{']) => {
                targets = match parsed.default_level() {
                    Some(level) => targets.with_default(level),
                    None => targets.with_targets(parsed),
                };
                found = true;
            }
            _ => ignored.push(directive),
        }
    }
    if !found {
        targets = targets.with_default(LevelFilter::from_level(level));
    }
    (targets, ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_log_wins_and_chooses_by_level_and_target() {
        let (targets, ignored) = wanted("warn, bearward::token=debug,bearward::proxy=off", Level::TRACE);
        assert!(ignored.is_empty());
        for (target, level, shown) in [
            ("bearward::app", Level::WARN, true),
            ("bearward::app", Level::INFO, false),
            ("bearward::token::engine", Level::DEBUG, true),
            ("bearward::token", Level::TRACE, false),
            ("bearward::proxy::exchange", Level::ERROR, false),
        ] {
            assert_eq!(targets.would_enable(target, &level), shown, "{target} {level}");
        }
        let (only, _) = wanted("bearward::token=debug", Level::TRACE);
        assert!(
            !only.would_enable("bearward::app", &Level::ERROR),
            "the level of the configuration is not meant"
        );
    }

    #[test]
    fn without_a_usable_part_of_rust_log_the_level_of_the_configuration_stays() {
        for asked in ["", " , ", "bearward=loud", "a=b=c"] {
            let (targets, _) = wanted(asked, Level::INFO);
            assert!(targets.would_enable("bearward::app", &Level::INFO), "{asked:?}");
            assert!(!targets.would_enable("bearward::app", &Level::DEBUG), "{asked:?}");
        }
    }

    #[test]
    fn what_cannot_be_chosen_by_is_named_and_the_rest_counts() {
        let (targets, ignored) = wanted("bearward[span]=debug,info,h2[{id}]=trace,x=loud", Level::ERROR);
        assert_eq!(ignored, ["bearward[span]=debug", "h2[{id}]=trace", "x=loud"]);
        assert!(targets.would_enable("bearward::app", &Level::INFO));
    }
}
