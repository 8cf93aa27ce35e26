//! An HTTP/1.1 server on a loopback port that can also misbehave.
//!
//! Knows sockets and how to put raw octets in the place of a response. Does not know OAuth. Requests are read by hyper, and
//! each octet of them by [`strict`](super::strict) before: what a sender gets wrong is not forgiven here.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    answer::{Reply, Then},
    strict::{Tally, Watched},
};

/// A port on loopback that nobody listens on until a server is given it.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listening server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    /// Each open connection holds one more.
    open: Arc<()>,
    violations: Tally,
    _stop: DropGuard,
}

impl Server {
    /// Listens at `address` and answers each request with what `service` says, on the current runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start<S, F>(address: SocketAddr, service: S) -> io::Result<Self>
    where
        S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let connections = Arc::new(AtomicU64::new(0));
        let open = Arc::new(());
        let violations = Tally::default();
        let counts = (Arc::clone(&connections), Arc::downgrade(&open));
        tokio::spawn(accept(listener, Arc::new(service), stop.clone(), counts, violations.clone()));
        Ok(Self { address, connections, open, violations, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many of them are open.
    pub fn open_connections(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// The requests that were no valid HTTP/1.1, each of which ended its connection.
    pub fn violations(&self) -> &Tally {
        &self.violations
    }
}

/// While bearward is developed, an invalid request fails the test that sent it, whatever else the test looks at (r060).
impl Drop for Server {
    fn drop(&mut self) {
        let violations = self.violations.forgive();
        if cfg!(debug_assertions) && !std::thread::panicking() {
            assert!(violations.is_empty(), "{} received invalid requests: {violations:#?}", self.address);
        }
    }
}

async fn accept<S, F>(
    listener: TcpListener,
    service: Arc<S>,
    stop: CancellationToken,
    (connections, open): (Arc<AtomicU64>, Weak<()>),
    violations: Tally,
) where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others close theirs in a moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        connections.fetch_add(1, Ordering::Relaxed);
        // Small answers to a waiting peer; without it they may be held back for 40 ms. A failure costs only that.
        let _ = stream.set_nodelay(true);
        let stream = Watched::new(stream, violations.clone());
        let (service, stop, open) = (Arc::clone(&service), stop.clone(), open.upgrade());
        tokio::spawn(async move {
            let _open = open;
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(stream, service) => {}
            }
        });
    }
}

/// Serves one connection until it ends or a raw answer takes it over.
async fn serve<S, F>(stream: Watched<TcpStream>, service: Arc<S>)
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let (raw, mut raws) = mpsc::channel(1);
    let answers = service_fn(move |request| {
        let (reply, raw) = (service(request), raw.clone());
        async move {
            match reply.await {
                Reply::Response(response) => Ok::<_, Infallible>(response),
                Reply::Raw { octets, then } => {
                    // The connection's loop takes the socket away from hyper, so this never goes on.
                    let _ = raw.send((octets, then)).await;
                    std::future::pending().await
                }
            }
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
    let taken = tokio::select! {
        _ = &mut connection => None,
        raw = raws.recv() => raw,
    };
    if let Some((octets, then)) = taken {
        let stream = connection.into_parts().io.into_inner();
        // A peer that has hung up meanwhile is no fault of this side.
        let _ = take_over(stream, &octets, then).await;
    }
}

async fn take_over(mut stream: Watched<TcpStream>, octets: &[u8], then: Then) -> io::Result<()> {
    stream.write_all(octets).await?;
    match then {
        Then::Close => stream.shutdown().await,
        Then::Reset => socket2::SockRef::from(stream.stream()).set_linger(Some(Duration::ZERO)),
        Then::Hold => {
            stream.flush().await?;
            std::future::pending().await
        }
    }
}
