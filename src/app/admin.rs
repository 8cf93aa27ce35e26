//! The admin listener: the same Host and Origin rules as every other, on the control thread.

use std::{cell::RefCell, io, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rustls::ServerConfig;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_local},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{Admin, Content, From},
    config::{Listen, Listener},
    ingress::{
        accept::{Terms, accept},
        admission::{self, Admission, Refusal},
        caller::Caller,
        connection::Limits,
        drain::Drain,
        http2,
        listen::{Ends, Unstarted},
        users::Users,
    },
    proxy::{Failure, Kind, ResponseBody},
    wire::{Incoming, Request, fields::Name},
};

/// Connections at once: probes, a scraper, a few people.
const CONNECTIONS: usize = 64;
/// The largest form: a pasted address with a code in it is the largest thing that a person sends.
const LARGEST_FORM: usize = 16 << 10;
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long those who watch have to read that it is over.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Who may come in, replaced at a reload.
pub(super) type Admitted = Rc<RefCell<Rc<Admission>>>;

/// With what TLS is spoken, replaced at a reload.
pub(super) type Tls = Rc<RefCell<Option<Arc<ServerConfig>>>>;
/// Who may connect, replaced at a reload.
pub(super) type AdmittedUsers = Rc<RefCell<Users>>;

/// The rules of `listener`.
pub(super) fn admission(listener: &Listener) -> Rc<Admission> {
    Rc::new(Admission {
        hosts: listener.allow_hosts.clone(),
        origins: listener.allow_origins.clone(),
        ip_literals: true,
        tls: listener.tls.is_some(),
    })
}

/// Serves the admin listener on `address` until `drain` is cancelled; when the task ends its socket is closed, and those
/// who watched have heard of it. Inside a local runtime.
///
/// # Errors
/// The runtime cannot take the socket.
pub(super) fn serve(
    socket: Unstarted,
    address: &Listen,
    (admitted, tls, users): (Admitted, Tls, AdmittedUsers),
    admin: Rc<Admin>,
    drain: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let terms = Terms {
        limits: Rc::new(RefCell::new(Rc::new(Limits {
            head_size: 16 << 10,
            head_fields: 100,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            http2: http2::Limits::default(),
            body_timeout: Duration::from_secs(60),
            refuse_underscores: false,
        }))),
        tls,
        users,
        permits: Arc::new(Semaphore::new(CONNECTIONS)),
        connections: TaskTracker::new(),
        drain: Drain::when(drain.clone()),
    };
    let for_this_machine = matches!(address, Listen::Tcp(address) if address.ip().is_loopback());
    let inside = admin.clone();
    let accepting = accept(socket.start()?, terms, move |request, caller: Rc<Caller>| {
        let (admission, admin, drain) = (admitted.borrow().clone(), inside.clone(), drain.clone());
        let ends = caller.ends;
        let from = from(for_this_machine, ends, &request);
        async move {
            let local = ends.map(|ends| ends.local);
            match admission.admit(&request.head.target, &request.head.fields, local) {
                Err(Refusal::ForeignPage) if is_a_link_to_the_page(&request) => {}
                Err(refusal) => return Failure::from(refusal).into_response(),
                Ok(()) => {}
            }
            match whole(request).await {
                Ok(request) => admin.answer(&request, from, &drain).map(body).into(),
                Err(failure) => failure.into_response(),
            }
        }
    });
    Ok(spawn_local(async move {
        accepting.await;
        // Whoever does not read is cut.
        let _cut = tokio::time::timeout(LAST_WORDS, admin.unwatched()).await;
    }))
}

fn from<B>(for_this_machine: bool, ends: Option<Ends>, request: &Request<B>) -> From {
    let Some(Ends { local, peer }) = ends else { return From::UnixSocket };
    // A loopback address alone does not say so: with route_localnet, Linux takes packets for it from neighbours.
    let here = for_this_machine && [local, peer].iter().all(|end| end.ip().to_canonical().is_loopback());
    match here {
        true if admission::is_loopback(&request.head.fields) => From::Here,
        true => From::AnotherName,
        false => From::Elsewhere,
    }
}

/// A link on a page of another site may lead a person to the page: a top-level navigation tells that site nothing, and
/// does nothing here.
fn is_a_link_to_the_page(request: &Request<Incoming>) -> bool {
    let says = |name: &str, value: &str| {
        request.head.fields.get_only(name).is_some_and(|said| said == value.as_bytes())
    };
    request.head.method == Method::GET
        && request.head.target.path() == "/"
        && !request.head.fields.contains(Name::ORIGIN)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

/// The request with its content, where it has one that is looked at.
async fn whole(request: Request<Incoming>) -> Result<http::Request<Bytes>, Failure> {
    let (head, body) = http::Request::from(request).into_parts();
    if head.method != Method::POST {
        return Ok(http::Request::from_parts(head, Bytes::new()));
    }
    let reading = Limited::new(body, LARGEST_FORM).collect();
    let content = match tokio::time::timeout(FORM_TIMEOUT, reading).await {
        Ok(Ok(content)) => content.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Failure::new(Kind::Malformed, "the form is larger than 16 KiB"));
        }
        Ok(Err(_)) => return Err(Failure::new(Kind::Malformed, "the form was cut or broke its framing")),
        Err(_) => return Err(Failure::new(Kind::BodyTooSlow, "the form took longer than 10 s")),
    };
    Ok(http::Request::from_parts(head, content))
}

fn body(content: Content) -> ResponseBody {
    match content {
        Content::Whole(content) => ResponseBody::whole(content),
        Content::Events(events) => ResponseBody::own(events.into_stream()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r021_only_both_ends_on_loopback_of_a_loopback_listener_are_this_machine() {
        let ends = |local: &str, peer: &str| {
            Some(Ends { local: local.parse().unwrap(), peer: peer.parse().unwrap() })
        };
        for (for_this_machine, ends, expected) in [
            (true, ends("127.0.0.1:9901", "127.0.0.1:50000"), From::Here),
            (true, ends("[::1]:9901", "[::1]:50000"), From::Here),
            (true, ends("[::ffff:127.0.0.1]:9901", "[::ffff:127.0.0.1]:50000"), From::Here),
            (true, ends("127.0.0.1:9901", "192.0.2.7:50000"), From::Elsewhere),
            (true, ends("192.0.2.1:9901", "127.0.0.1:50000"), From::Elsewhere),
            (false, ends("127.0.0.1:9901", "127.0.0.1:50000"), From::Elsewhere),
            (true, None, From::UnixSocket),
        ] {
            let asked = |host: &str| {
                let request = http::Request::get("/").header("host", host).body(()).unwrap();
                from(for_this_machine, ends, &request.into())
            };
            for host in ["127.0.0.1:9901", "[::1]:9901", "localhost:9901", "bear.localhost"] {
                assert_eq!(asked(host), expected, "{for_this_machine} {ends:?} {host}");
            }
            // A name of allow_hosts, behind which a proxy of this machine may serve everybody.
            let expected = if expected == From::Here { From::AnotherName } else { expected };
            for host in ["bear.example", "10.1.2.3:9901", "localhost.example"] {
                assert_eq!(asked(host), expected, "{for_this_machine} {ends:?} {host}");
            }
        }
    }
}
