//! The control thread: token sources and the admin listener run here; configurations are applied from here.
//!
//! Knows the order in which things change: sockets are bound first, so that a configuration that cannot run changes
//! nothing; sources that did not change are kept; workers take the new routes between two requests.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, LocalOptions},
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    Order, Sources, StartError, account_in, admin, open_store,
    plan::{Plan, Socket},
    worker::{self, Command, Shared},
};
use crate::{
    admin::Admin,
    clock::Clock,
    config::{self, Config, Listen, Loaded},
    ingress::listen::{self, Bound, Unstarted},
    proxy::{self, Budget, Room, Via},
    telemetry::{Exchanges, Metrics},
    token::{Engine, Store},
};

/// How often the configuration file is read to see whether it changed. A ConfigMap's swap shows inotify only deletes.
const LOOK_AT_FILE_EVERY: Duration = Duration::from_secs(2);

/// Where listeners ended up, by the names of the configuration.
pub(super) type Addresses = Arc<Mutex<BTreeMap<String, Listen>>>;

/// The control thread's whole life.
pub(super) fn run(
    loaded: Loaded,
    watched: bool,
    inbox: mpsc::UnboundedReceiver<Order>,
    addresses: &Addresses,
    started: SyncSender<Result<(), StartError>>,
) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever started us is gone if nobody listens.
            let _ = started.send(Err(StartError::Machine(error)));
            return;
        }
    };
    runtime.block_on(async {
        match Control::start(loaded, addresses.clone()).await {
            Ok(control) => {
                let _ = started.send(Ok(()));
                control.run(inbox, watched).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}

struct Control {
    path: PathBuf,
    /// The certificates and keys that are part of the configuration.
    files: Vec<PathBuf>,
    /// Of the file and of those others, as they were last read.
    digests: Digests,
    config: Config,
    sources: Sources,
    plan: Arc<Plan>,
    engine: Engine,
    clock: Clock,
    store: Store,
    metrics: Metrics,
    /// One name for all that this process passes on.
    via: Via,
    workers: Vec<Worker>,
    page: Rc<Admin>,
    admin: Option<OpenAdmin>,
    bound: HashMap<Socket, Listen>,
    addresses: Addresses,
}

struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

struct OpenAdmin {
    /// As the configuration says it.
    listen: Listen,
    /// As it is, the port filled in.
    address: Listen,
    admitted: admin::Admitted,
    tls: admin::Tls,
    users: admin::AdmittedUsers,
    drain: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
}

/// Sockets bound for a configuration that is not applied yet.
#[derive(Default)]
struct NewSockets {
    doors: Vec<(String, Socket, Bound)>,
    admin: Option<Bound>,
}

impl NewSockets {
    /// Where a person can log in under `config`: a page that a browser of this machine reaches, and no other.
    fn login_page(&self, config: &Config, open: Option<&OpenAdmin>) -> Option<String> {
        let scheme = if config.admin.as_ref()?.tls.is_some() { "https" } else { "http" };
        let new = self.admin.as_ref().map(|bound| &bound.address);
        match new.or_else(|| Some(&open?.address))? {
            Listen::Tcp(address) if address.ip().is_loopback() => Some(format!("{scheme}://{address}/")),
            _ => None,
        }
    }
}

impl Control {
    async fn start(loaded: Loaded, addresses: Addresses) -> Result<Self, StartError> {
        let Loaded { config, path, files, digest, .. } = loaded;
        let digests = Digests { file: digest, others: digest_of(&files).await.unwrap_or_default() };
        let clock = Clock::system();
        let store = open_store(&config.store, &clock).map_err(StartError::Store)?;
        let engine = Engine::new(clock.clone(), store.clone(), Handle::current());
        let metrics = Metrics::default();
        let exchanges = Exchanges::new(config.workers.get());
        let page =
            Admin::new(metrics.clone(), exchanges.clone(), clock.clone()).map_err(StartError::Machine)?;
        let sockets = bind(&config, &HashMap::new(), None, config.workers.get())?;
        engine.login_page(sockets.login_page(&config, None));
        let sources = Sources::build(&config.tokens, &engine, &metrics, None);
        let via = Via::new();
        let plan = Arc::new(
            Plan::new(&config, &sources, &metrics, &via, None)
                .map_err(|error| StartError::Tls(error.to_string()))?,
        );
        let workers = spawn_workers(&config, &exchanges, &clock)?;
        let mut control = Self {
            path,
            files,
            digests,
            config,
            sources,
            plan,
            engine,
            clock,
            store,
            metrics,
            via,
            workers,
            page,
            admin: None,
            bound: HashMap::new(),
            addresses,
        };
        if !control.apply(sockets).await {
            return Err(StartError::Machine(io::Error::other("a worker did not start")));
        }
        Ok(control)
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>, watched: bool) {
        let mut look = tokio::time::interval(LOOK_AT_FILE_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Reload) => self.reload().await,
                    Some(Order::Stop(done)) => {
                        self.stop().await;
                        // Whoever asked may not wait for it.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                _ = look.tick() => {
                    if self.workers.iter().any(|worker| worker.thread.is_finished()) {
                        // Whoever started bearward can start it anew; half of one would only look alive.
                        tracing::error!("a worker ended by itself, and bearward with it");
                        return;
                    }
                    if watched && self.file_changed().await {
                        self.reload().await;
                    }
                }
            }
        }
    }

    /// Whether a file's content is another one than when it was last read. A file that cannot be read is not a change:
    /// it may be in the middle of being replaced.
    async fn file_changed(&self) -> bool {
        Digests::of(&self.path, &self.files).await.is_ok_and(|digests| digests != self.digests)
    }

    /// Reads the configuration and applies it, or says what is wrong with it, in the log and on the page, and changes
    /// nothing.
    async fn reload(&mut self) {
        let refused = self.read_anew().await.err();
        if let Some(problem) = &refused {
            tracing::error!("the configuration was not reloaded, the old one stays:\n{problem}");
        }
        self.page.not_reloaded(refused);
    }

    /// # Errors
    /// The new configuration cannot be run, in words for people.
    async fn read_anew(&mut self) -> Result<(), String> {
        if let Ok(digests) = Digests::of(&self.path, &self.files).await {
            // Also where it turns out bad: it is reported once, not every two seconds.
            self.digests = digests;
        }
        let loaded = Config::load(Some(&self.path)).map_err(|problems| problems.to_string())?;
        if loaded.digest == config::digest(b"") {
            // Many editors empty a file before they write it.
            return Err(format!("the configuration file {} is empty", self.path.display()));
        }
        let config = loaded.config;
        let sockets = bind(&config, &self.bound, self.admin.as_ref(), self.workers.len())
            .map_err(|error| error.to_string())?;
        if config.workers != self.config.workers
            || config.store != self.config.store
            || config.log != self.config.log
            || config.limits.connections != self.config.limits.connections
            || config.limits.requests != self.config.limits.requests
            || config.limits.replay_memory != self.config.limits.replay_memory
        {
            tracing::warn!(
                "workers, [store], [log], limits.connections, limits.requests and limits.replay_memory are read at start \
                 only: restart for them to take effect"
            );
        }
        // Of what was read, not of what is there now: a change that came in between is still to be seen.
        self.digests.file = loaded.digest;
        if self.files != loaded.files {
            self.digests.others = digest_of(&loaded.files).await.unwrap_or_default();
            self.files = loaded.files;
        }
        let sources = Sources::build(&config.tokens, &self.engine, &self.metrics, Some(&self.sources));
        let plan = Plan::new(&config, &sources, &self.metrics, &self.via, Some(&self.plan));
        self.plan = Arc::new(plan.map_err(|error| error.to_string())?);
        self.engine.login_page(sockets.login_page(&config, self.admin.as_ref()));
        self.sources = sources;
        self.config = config;
        if self.apply(sockets).await {
            tracing::info!(file = %self.path.display(), "the configuration was reloaded");
        }
        Ok(())
    }

    /// Hands the plan to every worker and to the admin listener, and returns when all have it; false where a worker is
    /// gone.
    async fn apply(&mut self, sockets: NewSockets) -> bool {
        let mut shares: Vec<HashMap<Socket, Unstarted>> =
            self.workers.iter().map(|_| HashMap::new()).collect();
        let mut bound = HashMap::new();
        for door in &self.plan.doors {
            if let Some(address) = self.bound.get(&door.socket) {
                bound.insert(door.socket.clone(), address.clone());
            }
        }
        let NewSockets { doors, admin: new_admin } = sockets;
        for (name, socket, new) in doors {
            tracing::info!(name, address = %new.address, "listening");
            bound.insert(socket.clone(), new.address);
            for (share, unstarted) in shares.iter_mut().zip(new.sockets) {
                share.insert(socket.clone(), unstarted);
            }
        }
        self.bound = bound;
        let mut waits = Vec::new();
        for (worker, sockets) in self.workers.iter().zip(shares) {
            let (applied, wait) = oneshot::channel();
            let command = Command::Apply { plan: self.plan.clone(), sockets, applied };
            // A worker that is gone takes its end of the wait with it.
            let _ = worker.commands.send(command);
            waits.push(wait);
        }
        let mut all = true;
        for wait in waits {
            all &= wait.await.is_ok();
        }
        self.apply_admin(new_admin).await;
        let addresses = self.named_addresses();
        let account = |name: &str| account_in(&self.store, &self.clock, &self.config, name);
        self.page.show(self.plan.seen(&self.config, &self.sources, &addresses, account));
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        all
    }
}

impl OpenAdmin {
    /// Returns when the socket is closed: whoever starts again at once finds the address free.
    async fn close(self) {
        self.drain.cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the admin listener ended by a panic");
        }
    }
}

