//! A tour in one process: simulated providers, bearward and an application that knows nothing of OAuth.
//!
//! Knows the tour's course and when it counts as a success. Does not know how bearward is put together: it is started
//! through [`Bearward`], from a configuration like anybody's. `simulator` serves the end-to-end tests too.

use std::{fmt, future::Future, io, io::Write, net::SocketAddr, time::Duration};

use crate::clock::Clock;

pub mod application;
mod events;
mod load;
mod login;
mod outlook;
mod score;
pub mod simulator;
mod stage;
mod summary;
mod table;

use events::Events;
use load::Load;
use outlook::Outlook;
use score::Score;
use stage::Stage;
use table::Screen;

/// When the tour ends if everything has happened that is to happen.
const LENGTH: Duration = Duration::from_secs(20);
/// When it ends whatever happened.
const LONGEST: Duration = Duration::from_secs(27);
/// How often it looks and draws.
const TICK: Duration = Duration::from_millis(200);
/// How long bearward may take to hold its first tokens.
const READY: Duration = Duration::from_secs(5);

/// What the tour needs of a running bearward.
pub trait Bearward {
    /// Where the upstream `name` has its own port; the `gateway` and `admin` listeners by these names.
    fn address(&self, name: &str) -> Option<SocketAddr>;

    /// Runs `bearward login` for the token of this name, with `browser` in the place of the system's browser: it is given the
    /// address to open. Ends early where that fails.
    fn log_in(
        &self,
        token: &str,
        browser: impl AsyncFnOnce(String) -> Result<(), String>,
    ) -> impl Future<Output = Result<(), String>>;

    /// Stops it.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// How the tour is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// It stays up afterwards, until Ctrl-C.
    pub keep: bool,
    /// The table is redrawn in place (a terminal), rather than told in lines.
    pub live: bool,
    /// With colours.
    pub colour: bool,
}

impl Options {
    /// As the environment asks for it: in place on a terminal that can, in colours unless `NO_COLOR` is set.
    pub fn of_environment(keep: bool) -> Self {
        let terminal = io::IsTerminal::is_terminal(&io::stdout());
        let able = terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { keep, live: able, colour: able && !colourless }
    }
}

/// How the tour ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The application saw no error, and everything happened that was to happen.
    Passed,
    /// What went wrong, one sentence each.
    Failed(Vec<String>),
}

/// Why there was no tour.
#[derive(Debug)]
pub enum Problem {
    /// A simulator, or the folder for the store, could not be made.
    Stage(io::Error),
    /// bearward did not start, in its words.
    Start(String),
    /// bearward has no listener of this name.
    Listener(&'static str),
    /// The person could not log in.
    Login(String),
    /// bearward did not get its first tokens in time; what `/readyz` said last.
    NotReady(String),
    /// bearward's `/status` cannot be read.
    Status(String),
    /// The application's task ended before its time.
    Application(String),
    /// Nobody reads what is written.
    Output(io::Error),
}

/// Gives the tour: sets the stage, starts bearward with `start` from a configuration in TOML, and tells on `out` what
/// happens. Takes less than 30 s, the part after it with [`Options::keep`] aside.
///
/// # Errors
/// There was no tour. One that went wrong is a [`Verdict::Failed`].
pub async fn run<B, E>(
    options: Options,
    start: impl AsyncFnOnce(String) -> Result<B, E>,
    out: &mut impl Write,
) -> Result<Verdict, Problem>
where
    B: Bearward,
    E: fmt::Display,
{
    let stage = Stage::set().await.map_err(Problem::Stage)?;
    let mut screen = Screen::new(options, out);
    screen.say(summary::OPENING).map_err(Problem::Output)?;
    let bearward =
        start(stage.configuration()).await.map_err(|problem| Problem::Start(problem.to_string()))?;
    let told = tell(options, &stage, &bearward, &mut screen).await;
    bearward.stop().await;
    told
}

async fn tell(
    options: Options,
    stage: &Stage,
    bearward: &impl Bearward,
    screen: &mut Screen<'_, impl Write>,
) -> Result<Verdict, Problem> {
    let clock = Clock::system();
    let admin = bearward.address("admin").ok_or(Problem::Listener("admin"))?;
    let mut outlook = Outlook::new(admin);
    login::of_a_person(bearward, &mut outlook, screen).await?;
    outlook.ready(&clock, READY).await?;
    let doors = stage.doors(bearward)?;
    let load = Load::begin(&doors, &clock);
    let (began, mut events) = (clock.now(), Events::default());
    let elapsed = loop {
        tokio::time::sleep(TICK).await;
        let elapsed = clock.now().since(began);
        let score = Score::new(stage, &load, &outlook.status().await?, clock.now());
        let news = events.advance(stage, &score, elapsed);
        screen.show(&score, elapsed, &news).map_err(Problem::Output)?;
        if (elapsed >= LENGTH && events.over() && score.everyone_changed_tokens()) || elapsed >= LONGEST {
            break elapsed;
        }
    };
    load.end().await.map_err(|died| Problem::Application(died.to_string()))?;
    let score = Score::new(stage, &load, &outlook.status().await?, clock.now());
    let verdict = summary::verdict(&score, &events);
    screen.close(&score).map_err(Problem::Output)?;
    screen.say(&summary::closing(&score, &events, &verdict, elapsed)).map_err(Problem::Output)?;
    if options.keep {
        screen.say(&summary::to_try(stage, &doors, bearward)).map_err(Problem::Output)?;
        tokio::signal::ctrl_c().await.map_err(Problem::Output)?;
    }
    Ok(verdict)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(source) => write!(f, "the simulated providers could not be started: {source}"),
            Self::Start(problem) => {
                write!(f, "bearward did not start from the tour's configuration:\n{problem}")
            }
            Self::Listener(name) => write!(f, "bearward started without the listener {name}"),
            Self::Login(what) => write!(f, "nobody could log in at the simulated Apicbase: {what}"),
            Self::NotReady(said) => {
                write!(f, "bearward did not get its first tokens in time; /readyz says: {said}")
            }
            Self::Status(what) => write!(f, "bearward's /status cannot be read: {what}"),
            Self::Application(what) => write!(f, "the tour's application broke: {what}"),
            Self::Output(source) => write!(f, "the tour cannot be written out: {source}"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stage(source) | Self::Output(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
