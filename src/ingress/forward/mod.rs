//! The forward proxy: which request goes where, and that nobody but a configured upstream gets a token.
//!
//! Knows target forms (RFC 9112 section 3.2), that a tunnel's inside is for the origin it was opened to, and which web pages may ask.
//! Does not know how octets are tunnelled (`tunnel`) or TLS is opened (`inside`), or what happens to a request (`proxy`).

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod inside;
mod opening;
mod tunnel;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use http::{Method, uri};

pub use self::inside::{Destination, intercept_or_tunnel};
use super::{
    admission::{Admission, the_host},
    caller::Caller,
    door::Way,
    entrance::Entrance,
};
use crate::{
    ca::Authority,
    proxy::{Entry, Failure, Found, Kind, Origins, ResponseBody, Worker, origins::Others},
    upstream::Origin,
    wire::{Answer, Incoming, Request, fields::Name},
};

/// The forward proxy of one worker.
#[derive(Debug)]
pub struct Forward {
    origins: Origins,
    /// Web pages that may use it, besides those of the upstream they ask.
    pages: Admission,
    authority: Option<Arc<Authority>>,
    tunnel_idle: Option<Duration>,
}

impl Forward {
    /// One that leads to `origins`, opens TLS with certificates of `authority`, and lets `pages` ask. A tunnel may be silent for `tunnel_idle`.
    pub fn new(
        origins: Origins,
        pages: Admission,
        authority: Option<Arc<Authority>>,
        tunnel_idle: Option<Duration>,
    ) -> Self {
        Self { origins, pages, authority, tunnel_idle }
    }

    /// What becomes of a request.
    ///
    /// # Errors
    /// It is refused.
    pub(super) async fn way(
        &self,
        request: &Request<Incoming>,
        caller: &Caller,
        entrance: &Rc<Entrance>,
        worker: &Worker,
    ) -> Result<Way, Failure> {
        let outside = caller.meant.is_none();
        // RFC 8441 section 4: with a protocol it is a request like others.
        let extended = request.head.protocol.is_some();
        if outside && request.head.method == Method::CONNECT && !extended {
            return Ok(Way::Answered(Box::new(self.connect(request, caller, entrance, worker).await?)));
        }
        let origin = match &caller.meant {
            Some(meant) => agreed(request, meant)?,
            None => absolute(request)?,
        };
        not_ourselves(&origin, caller)?;
        match self.origins.find(&origin, request.head.target.path())? {
            Found::Upstream(place) => {
                self.pages
                    .admit_page_to(&origin, &request.head.fields, &place.pages)
                    .map_err(Failure::from)?;
                Ok(Way::On(Entry::Forward(place.route.clone())))
            }
            Found::Other(route) => Ok(Way::On(Entry::Forward(route))),
        }
    }

    /// CONNECT (RFC 9110 section 9.3.6): to an upstream, whose requests are then taken out of the tunnel; elsewhere as it is decided.
    async fn connect(
        &self,
        request: &Request<Incoming>,
        caller: &Caller,
        entrance: &Rc<Entrance>,
        worker: &Worker,
    ) -> Result<Answer<ResponseBody>, Failure> {
        let origin = connected(request)?;
        not_ourselves(&origin, caller)?;
        let plain = origin.clone().with_scheme(false);
        if self.origins.configured(&origin).or_else(|| self.origins.configured(&plain)).is_some() {
            return Ok(inside::open(origin, caller.clone(), entrance.clone()));
        }
        let others = self.others(&origin)?;
        // Inside the other kind each request takes a place of its own.
        let place = worker.place()?;
        let opened =
            tunnel::open(&origin, others, request, self.tunnel_idle, entrance.drain().clone()).await?;
        Ok(opened.map(|body| body.in_place(Some(place))))
    }

    /// What leads to an origin that nobody configured.
    ///
    /// # Errors
    /// That is refused.
    fn others(&self, origin: &Origin) -> Result<&Others, Failure> {
        self.origins.others().ok_or_else(|| self.origins.unlisted(origin))
    }
}

