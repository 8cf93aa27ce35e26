//! `bearward wait`: returns when a running bearward is ready (start order in Kubernetes, scripts).

use std::time::Duration;

use http::StatusCode;

use super::{ask, exit::Exit};
use crate::config::Loaded;

const BETWEEN_QUESTIONS: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Give up after this long, with status 75
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    parsed.ok_or_else(|| "write for example 30s, 5m or 1h30m".to_owned())
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<(), Exit> {
    let admin = ask::admin(&loaded.config)?;
    ask::runtime()?.block_on(async {
        let mut last = String::new();
        let ready = async {
            loop {
                match ask::get(&admin, "/readyz").await {
                    Ok((StatusCode::OK, _)) => return,
                    Ok((_, answer)) => last = answer,
                    Err(error) => last = format!("nothing answers on {admin}: {error}"),
                }
                tokio::time::sleep(BETWEEN_QUESTIONS).await;
            }
        };
        let waited = tokio::time::timeout(arguments.timeout, ready).await;
        waited.map_err(|_| {
            Exit::try_again(format!("not ready after {:?}: {}", arguments.timeout, last.trim_end()))
        })
    })
}