impl Control {
    async fn apply_admin(&mut self, new: Option<Bound>) {
        let wanted = self.config.admin.as_ref();
        let planned_tls = self.plan.admin_tls.clone();
        if let (Some(open), Some(listener)) = (&mut self.admin, wanted)
            && open.listen == listener.address
        {
            open.admitted.replace(admin::admission(listener));
            open.tls.replace(planned_tls.map(|tls| tls.config));
            open.users.replace(listener.allow_users.clone());
            return;
        }
        if let Some(old) = self.admin.take() {
            old.close().await;
        }
        let (Some(listener), Some(bound)) = (wanted, new) else { return };
        let Some(socket) = bound.sockets.into_iter().next() else { return };
        tracing::info!(name = "admin", address = %bound.address, "listening");
        let drain = CancellationToken::new();
        let admitted: admin::Admitted = Rc::new(RefCell::new(admin::admission(listener)));
        let tls: admin::Tls = Rc::new(RefCell::new(planned_tls.map(|tls| tls.config)));
        let (listen, address) = (listener.address.clone(), bound.address);
        let users: admin::AdmittedUsers = Rc::new(RefCell::new(listener.allow_users.clone()));
        let inside = (admitted.clone(), tls.clone(), users.clone());
        match admin::serve(socket, &address, inside, self.page.clone(), drain.clone()) {
            Ok(accepting) => {
                self.admin = Some(OpenAdmin { listen, address, admitted, tls, users, drain, accepting });
            }
            Err(error) => tracing::error!(%error, "cannot take the admin listener"),
        }
    }

