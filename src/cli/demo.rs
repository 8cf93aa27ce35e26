//! `bearward demo`: a self-contained tour.

use std::{io, net::SocketAddr};

use super::{ask, exit::Exit};
use crate::{
    app::{App, Running},
    config::Config,
    demo::{self, Bearward, Options, Problem, Verdict},
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Stay up afterwards, and print curl lines to try
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Exit> {
    let options = Options::of_environment(arguments.keep);
    let start = async |configuration: String| {
        let loaded = Config::parse(&configuration, "(the demo's configuration)")
            .map_err(|problems| problems.to_string())?;
        App::start(loaded).map_err(|error| error.to_string())
    };
    let tour = ask::runtime()?.block_on(demo::run(options, start, &mut io::stdout().lock()));
    match tour {
        Ok(Verdict::Passed) => Ok(()),
        Ok(Verdict::Failed(wrong)) => Err(Exit::failure(wrong.join("\n"))),
        Err(Problem::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(problem) => Err(Exit::unavailable(problem)),
    }
}

impl Bearward for Running {
    fn address(&self, name: &str) -> Option<SocketAddr> {
        Running::address(self, name)
    }

    async fn stop(self) {
        Running::stop(&self).await;
    }
}
