//! The accept loop of one listener on one worker.
//!
//! Knows when to stop accepting: out of permits, out of descriptors, drained. Does not know what answers a request.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::coop::unconstrained,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::{self, Limits},
    listen::{Accepted, Listening},
};

/// How long accepting rests where the machine is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// What a listener needs besides its socket.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What bounds each connection.
    pub limits: Rc<Limits>,
    /// One permit per open connection; without one, connections wait in the queue of the system.
    pub permits: Arc<Semaphore>,
    /// Where connections are tracked, so that somebody can wait for their end.
    pub connections: TaskTracker,
    /// Ends the listener, and each connection at its next rest.
    pub drain: CancellationToken,
}

/// Accepts until drained, and takes what already stands in the queue then: whoever is connected is served. Runs inside a
/// local runtime, on which the connections run too.
pub async fn accept<S, F, B>(listening: Listening, terms: Terms, service: S)
where
    S: Fn(Request<Incoming>, Option<SocketAddr>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let next = async || {
        let permit = terms.permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>((permit, listening.accept().await?))
    };
    let serve = |(permit, accepted): (OwnedSemaphorePermit, Accepted)| {
        let (service, limits, drain) = (service.clone(), terms.limits.clone(), terms.drain.clone());
        terms.connections.spawn_local(async move {
            connection::serve(accepted, &limits, service, drain).await;
            drop(permit);
        });
    };
    loop {
        let accepted = tokio::select! {
            accepted = next() => accepted,
            () = terms.drain.cancelled() => break,
        };
        match accepted {
            Ok(accepted) => serve(accepted),
            // That connection was gone before it was taken.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for now");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
    // The runtime looks at its sockets before it goes on here; and the budget of a task's turn, used up, is not taken for
    // the queue's end.
    tokio::task::yield_now().await;
    while let Some(accepted) = unconstrained(next()).now_or_never() {
        match accepted {
            Ok(accepted) => serve(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}
