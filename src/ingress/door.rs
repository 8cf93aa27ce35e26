//! A way in: who may come in, and what is behind it. Replaced whole at a reload.
//!
//! Knows that whatever happens to a request, it is answered: a refusal and a panic are answers too.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::{Method, Request, Response};
use hyper::ext::Protocol;

use super::{
    admission::{Admission, Refusal},
    caller::Caller,
};
use crate::{
    proxy::{Entry, Failure, Kind, ResponseBody, Worker, exchange},
    wire::Incoming,
};

/// One listener's rules and routes.
#[derive(Debug)]
pub struct Door {
    admission: Arc<Admission>,
    entry: Entry,
    worker: Worker,
}

impl Door {
    /// A door with `entry` behind it.
    pub fn new(admission: Arc<Admission>, entry: Entry, worker: Worker) -> Self {
        Self { admission, entry, worker }
    }

    /// Answers a request that came from `caller`.
    pub async fn answer(&self, request: Request<Incoming>, caller: &Caller) -> Response<ResponseBody> {
        let local = caller.ends.map(|ends| ends.local);
        // The exchange makes no tunnel to elsewhere, and says so. An extended CONNECT (RFC 8441) is for this server, like other
        // requests.
        let tunnel = *request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none();
        if !tunnel && let Err(refusal) = self.admission.admit(request.uri(), request.headers(), local) {
            let refused = refuse(refusal);
            refused.log();
            return self.worker.refused(&request, refused);
        }
        // RefCells of a route are borrowed only between two awaits and hold nothing half-made.
        let answer = AssertUnwindSafe(exchange(&self.entry, &self.worker, request)).catch_unwind().await;
        answer.unwrap_or_else(|_| {
            Failure::new(Kind::Panic, "this is a bug of bearward; its log says where").into_response()
        })
    }
}

/// What an application that may not come in is told.
pub fn refuse(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::InvalidHost => Failure::new(Kind::Malformed, "a request needs exactly one valid Host field"),
        Refusal::UnknownHost => Failure::new(
            Kind::UnknownHost,
            "the Host is none of this listener's; a name that should be goes into allow_hosts",
        ),
        Refusal::ForeignPage => Failure::new(
            Kind::ForeignPage,
            "a web page of another site may not use this listener; an origin that may goes into allow_origins",
        ),
    }
}
