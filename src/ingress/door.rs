//! A way in: who may come in, and what is behind it. Replaced whole at a reload.
//!
//! Knows that whatever happens to a request, it is answered: a refusal and a panic are answers too. Every way in leads through here
//! to the one exchange.

use std::{panic::AssertUnwindSafe, pin::pin, rc::Rc, sync::Arc};

use futures_util::FutureExt;
use http::{Method, Version, header};

use super::{
    admission::{Admission, Refusal},
    caller::Caller,
    entrance::Entrance,
    forward::Forward,
};
use crate::{
    proxy::{Complaints, Entry, Failure, Kind, ResponseBody, Worker, exchange, room},
    wire::{Answer, Incoming, Request},
};

/// One listener's rules and routes.
#[derive(Debug)]
pub struct Door {
    behind: Behind,
    worker: Worker,
    complaints: Complaints,
}

#[derive(Debug)]
enum Behind {
    /// An upstream's own port, or the gateway: the listener is the server.
    Server(Arc<Admission>, Entry),
    /// The forward proxy: the target says who the server is.
    Forward(Box<Forward>),
    /// The same for connections that were redirected to us: where one was going says who the server is.
    Redirected(Box<Forward>),
}

/// What becomes of a request that may come in.
pub(super) enum Way {
    /// It is exchanged.
    On(Entry),
    /// It is answered already: a tunnel.
    Answered(Box<Answer<ResponseBody>>),
}

impl Door {
    /// A door with `entry` behind it.
    pub fn new(admission: Arc<Admission>, entry: Entry, worker: Worker) -> Self {
        Self::of(Behind::Server(admission, entry), worker)
    }

    /// The door of the forward proxy.
    pub fn forward(forward: Forward, worker: Worker) -> Self {
        Self::of(Behind::Forward(Box::new(forward)), worker)
    }

    /// The door for redirected connections.
    pub fn redirected(forward: Forward, worker: Worker) -> Self {
        Self::of(Behind::Redirected(Box::new(forward)), worker)
    }

    fn of(behind: Behind, worker: Worker) -> Self {
        Self { behind, worker, complaints: Complaints::default() }
    }

    /// Whether it is one for redirected connections.
    pub fn takes_redirected(&self) -> bool {
        matches!(self.behind, Behind::Redirected(_))
    }

    /// Answers a request that came from `caller` through `entrance`.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        entrance: &Rc<Entrance>,
    ) -> Answer<ResponseBody> {
        // RefCells of a route are borrowed only between two awaits and hold nothing half-made.
        // Pinned where it begins: it is large, and moved whole by each of these otherwise.
        let led_on = pin!(self.led_on(request, caller, entrance));
        let answer = AssertUnwindSafe(led_on).catch_unwind().await;
        answer.unwrap_or_else(|_| {
            Failure::new(Kind::Panic, "this is a bug of bearward; its log says where").into_response()
        })
    }

    async fn led_on(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        entrance: &Rc<Entrance>,
    ) -> Answer<ResponseBody> {
        match &self.behind {
            Behind::Server(admission, entry) => {
                let local = caller.ends.map(|ends| ends.local);
                // The exchange makes no tunnel to elsewhere, and says so. An extended CONNECT (RFC 8441) is for this server, like
                // other requests.
                let tunnel = request.head.method == Method::CONNECT && request.head.protocol.is_none();
                if !tunnel
                    && let Err(refusal) = admission.admit(&request.head.target, &request.head.fields, local)
                {
                    return self.refused(&request, refused_by_server(refusal, &request));
                }
                exchange(entry, &self.worker, request).await
            }
            Behind::Forward(forward) | Behind::Redirected(forward) => {
                match forward.way(&request, caller, entrance, &self.worker).await {
                    Ok(Way::On(entry)) => forwarded(&entry, exchange(&entry, &self.worker, request).await),
                    Ok(Way::Answered(answer)) => {
                        self.worker.tunnelled(&request, &answer);
                        *answer
                    }
                    Err(refused) => self.refused(&request, refused),
                }
            }
        }
    }

    /// A place for one more tunnel, until it is dropped.
    ///
    /// # Errors
    /// All are taken.
    pub(super) fn place(&self) -> Result<room::Place, Failure> {
        self.worker.place()
    }

    /// Tells the operator, but not each time.
    pub(super) fn complain(&self, why: &Failure) {
        self.complaints.tell(why);
    }

    fn refused(&self, request: &Request<Incoming>, why: Failure) -> Answer<ResponseBody> {
        self.complain(&why);
        self.worker.refused(request, why)
    }

    /// The forward proxy behind it, where there is one.
    pub(super) fn forwards(&self) -> Option<&Forward> {
        match &self.behind {
            Behind::Server(..) => None,
            Behind::Forward(forward) | Behind::Redirected(forward) => Some(forward),
        }
    }
}

/// RFC 9110 section 7.6.3: a proxy names itself on answers too, where they are not its own.
fn forwarded(entry: &Entry, mut answer: Answer<ResponseBody>) -> Answer<ResponseBody> {
    if let (Entry::Forward(route), Some(received)) = (entry, answer.content.received()) {
        answer.head.fields.append(&header::VIA, route.via(received));
    }
    answer
}

/// Who asks a server as one asks a forward proxy (RFC 9112 section 3.2.2) is told what it is.
fn refused_by_server(refusal: Refusal, request: &Request<Incoming>) -> Failure {
    let absolute = request.head.version < Version::HTTP_2 && request.head.target.authority().is_some();
    if absolute && refusal == Refusal::UnknownHost {
        let detail = "this port is no forward proxy, and the target names another host: use its address as the base URL, or name that \
                      of [proxy] in HTTP_PROXY";
        return Failure::new(Kind::UnknownHost, detail);
    }
    refusal.into()
}