    fn named_addresses(&self) -> BTreeMap<String, Listen> {
        let doors = self.plan.doors.iter();
        let mut named: BTreeMap<String, Listen> = doors
            .filter_map(|door| Some((door.name.clone(), self.bound.get(&door.socket)?.clone())))
            .collect();
        if let Some(admin) = &self.admin {
            named.insert("admin".to_owned(), admin.address.clone());
        }
        named
    }

    /// Requests first, since they may still need a token; then the refreshes under way; the admin listener sees it all.
    async fn stop(mut self) {
        let limit = self.config.limits.drain_timeout;
        self.page.stop();
        for worker in &self.workers {
            // A worker that is gone has nothing left to finish.
            let _ = worker.commands.send(Command::Drain { limit });
        }
        let threads: Vec<JoinHandle<()>> = self.workers.drain(..).map(|worker| worker.thread).collect();
        let ended =
            tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
        if !ended.await.unwrap_or(false) {
            tracing::error!("a worker ended by a panic");
        }
        self.sources.stop().await;
        self.page.logins_ended().await;
        if let Some(admin) = self.admin.take() {
            admin.close().await;
        }
        tracing::info!("stopped");
    }
}

/// What a configuration was made of, as hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digests {
    file: [u8; 32],
    others: [u8; 32],
}

impl Digests {
    async fn of(path: &Path, others: &[PathBuf]) -> io::Result<Self> {
        let file = config::digest(&tokio::fs::read(path).await?);
        Ok(Self { file, others: digest_of(others).await? })
    }
}

async fn digest_of(files: &[PathBuf]) -> io::Result<[u8; 32]> {
    let mut content = Vec::new();
    for file in files {
        content.extend(tokio::fs::read(file).await?);
    }
    Ok(config::digest(&content))
}

/// Binds what `config` wants and is not there yet. Nothing stays bound where one address is not to be had.
fn bind(
    config: &Config,
    bound: &HashMap<Socket, Listen>,
    admin: Option<&OpenAdmin>,
    workers: usize,
) -> Result<NewSockets, StartError> {
    let mut new = NewSockets::default();
    for (name, listener) in super::plan::listeners(config) {
        let socket = Socket::new(name, &listener.address);
        if !bound.contains_key(&socket) {
            let sockets = listen::bind(&listener.address, workers).map_err(StartError::Bind)?;
            new.doors.push((name.to_owned(), socket, sockets));
        }
    }
    if let Some(listener) = &config.admin
        && admin.is_none_or(|open| open.listen != listener.address)
    {
        new.admin = Some(listen::bind(&listener.address, 1).map_err(StartError::Bind)?);
    }
    for (_, listener) in super::plan::listeners(config) {
        listen::open_to(&listener.address, &listener.allow_users).map_err(StartError::Bind)?;
    }
    if let Some(listener) = &config.admin {
        listen::open_to(&listener.address, &listener.allow_users).map_err(StartError::Bind)?;
    }
    Ok(new)
}

fn spawn_workers(config: &Config, exchanges: &Exchanges, clock: &Clock) -> Result<Vec<Worker>, StartError> {
    let connections = Arc::new(Semaphore::new(config.limits.connections));
    let budget = Budget::new(config.limits.replay_memory);
    let room = Room::new(config.limits.requests);
    let spawn = |number| {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (clock, budget, seen) = (clock.clone(), budget.clone(), exchanges.ring(number));
        let exchanges = proxy::Worker { clock, budget, room: room.clone(), seen };
        let shared = Shared { connections: connections.clone(), exchanges };
        let thread = worker::spawn(number, shared, inbox).map_err(StartError::Machine)?;
        Ok(Worker { commands, thread })
    };
    (0..config.workers.get()).map(spawn).collect()
}
