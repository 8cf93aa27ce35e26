//! The accept loop of one listener on one worker.
//!
//! Knows when to stop accepting: out of permits, out of descriptors, drained. Does not know what answers a request.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use rustls::ServerConfig;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::coop::unconstrained,
};
use tokio_util::task::TaskTracker;

use super::{
    caller::Caller,
    connection::Limits,
    drain::Drain,
    listen::{Accepted, BACKLOG, Listening},
    protocol,
    users::{Stranger, Users},
};
use crate::wire::{Answer, Content, Incoming, Request};

/// How long accepting rests where the machine is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// What a listener needs besides its socket.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What bounds each connection from its beginning on; replaced at a reload.
    pub limits: Rc<RefCell<Rc<Limits>>>,
    /// With what TLS is spoken; without where there is none. Replaced at a reload.
    pub tls: Rc<RefCell<Option<Arc<ServerConfig>>>>,
    /// Who may connect to a Unix socket; replaced at a reload.
    pub users: Rc<RefCell<Users>>,
    /// One permit per open connection. A listener takes one connection too many, which waits; the others wait in the
    /// queue of the system. What stands there when it drains is served without.
    pub permits: Arc<Semaphore>,
    /// Where connections are tracked, so that somebody can wait for their end.
    pub connections: TaskTracker,
    /// Ends the listener, and each connection at its next rest.
    pub drain: Drain,
}

/// Answers the requests of every connection. See [`accept_each`].
pub async fn accept<S, F, B>(listening: Listening, terms: Terms, service: S)
where
    S: Fn(Request<Incoming>, Rc<Caller>) -> F + Clone + 'static,
    F: Future<Output = Answer<B>> + 'static,
    B: Content + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (limits, tls, drain) = (terms.limits.clone(), terms.tls.clone(), terms.drain.clone());
    let serve = move |accepted| {
        let (service, limits, drain) = (service.clone(), limits.borrow().clone(), drain.clone());
        let tls = tls.borrow().clone();
        async move { protocol::serve(accepted, tls, &limits, service, drain).await }
    };
    accept_each(listening, terms, serve).await;
}

