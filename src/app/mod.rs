//! The composition root: Config -> running parts; readiness, reload, shutdown.
//!
//! Knows every part and puts them together: a control thread (token sources, admin listener, reload) and one thread per
//! worker, each with its own runtime. Does not know what happens to a request or how a token is got.

mod admin;
mod control;
mod discovery;
mod plan;
mod sources;
mod worker;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    discovery::{Undiscovered, discover},
    sources::Sources,
};
use crate::{
    clock::Clock,
    config::{self, Config, Listen, Loaded},
    ingress::listen::BindError,
    login::Account,
    oauth::Identity,
    telemetry::Metrics,
    token::{Engine, Store, StoreError, login::Chain},
};

/// bearward, not yet running.
#[derive(Debug)]
pub struct App;

/// A running bearward. Dropping it stops at once; [`Running::stop`] lets requests finish.
#[derive(Debug)]
pub struct Running {
    orders: mpsc::UnboundedSender<Order>,
    addresses: Arc<Mutex<BTreeMap<String, Listen>>>,
    ended: watch::Receiver<()>,
}

/// What a running bearward may be told.
#[derive(Debug)]
enum Order {
    /// Read the configuration again.
    Reload,
    /// Finish what runs and stop, then say so.
    Stop(oneshot::Sender<()>),
}

/// Why bearward did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// The store cannot be opened.
    Store(StoreError),
    /// TLS settings cannot work, in words for people.
    Tls(String),
    /// The machine gave no thread or runtime.
    Machine(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Tls(error) => f.write_str(error),
            Self::Machine(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl App {
    /// Starts everything that `loaded` describes, on threads of its own, and returns once every socket listens.
    ///
    /// # Errors
    /// An address is in use, the store cannot be opened, or the machine gave no thread. Nothing runs then.
    pub fn start(loaded: Loaded) -> Result<Running, StartError> {
        Self::start_with(loaded, true)
    }

    /// The same for a configuration that is not what its file says: a change of that is nothing to it.
    ///
    /// # Errors
    /// As there.
    pub fn start_unwatched(loaded: Loaded) -> Result<Running, StartError> {
        Self::start_with(loaded, false)
    }

    fn start_with(loaded: Loaded, watched: bool) -> Result<Running, StartError> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (alive, ended) = watch::channel(());
        let addresses = Arc::new(Mutex::new(BTreeMap::new()));
        let (started, outcome) = std::sync::mpsc::sync_channel(1);
        let shown = addresses.clone();
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                control::run(loaded, watched, inbox, &shown, started);
                drop(alive);
            })
            .map_err(StartError::Machine)?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Running { orders, addresses, ended }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Machine(std::io::Error::other("the control thread ended"))),
        }
    }
}

impl Running {
    /// Where an upstream's own port, `gateway`, `proxy` or `admin` listens over TCP.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        match self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            Some(Listen::Tcp(address)) => Some(*address),
            _ => None,
        }
    }

    /// Reads the configuration again; a bad one is reported in the log and changes nothing.
    pub fn reload(&self) {
        // Where nobody receives any more, bearward is stopping.
        let _ = self.orders.send(Order::Reload);
    }

    /// Returns when bearward has ended by itself.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Takes no new connection, finishes the requests under way and the refreshes, and stops.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).is_ok() {
            // An error says that the control thread is gone, which is what was wanted.
            let _ = stopped.await;
        }
    }
}

/// The sources of a configuration without a proxy around them, for `bearward token`. Inside a runtime.
///
/// # Errors
/// The store cannot be opened.
pub fn tokens_alone(config: &Config, name: &str) -> Result<Sources, StartError> {
    let clock = Clock::system();
    let store = open_store(&config.store, &clock).map_err(StartError::Store)?;
    let engine = Engine::new(clock, store, tokio::runtime::Handle::current());
    let mut wanted = BTreeMap::new();
    let mut next = Some(name);
    while let Some((name, token)) = next.and_then(|name| config.tokens.get_key_value(name)) {
        wanted.insert(name.clone(), token.clone());
        next = token.authorize_with.as_deref();
    }
    Ok(Sources::build(&wanted, &engine, &Metrics::default(), None))
}

/// The account behind `[tokens.NAME]`, for `bearward login` and `logout`; `None` where there is no such token.
///
/// # Errors
/// The store cannot be opened.
pub fn account(config: &Config, name: &str) -> Result<Option<Account>, StartError> {
    if !config.tokens.contains_key(name) {
        return Ok(None);
    }
    let clock = Clock::system();
    let store = open_store(&config.store, &clock).map_err(StartError::Store)?;
    Ok(account_in(&store, &clock, config, name))
}

/// The same on a store that is open.
fn account_in(store: &Store, clock: &Clock, config: &Config, name: &str) -> Option<Account> {
    let identity = identity(config, name)?;
    let (name, token) = config.tokens.get_key_value(name)?;
    let default_lifetime = token.policy.default_lifetime;
    let chain = Chain { name: name.to_string(), identity, default_lifetime, first: None };
    Some(Account { grant: token.grant.clone(), chain, store: store.clone(), clock: clock.clone() })
}

/// What identifies the token `name`, its parents included. The configuration holds no cycle.
fn identity(config: &Config, name: &str) -> Option<Identity> {
    let token = config.tokens.get(name)?;
    let own = token.grant.identity(None);
    let parent = token.authorize_with.as_deref().and_then(|parent| identity(config, parent));
    Some(match parent {
        Some(parent) => own.under(&parent),
        None => own,
    })
}

fn open_store(store: &config::Store, clock: &Clock) -> Result<Store, StoreError> {
    match store {
        config::Store::File(folder) => Store::folder(folder, clock.now()),
        config::Store::Memory => Ok(Store::memory()),
    }
}
