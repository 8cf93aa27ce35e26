//! A worker: one thread, one runtime, its own sockets, routes and connection pools.
//!
//! Nothing here is shared with another worker but counters and token sources. Each request sees the doors as they were
//! when its head was read, so that a reload changes nothing for it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    io,
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinHandle, spawn_local},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::plan::{Behind, Plan, PlannedDoor, PlannedOthers, PlannedProxy, PlannedUpstream, Socket};
use crate::{
    ingress::{
        accept::{Terms, accept_each},
        admission::Admission,
        connection::Limits,
        door::Door,
        entrance::Entrance,
        forward::Forward,
        listen::{Accepted, Listening, Unstarted},
        protocol, redirected,
        users::Users,
    },
    proxy::{self, Entry, Origins, Others, Place, Route, RouteTable, Row, Settings},
};

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Run this from now on; the sockets are those that were not there before.
    Apply { plan: Arc<Plan>, sockets: HashMap<Socket, Unstarted>, applied: oneshot::Sender<()> },
    /// Take no new connection, finish what runs, end.
    Drain { limit: Duration },
}

/// What is shared by all workers, and a worker's own ring of exchanges.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// One permit per open connection of an application.
    pub(super) connections: Arc<Semaphore>,
    /// The clock, what replays may hold, and this worker's last exchanges.
    pub(super) exchanges: proxy::Worker,
}

/// Starts a worker's thread.
///
/// # Errors
/// The machine gave no thread.
pub(super) fn spawn(
    number: usize,
    shared: Shared,
    commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{number}")).spawn(move || match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime.block_on(Worker::new(shared).run(commands)),
        Err(error) => tracing::error!(%error, "a worker could not start its runtime"),
    })
}

struct Worker {
    shared: Shared,
    doors: HashMap<Socket, OpenDoor>,
    routes: BTreeMap<Arc<str>, (Arc<PlannedUpstream>, Rc<Route>)>,
    connections: TaskTracker,
}

/// A listener that accepts, and what its requests find.
struct OpenDoor {
    entrance: Rc<Entrance>,
    tls: Rc<RefCell<Option<Arc<ServerConfig>>>>,
    users: Rc<RefCell<Users>>,
    accepting: JoinHandle<()>,
}

