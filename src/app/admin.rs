//! The admin listener: the same Host and Origin rules as every other, on the control thread.

use std::{cell::RefCell, io, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_local},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{self, Seen},
    config::Listener,
    ingress::{
        accept::{Terms, accept},
        admission::Admission,
        connection::Limits,
        door::refuse,
        listen::Unstarted,
    },
    proxy::ResponseBody,
    telemetry::Metrics,
};

/// Connections at once: probes, a scraper, a few people.
const CONNECTIONS: usize = 64;

/// Who may come in, replaced at a reload.
pub(super) type Admitted = Rc<RefCell<Rc<Admission>>>;

/// The rules of `listener`.
pub(super) fn admission(listener: &Listener) -> Rc<Admission> {
    Rc::new(Admission {
        hosts: listener.allow_hosts.clone(),
        origins: listener.allow_origins.clone(),
        ip_literals: true,
    })
}

/// Serves the admin listener until `drain` is cancelled; when the task ends its socket is closed. Inside a local runtime.
///
/// # Errors
/// The runtime cannot take the socket.
pub(super) fn serve(
    socket: Unstarted,
    admitted: Admitted,
    seen: Rc<RefCell<Rc<Seen>>>,
    metrics: Metrics,
    drain: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let terms = Terms {
        limits: Rc::new(RefCell::new(Rc::new(Limits {
            head_size: 16 << 10,
            head_fields: 100,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }))),
        permits: Arc::new(Semaphore::new(CONNECTIONS)),
        connections: TaskTracker::new(),
        drain,
    };
    Ok(spawn_local(accept(socket.start()?, terms, move |request, local| {
        let (admission, seen, metrics) = (admitted.borrow().clone(), seen.clone(), metrics.clone());
        async move {
            match admission.admit(request.uri(), request.headers(), local) {
                Ok(()) => {
                    let now = seen.borrow().clone();
                    admin::answer(&request, &now, &metrics).map(ResponseBody::whole)
                }
                Err(refusal) => refuse(refusal).into_response(),
            }
        }
    })))
}