/// Accepts until drained, and takes what already stands in the queue then: whoever is connected is served. Runs inside a
/// local runtime, on which the connections run too.
pub async fn accept_each<C, F>(listening: Listening, terms: Terms, connection: C)
where
    C: Fn(Accepted) -> F,
    F: Future<Output = ()> + 'static,
{
    let Terms { users, permits, connections, drain, .. } = terms;
    let admits = admission(users);
    let serve = |accepted, permit: Option<OwnedSemaphorePermit>| {
        // Not in an async block, which would have room for it twice: where it is before it is polled, and where it is then.
        connections.spawn_local(connection(accepted).map(|()| drop(permit)));
    };
    let mut resting = false;
    // One for all turns: each would take its place in the token's list anew.
    let mut drained = pin!(drain.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            () = drained.as_mut() => break,
            accepted = listening.accept() => accepted,
        };
        match accepted {
            Ok(accepted) if !admits(&accepted) => {}
            Ok(accepted) => {
                if std::mem::take(&mut resting) {
                    tracing::info!("connections are accepted again");
                }
                // Only now: a listener to which nobody comes must not sit on a permit that another one needs.
                let (permit, ended) = tokio::select! {
                    permit = permits.clone().acquire_owned() => (permit.ok(), false),
                    () = drained.as_mut() => (None, true),
                };
                serve(accepted, permit);
                if ended {
                    // It is over, and must not be asked again.
                    break;
                }
            }
            // That connection was gone before it was taken.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut resting, true) {
                    tracing::warn!(%error, "cannot accept a connection for now");
                }
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
    // The runtime looks at its sockets between two turns: what has come until now is known after this one.
    tokio::task::yield_now().await;
    for _ in 0..BACKLOG {
        match unconstrained(listening.accept()).now_or_never() {
            Some(Ok(accepted)) if !admits(&accepted) => {}
            Some(Ok(accepted)) => serve(accepted, permits.clone().try_acquire_owned().ok()),
            Some(Err(error)) if is_of_one_connection(&error) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// Whether a connection's user may come in. Who may not is named in the log, one that tries again and again only once.
fn admission(users: Rc<RefCell<Users>>) -> impl Fn(&Accepted) -> bool {
    let named = Cell::new(None);
    move |accepted| {
        let Accepted::Unix(stream) = accepted else { return true };
        let Err(stranger) = users.borrow().admit(stream) else { return true };
        let user = match stranger {
            Stranger::User(user) => Some(user),
            Stranger::Unknown(_) => None,
        };
        if named.replace(Some(user)) != Some(user) {
            tracing::warn!(reason = %stranger, "a connection to a Unix socket was refused");
        }
        false
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        task::LocalSet,
    };

    use std::net::SocketAddr;

    use super::*;
    use crate::ingress::listen::{Listen, bind};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn terms(permits: usize) -> Terms {
        Terms {
            limits: Rc::new(RefCell::new(Rc::new(Limits {
                head_size: 8 << 10,
                head_fields: 20,
                head_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(300),
                http2: Default::default(),
                body_timeout: Duration::from_secs(60),
                refuse_underscores: false,
            }))),
            tls: Rc::default(),
            users: Rc::default(),
            permits: Arc::new(Semaphore::new(permits)),
            connections: TaskTracker::new(),
            drain: Drain::new(),
        }
    }

    fn listening() -> (Listening, SocketAddr) {
        let bound = bind(&Listen::Tcp(([127, 0, 0, 1], 0).into()), 1).unwrap();
        let Listen::Tcp(address) = bound.address else { panic!("TCP was asked for") };
        (bound.sockets.into_iter().next().unwrap().start().unwrap(), address)
    }

    async fn done(_request: Request<Incoming>, _caller: Rc<Caller>) -> Answer<Full<Bytes>> {
        Answer::new(Full::new(Bytes::from_static(b"done")))
    }

    async fn asks(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn r149_everything_that_stands_in_the_queue_is_served_when_a_listener_drains() {
        let (listening, address) = listening();
        LocalSet::new()
            .run_until(async {
                let mut waiting = Vec::new();
                for _ in 0..300 {
                    waiting.push(asks(address).await);
                }
                let terms = terms(10);
                terms.drain.cancel();
                accept(listening, terms, done).await;
                for mut stream in waiting {
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.unwrap();
                    assert!(answer.ends_with("done"), "{answer}");
                }
            })
            .await;
    }

    #[tokio::test]
    async fn r149_who_waits_for_a_permit_and_who_stands_behind_are_served_when_a_listener_drains() {
        let (listening, address) = listening();
        LocalSet::new()
            .run_until(async {
                let terms = terms(0);
                let accepting = tokio::task::spawn_local(accept(listening, terms.clone(), done));
                let mut waiting = Vec::new();
                for _ in 0..3 {
                    waiting.push(asks(address).await);
                }
                // Until the first of them was taken, which nothing else tells.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                terms.drain.cancel();
                accepting.await.unwrap();
                for mut stream in waiting {
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.unwrap();
                    assert!(answer.ends_with("done"), "{answer}");
                }
            })
            .await;
    }

    #[tokio::test]
    async fn r112_a_listener_that_nobody_uses_takes_no_permit_from_another() {
        let ((idle, _), (busy, address)) = (listening(), listening());
        LocalSet::new()
            .run_until(async {
                let terms = terms(1);
                let loops =
                    [idle, busy].map(|one| tokio::task::spawn_local(accept(one, terms.clone(), done)));
                let mut stream = asks(address).await;
                let mut first = [0; 12];
                let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut first)).await;
                read.expect("no answer").unwrap();
                assert_eq!(&first, b"HTTP/1.1 200");
                terms.drain.cancel();
                for accepting in loops {
                    accepting.await.unwrap();
                }
            })
            .await;
    }
}