/// The host and port of a CONNECT, as an https origin; the port is never left out.
fn connected<B>(request: &Request<B>) -> Result<Origin, Failure> {
    let malformed = |problem: &str| {
        Failure::new(
            Kind::Malformed,
            format!("CONNECT needs a host and a port, like api.example:443: {problem}"),
        )
    };
    let target = &request.head.target;
    let authority = target.authority().ok_or_else(|| malformed("there is none"))?;
    if target.scheme().is_some() || target.path_and_query().is_some() {
        return Err(malformed("this is a URL"));
    }
    match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
        None => return Err(malformed("the port is missing, or there is user information")),
        Some(port) if port.is_empty() || !port.bytes().all(|octet| octet.is_ascii_digit()) => {
            return Err(malformed("this is no port"));
        }
        Some(_) => {}
    }
    Origin::at(true, authority).map_err(malformed)
}

/// The origin of an absolute target (RFC 9112 section 3.2.2), which counts whatever Host says.
fn absolute<B>(request: &Request<B>) -> Result<Origin, Failure> {
    the_host_if_any(request)?;
    if request.head.target.authority().is_none() {
        return Err(Failure::new(
            Kind::UnknownHost,
            "this port is a forward proxy, and no server: applications name it in HTTP_PROXY and HTTPS_PROXY and keep the URLs \
             they have; for one to use as a base URL give the upstream a `listen` of its own",
        ));
    }
    Origin::of(&request.head.target)
        .map_err(|problem| Failure::new(Kind::Malformed, format!("the request target: {problem}")))
}

/// A request inside a tunnel is for the origin that the tunnel was opened to, however it names it.
fn agreed<B>(request: &Request<B>, meant: &Origin) -> Result<Origin, Failure> {
    let named = |authority: &uri::Authority| Origin::at(meant.is_https(), authority).ok();
    let host = the_host_if_any(request)?;
    let target = request.head.target.authority();
    let scheme = match request.head.target.scheme_str() {
        Some(scheme) => scheme == if meant.is_https() { "https" } else { "http" },
        None => true,
    };
    let is_meant =
        |origin: &Origin| origin == meant || origin.without_last_dot().is_some_and(|origin| origin == *meant);
    // Every name that there is must be right; one there must be, of either kind.
    let names = [target.cloned(), host];
    let mut names = names.iter().flatten().peekable();
    let some = names.peek().is_some();
    if some && scheme && names.all(|name| named(name).as_ref().is_some_and(is_meant)) {
        return Ok(meant.clone());
    }
    let detail = format!(
        "the request is for another host than the tunnel that it came through: that leads to {meant}"
    );
    Err(Failure::new(Kind::UnknownHost, detail))
}

/// The one valid Host. HTTP/2 needs none beside `:authority`, and 1.0 knows none.
fn the_host_if_any<B>(request: &Request<B>) -> Result<Option<uri::Authority>, Failure> {
    let may_lack = matches!(request.head.version, http::Version::HTTP_2 | http::Version::HTTP_10);
    if may_lack && !request.head.fields.contains(Name::HOST) {
        return Ok(None);
    }
    the_host(&request.head.fields).map(Some).map_err(Failure::from)
}

/// Whoever asks the proxy for the proxy goes round in circles.
fn not_ourselves(origin: &Origin, caller: &Caller) -> Result<(), Failure> {
    let Some(local) = caller.ends.map(|ends| ends.local) else { return Ok(()) };
    let ourselves = |address: SocketAddr| {
        let ip = address.ip().to_canonical();
        ip == local.ip().to_canonical() || ip.is_unspecified()
    };
    let host = origin.host().trim_start_matches('[').trim_end_matches(']');
    let named = match host.parse() {
        Ok(ip) => ourselves(SocketAddr::new(ip, origin.port())),
        Err(_) => origin.is_loopback() && local.ip().to_canonical().is_loopback(),
    };
    if named && origin.port() == local.port() {
        return Err(Failure::new(Kind::Loop, "this is the address of the forward proxy itself"));
    }
    Ok(())
}
