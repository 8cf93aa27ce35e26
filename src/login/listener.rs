//! The loopback listener that a browser comes back to (RFC 8252 sections 7.3 and 8.3).
//!
//! Knows sockets on loopback, and which requests are a browser's return at all: a GET of the configured path, for the host
//! that the redirect URI names. Does not know what they bring.

use std::{
    convert::Infallible,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header::HOST};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::page::Page;
use crate::oauth::redirect_uri::RedirectUri;

/// A browser opens a few connections, and somebody else may hold some.
const CONNECTIONS: usize = 32;
/// A code may be long (RFC 6749 gives no limit); no head of a browser is longer than this.
const HEAD_SIZE: usize = 64 << 10;
const HEAD_FIELDS: usize = 100;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last page may take to go out.
const LAST_PAGE: Duration = Duration::from_secs(2);
/// How often a free port is looked for that is free on both of `localhost`'s addresses.
const TRIES: usize = 16;

/// A bound listener; connections wait until it is opened.
#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    here: Here,
    redirect_uri: String,
}

/// What a request has to name.
#[derive(Clone, Debug)]
struct Here {
    /// Host and port, as the redirect URI has them.
    authorities: Vec<String>,
    path: String,
}

/// An open listener. Dropped, its sockets and connections are closed.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) visits: mpsc::Receiver<Visit>,
    accepting: JoinSet<()>,
    stop: CancellationToken,
}

/// A browser's return, which waits for its page.
pub(super) struct Visit {
    pub(super) query: String,
    pub(super) page: oneshot::Sender<Page>,
}

impl fmt::Debug for Visit {
    /// Without the query, which holds the code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").finish_non_exhaustive()
    }
}

impl Listener {
    /// Listens where `redirect_uri`, a loopback one, says.
    ///
    /// # Errors
    /// Its port is in use or not ours to take, in words.
    pub(super) async fn bind(redirect_uri: &RedirectUri) -> Result<Self, String> {
        let bound = match loopback(redirect_uri.host()) {
            Some(address) => one(address, redirect_uri.port()).await,
            None => both(redirect_uri.port()).await,
        };
        let (sockets, port) = bound.map_err(|problem| refused(redirect_uri, &problem))?;
        let host = redirect_uri.host();
        let mut authorities = vec![format!("{host}:{port}")];
        if port == 80 {
            authorities.push(host.to_owned());
        }
        // A port that was written stays as it was written: servers compare letter by letter.
        let sent = match redirect_uri.port() {
            0 => redirect_uri.with_port(port),
            _ => redirect_uri.as_str().to_owned(),
        };
        let here = Here { authorities, path: redirect_uri.path().to_owned() };
        Ok(Self { sockets, here, redirect_uri: sent })
    }

    /// The redirect URI with its port.
    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Takes connections.
    pub(super) fn open(self) -> Open {
        let (inbox, visits) = mpsc::channel(CONNECTIONS);
        let stop = CancellationToken::new();
        let (here, permits) = (Arc::new(self.here), Arc::new(Semaphore::new(CONNECTIONS)));
        let mut accepting = JoinSet::new();
        for socket in self.sockets {
            let door = Door { here: here.clone(), inbox: inbox.clone() };
            accepting.spawn(accept(socket, door, permits.clone(), stop.clone()));
        }
        Open { visits, accepting, stop }
    }
}

impl Open {
    /// Closes the sockets at once, and the connections when their pages have gone out.
    pub(super) async fn close(self) {
        let Self { visits, mut accepting, stop } = self;
        // Who still waits for a page is told that the login was used.
        drop(visits);
        stop.cancel();
        let out = async { while accepting.join_next().await.is_some() {} };
        // A browser that does not read its page has had its time.
        let _ = tokio::time::timeout(LAST_PAGE, out).await;
    }
}

/// The literal that `host` is; `None` for `localhost`.
fn loopback(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

async fn one(address: IpAddr, port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let socket = TcpListener::bind((address, port)).await?;
    let port = socket.local_addr()?.port();
    Ok((vec![socket], port))
}

/// `localhost` is two addresses, and a browser may try either first: whoever had the same port on the other one would be
/// brought the code (RFC 8252 section 8.3).
async fn both(wanted: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut tries = if wanted == 0 { TRIES } else { 1 };
    loop {
        let (mut sockets, port) = one(Ipv4Addr::LOCALHOST.into(), wanted).await?;
        tries -= 1;
        match one(Ipv6Addr::LOCALHOST.into(), port).await {
            Ok((six, _)) => {
                sockets.extend(six);
                return Ok((sockets, port));
            }
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse && tries == 0 => return Err(taken),
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {}
            // This machine has no IPv6; then nobody else is there either.
            Err(_) => return Ok((sockets, port)),
        }
    }
}

fn refused(redirect_uri: &RedirectUri, problem: &io::Error) -> String {
    let why = match problem.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has the port (another login, perhaps): end it, or register and configure a redirect_uri with \
             another port, with port 0 where the server allows any"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not listen on that port: use one above 1023".to_owned()
        }
        _ => problem.to_string(),
    };
    format!("cannot listen for the browser at {}: {why}", redirect_uri.as_str())
}

/// What a connection's requests come through.
#[derive(Clone)]
struct Door {
    here: Arc<Here>,
    inbox: mpsc::Sender<Visit>,
}

async fn accept(socket: TcpListener, door: Door, permits: Arc<Semaphore>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        // No semaphore of ours is ever closed.
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others close theirs in a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (door, stop) = (door.clone(), stop.clone());
        connections.spawn(async move {
            serve(stream, door, stop).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, door: Door, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(&request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .keep_alive(false)
            // A browser that is closed at once has brought its code all the same.
            .half_close(true)
            .max_headers(HEAD_FIELDS)
            .max_buf_size(HEAD_SIZE)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // A browser that was closed is nobody to tell anything.
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

impl Door {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let page = match self.here.refuses(request) {
            Some(page) => page,
            None => {
                let (page, answered) = oneshot::channel();
                let query = request.uri().query().unwrap_or_default().to_owned();
                // Where nobody listens any more, the login is over.
                let _ = self.inbox.send(Visit { query, page }).await;
                answered.await.unwrap_or_else(|_| Page::used())
            }
        };
        page.into_response()
    }
}

impl Here {
    fn refuses<B>(&self, request: &Request<B>) -> Option<Page> {
        if !self.is_named_by(request) {
            Some(Page::wrong_host())
        } else if request.uri().path() != self.path {
            Some(Page::elsewhere())
        } else if request.method() != Method::GET {
            Some(Page::not_a_visit())
        } else {
            None
        }
    }

    /// A page of another site whose name was bound to 127.0.0.1 meanwhile names itself (DNS rebinding).
    fn is_named_by<B>(&self, request: &Request<B>) -> bool {
        let is_ours = |name: &str| self.authorities.iter().any(|ours| ours.eq_ignore_ascii_case(name));
        let mut hosts = request.headers().get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let absolute = request.uri().authority().is_none_or(|authority| is_ours(authority.as_str()));
        absolute && host.to_str().is_ok_and(is_ours)
    }
}
