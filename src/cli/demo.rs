//! `bearward demo`: a self-contained tour.

use std::{io, net::SocketAddr};

use super::{ask, exit::Exit};
use crate::{
    app::{self, App, Running},
    config::{Config, Loaded},
    demo::{self, Bearward, Options, Problem, Verdict},
    login::Begun,
};

/// A running bearward and the configuration that it was started with.
struct Started {
    running: Running,
    configuration: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Stay up afterwards, and print curl lines to try
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Exit> {
    let options = Options::of_environment(arguments.keep);
    let start = async |configuration: String| {
        let running = App::start(parsed(&configuration)?).map_err(|error| error.to_string())?;
        Ok::<_, String>(Started { running, configuration })
    };
    let tour = ask::runtime()?.block_on(demo::run(options, start, &mut io::stdout().lock()));
    match tour {
        Ok(Verdict::Passed) => Ok(()),
        Ok(Verdict::Failed(wrong)) => Err(Exit::failure(wrong.join("\n"))),
        Err(Problem::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(problem) => Err(Exit::unavailable(problem)),
    }
}

fn parsed(configuration: &str) -> Result<Loaded, String> {
    Config::parse(configuration, "(the demo's configuration)").map_err(|problems| problems.to_string())
}

impl Bearward for Started {
    fn address(&self, name: &str) -> Option<SocketAddr> {
        self.running.address(name)
    }

    async fn log_in(
        &self,
        token: &str,
        browser: impl AsyncFnOnce(String) -> Result<(), String>,
    ) -> Result<(), String> {
        let account = app::account(&parsed(&self.configuration)?.config, token);
        let account = account.map_err(|error| error.to_string())?.ok_or("there is no such token")?;
        let Begun::Redirect(login) = account.begin().await.map_err(|error| error.to_string())? else {
            return Err("the browser does not come back to bearward".to_owned());
        };
        let url = login.url().to_owned();
        let logged_in = async { login.finish().await.map_err(|error| error.to_string()) };
        tokio::try_join!(logged_in, browser(url)).map(drop)
    }

    async fn stop(self) {
        self.running.stop().await;
    }
}