impl Worker {
    fn new(shared: Shared) -> Self {
        Self { shared, doors: HashMap::new(), routes: BTreeMap::new(), connections: TaskTracker::new() }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Apply { plan, sockets, applied } => {
                    self.apply(&plan, sockets).await;
                    // Whoever waited for it may be gone.
                    let _ = applied.send(());
                }
                Command::Drain { limit } => return self.drain(limit).await,
            }
        }
    }

    async fn apply(&mut self, plan: &Plan, mut sockets: HashMap<Socket, Unstarted>) {
        self.make_routes(plan);
        let mut exchanges = self.shared.exchanges.clone();
        exchanges.seen = exchanges.seen.filter(|_| plan.watched);
        let mut doors = HashMap::new();
        for door in &plan.doors {
            let inside = match &door.behind {
                Behind::Proxy(proxy) => {
                    let pages = Admission::clone(&door.admission);
                    Door::forward(self.forward(proxy, pages), exchanges.clone())
                }
                Behind::Transparent(proxy) => {
                    let pages = Admission::clone(&door.admission);
                    Door::redirected(self.forward(proxy, pages), exchanges.clone())
                }
                Behind::Own(name) => match self.routes.get(name) {
                    Some((_, route)) => {
                        let entry = Entry::One(route.clone());
                        Door::new(door.admission.clone(), entry, exchanges.clone())
                    }
                    None => continue,
                },
                Behind::Gateway => Door::new(door.admission.clone(), self.gateway(), exchanges.clone()),
            };
            let inside = Rc::new(inside);
            if let Some(open) = self.doors.remove(&door.socket) {
                open.entrance.replace(inside, limits(plan));
                open.tls.replace(handshakes(door));
                open.users.replace(door.users.clone());
                doors.insert(door.socket.clone(), open);
            } else if let Some(socket) = sockets.remove(&door.socket) {
                match socket.start() {
                    Ok(listening) => {
                        doors.insert(door.socket.clone(), self.open(listening, inside, door, plan));
                    }
                    Err(error) => {
                        tracing::error!(%error, listen = %door.socket.address, "cannot take the listener")
                    }
                }
            }
        }
        for (_, gone) in std::mem::replace(&mut self.doors, doors) {
            gone.close().await;
        }
    }

    /// A route per upstream; one whose plan is the same stays, and its connections with it.
    fn make_routes(&mut self, plan: &Plan) {
        let mut before = std::mem::take(&mut self.routes);
        for (name, upstream) in &plan.upstreams {
            let kept = before.remove(name).filter(|(planned, _)| Arc::ptr_eq(planned, upstream));
            let route = match kept {
                Some((_, route)) => route,
                None => match new_route(upstream) {
                    Ok(route) => route,
                    Err(error) => {
                        tracing::error!(%error, upstream = &**name, "its host cannot be a Host field");
                        continue;
                    }
                },
            };
            self.routes.insert(name.clone(), (upstream.clone(), route));
        }
    }

    fn gateway(&self) -> Entry {
        let rows = self.routes.values().flat_map(|(upstream, route)| {
            let row = |host, path| Row { host, path, route: route.clone() };
            let by_path = upstream.config.path.clone().map(|path| row(None, Some(path)));
            let by_host = upstream.config.host.clone().map(|host| row(Some(host), None));
            by_path.into_iter().chain(by_host)
        });
        Entry::Table(Rc::new(RouteTable::new(rows.collect())))
    }

    fn forward(&self, proxy: &PlannedProxy, pages: Admission) -> Forward {
        let places = self.routes.values().filter_map(|(upstream, route)| {
            let settings = Arc::new(Settings::clone(&upstream.settings).bare());
            let bare = Route::new(settings, upstream.endpoint.clone(), None, proxy.metrics.clone()).ok()?;
            Some(Place { route: route.clone(), bare, pages: upstream.config.allow_origins.clone() })
        });
        let others = proxy.others.as_ref().map(|others| {
            let PlannedOthers { settings, elsewhere, connect_timeout } = others;
            Others::new(settings.clone(), *connect_timeout, elsewhere.clone(), proxy.metrics.clone())
        });
        Forward::new(Origins::new(places, others), pages, proxy.authority.clone(), proxy.tunnel_idle_timeout)
    }

    fn open(&self, listening: Listening, inside: Rc<Door>, door: &PlannedDoor, plan: &Plan) -> OpenDoor {
        let entrance = Entrance::new(inside, limits(plan), CancellationToken::new());
        let tls = Rc::new(RefCell::new(handshakes(door)));
        let users = Rc::new(RefCell::new(door.users.clone()));
        let terms = Terms {
            limits: entrance.current_limits(),
            tls: tls.clone(),
            users: users.clone(),
            permits: self.shared.connections.clone(),
            connections: self.connections.clone(),
            drain: entrance.drain().clone(),
        };
        let (within, handshakes) = (entrance.clone(), tls.clone());
        let accepting = spawn_local(accept_each(listening, terms, move |accepted| {
            let (within, tls) = (within.clone(), handshakes.borrow().clone());
            async move { served(accepted, tls, within).await }
        }));
        OpenDoor { entrance, tls, users, accepting }
    }

    async fn drain(mut self, limit: Duration) {
        for (_, door) in std::mem::take(&mut self.doors) {
            door.close().await;
        }
        self.connections.close();
        if tokio::time::timeout(limit, self.connections.wait()).await.is_err() {
            let left = self.connections.len();
            tracing::warn!(left, "the time for finishing is over: these connections are cut");
        }
    }
}

/// Serves one connection, as the door has it that is there when it comes.
async fn served(accepted: Accepted, tls: Option<Arc<ServerConfig>>, within: Rc<Entrance>) {
    if within.door().takes_redirected() {
        // Boxed, because every connection would be as large.
        return Box::pin(redirected::serve(accepted, within)).await;
    }
    let answer = |request, caller| within.clone().answer(request, caller);
    protocol::serve(accepted, tls, &within.limits(), answer, within.drain().clone()).await;
}

impl OpenDoor {
    /// Stops accepting, and returns when the socket is closed; its connections end by themselves.
    async fn close(self) {
        self.entrance.drain().cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "a listener ended by a panic");
        }
    }
}

fn handshakes(door: &PlannedDoor) -> Option<Arc<ServerConfig>> {
    door.tls.as_ref().map(|tls| tls.config.clone())
}

fn limits(plan: &Plan) -> Rc<Limits> {
    Rc::new(Limits {
        head_size: plan.limits.head_size,
        head_fields: plan.limits.head_fields,
        head_timeout: plan.limits.head_timeout,
        idle_timeout: plan.limits.idle_timeout,
        http2: plan.limits.http2.clone(),
        body_timeout: plan.limits.body_timeout,
        refuse_underscores: plan.limits.refuse_underscores,
    })
}

fn new_route(upstream: &PlannedUpstream) -> Result<Rc<Route>, http::header::InvalidHeaderValue> {
    let supply = upstream.supply.as_deref().cloned();
    Route::new(upstream.settings.clone(), upstream.endpoint.clone(), supply, upstream.metrics.clone())
}
