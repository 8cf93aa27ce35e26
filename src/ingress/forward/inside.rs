//! What is inside a tunnel to an upstream: TLS is opened with a leaf certificate, and the requests in it are answered like others.
//!
//! Knows that SNI, the tunnel's destination and each request's Host must agree (RFC 6066 section 3), and that what turns out to be for
//! nobody we know is tunnelled or refused. Does not know certificates (`ca`) or requests.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use http::{Version, uri::Authority};
use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    Forward,
    opening::{self, ACCESS_DENIED, Opening, UNRECOGNIZED_NAME},
    tunnel::{OwnEnd, Tunnel},
};
use crate::{
    ingress::{
        caller::{Caller, ServerName},
        door::Door,
        entrance::Entrance,
        protocol::{self, Spoken},
    },
    proxy::{Failure, ResponseBody, room::Place},
    upstream::Origin,
    wire::{Answer, Stream, fields::Fields, head},
};

/// How long a connection that is to end may still say what it is.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Where a connection was meant to go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// CONNECT named a host and a port; the scheme is what is spoken.
    Named(Origin),
    /// It was connected to this address and redirected to us; the name is what TLS or the first request says.
    Redirected(SocketAddr),
}

/// Why a connection is ended without a word of HTTP.
#[derive(Debug)]
enum Refused {
    /// SNI names another host than CONNECT did.
    OtherName,
    /// There is no certificate for it.
    NoLeaf(String),
    /// The application does not trust the certificate that it was shown.
    Untrusted,
    /// It is for no upstream, and everything else is refused, or this cannot be reached, or may not be.
    Elsewhere(Box<Failure>),
    /// It is bearward's own, redirected to itself.
    Ourselves,
    /// Neither TLS nor HTTP, where it must be one of them.
    NotHttp,
    /// What is behind the listener is no forward proxy any more.
    Replaced,
    /// The application ended the connection, or was silent for too long.
    Gone(io::Error),
}

/// The answer to a CONNECT to an upstream.
pub(super) fn open(origin: Origin, caller: Caller, entrance: Rc<Entrance>) -> Answer<ResponseBody> {
    let taken = move |stream: Stream| -> futures_util::future::LocalBoxFuture<'static, ()> {
        Box::pin(intercept_or_tunnel(stream, Destination::Named(origin), caller, entrance))
    };
    Answer::new(ResponseBody::taken_over(Box::new(taken)))
}

/// Serves a connection to `destination` until its end. Requests for an upstream are taken out of it and answered; everything else is
/// tunnelled or refused, as the forward proxy behind `entrance` has it. `caller`: who is at the other end of `stream`.
pub async fn intercept_or_tunnel(
    stream: Stream,
    destination: Destination,
    caller: Caller,
    entrance: Rc<Entrance>,
) {
    let patience = entrance.limits().head_timeout;
    let drained = async {
        entrance.drain().cancelled().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    let decided = tokio::select! {
        biased;
        decided = timeout(patience, decide(stream, &destination, &caller, &entrance)) => {
            decided.unwrap_or_else(|_| Err((Refused::Gone(io::ErrorKind::TimedOut.into()), None)))
        }
        () = drained => return,
    };
    let decided = match decided {
        Ok(decided) => decided,
        Err((refused, stream)) => return refuse(&refused, &destination, stream, &entrance).await,
    };
    match decided {
        Decided::Serve(stream, tls, origin) => {
            let (tls, spoken) = tls.unzip();
            let caller = Rc::new(Caller { ends: caller.ends, tls, meant: Some(origin) });
            serve(stream, spoken, caller, &entrance).await;
        }
        Decided::Tunnel(here, tunnel, place) => {
            let _own = OwnEnd::of(&tunnel.there);
            tunnel.carry(here, entrance.drain().clone()).await;
            drop(place);
        }
    }
}

/// What is done with a connection.
enum Decided {
    /// Its requests are answered, which are all for this origin; of TLS it is known what was asked for and what is spoken.
    Serve(Stream, Option<(ServerName, Spoken)>, Origin),
    /// Its octets pass.
    Tunnel(Stream, Tunnel, Place),
}

type Decision = Result<Decided, (Refused, Option<Stream>)>;

async fn decide(stream: Stream, destination: &Destination, caller: &Caller, entrance: &Entrance) -> Decision {
    let gone = |error| (Refused::Gone(error), None);
    let (opening, stream) = opening::look(stream).await.map_err(gone)?;
    // Nothing was sent on a tunnel of ours before its end was known.
    if matches!(destination, Destination::Redirected(_))
        && caller.ends.is_some_and(|ends| OwnEnd::is(ends.peer))
    {
        return Err((Refused::Ourselves, Some(stream)));
    }
    let door = entrance.door();
    let Some(forward) = door.forwards() else { return Err((Refused::Replaced, Some(stream))) };
    match opening {
        Opening::Tls(sni) => {
            let Some(origin) = destination.with_name(sni.as_deref()) else {
                return Err((Refused::OtherName, Some(stream)));
            };
            match forward.origins.configured(&origin) {
                Some(origin) => open_tls(stream, sni, origin.clone(), forward).await,
                None => tunnelled(stream, destination, &origin, &door).await,
            }
        }
        Opening::Http => match destination {
            // What nobody configured is refused, or passed on, a request at a time.
            Destination::Named(origin) => Ok(Decided::Serve(stream, None, origin.clone().with_scheme(false))),
            Destination::Redirected(address) => {
                let limits = entrance.limits();
                let limits = head::Limits { size: limits.head_size, fields: limits.head_fields };
                let (named, stream) = opening::first_host(stream, limits).await.map_err(gone)?;
                let named = named.and_then(|named| Origin::at(false, &named).ok());
                let named = named.filter(|named| named.port() == address.port());
                let configured = named.as_ref().and_then(|named| forward.origins.configured(named));
                match (configured, named.unwrap_or_else(|| of(*address))) {
                    (Some(origin), _) => Ok(Decided::Serve(stream, None, origin.clone())),
                    (None, other) if forward.origins.others().is_some() => {
                        tunnelled(stream, destination, &other, &door).await
                    }
                    // It is told what is wrong in its own words.
                    (None, other) => Ok(Decided::Serve(stream, None, other)),
                }
            }
        },
        Opening::Other => match destination {
            // A tunnel to an upstream carries HTTP.
            Destination::Named(_) => Err((Refused::NotHttp, Some(stream))),
            Destination::Redirected(address) => tunnelled(stream, destination, &of(*address), &door).await,
        },
    }
}

impl Destination {
    /// The https origin that is meant where TLS names this host; none where that is another than was connected to.
    fn with_name(&self, sni: Option<&str>) -> Option<Origin> {
        match self {
            Self::Named(origin) => {
                let host = origin.host().strip_suffix('.').unwrap_or(origin.host());
                sni.is_none_or(|sni| sni == host).then(|| origin.clone())
            }
            Self::Redirected(address) => match sni {
                Some(name) => {
                    let authority = Authority::try_from(format!("{name}:{}", address.port())).ok()?;
                    Origin::at(true, &authority).ok()
                }
                None => Some(of(*address).with_scheme(true)),
            },
        }
    }
}

/// The origin of an address that has no name.
fn of(address: SocketAddr) -> Origin {
    Origin::from(address)
}

async fn open_tls(stream: Stream, sni: Option<Box<str>>, origin: Origin, forward: &Forward) -> Decision {
    let leaf = match &forward.authority {
        Some(authority) => authority.server_config(origin.host()).map_err(|error| error.to_string()),
        None => Err("there is no local CA: make one with `bearward ca init`".to_owned()),
    };
    let leaf = match leaf {
        Ok(leaf) => leaf,
        Err(problem) => return Err((Refused::NoLeaf(problem), Some(stream))),
    };
    let opened = TlsAcceptor::from(leaf).accept(stream).await;
    let opened = opened.map_err(|error| {
        let untrusted = is_distrust(&error);
        (if untrusted { Refused::Untrusted } else { Refused::Gone(error) }, None)
    })?;
    let http2 = opened.get_ref().1.alpn_protocol() == Some(b"h2");
    let spoken = if http2 { Spoken::Http2 } else { Spoken::Http1 };
    Ok(Decided::Serve(Stream::Accepted(Box::new(opened)), Some((ServerName(sni), spoken)), origin))
}

/// Whether an application ended the handshake because of the certificate (RFC 8446 section 6.2).
fn is_distrust(error: &io::Error) -> bool {
    use rustls::AlertDescription::{BadCertificate, CertificateUnknown, UnknownCA, UnsupportedCertificate};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(
        cause,
        Some(rustls::Error::AlertReceived(
            UnknownCA | BadCertificate | CertificateUnknown | UnsupportedCertificate
        ))
    )
}

/// On to where it was meant to go: by its name, or to the very address.
async fn tunnelled(stream: Stream, destination: &Destination, origin: &Origin, door: &Door) -> Decision {
    let Some(forward) = door.forwards() else { return Err((Refused::Replaced, Some(stream))) };
    let reached = async {
        let others = forward.others(origin)?;
        let there = match destination {
            Destination::Named(origin) => origin.clone(),
            Destination::Redirected(address) => of(*address),
        };
        let place = door.place()?;
        // Nobody said whom the connection came through.
        let there = others.dial(&there, &Fields::default(), Version::HTTP_11).await?;
        let (name, idle) = (origin.authority(), forward.tunnel_idle);
        Ok::<_, Box<Failure>>((Tunnel { there, name, idle, metrics: others.metrics().clone() }, place))
    };
    match reached.await {
        Ok((tunnel, place)) => Ok(Decided::Tunnel(stream, tunnel, place)),
        Err(failure) => Err((Refused::Elsewhere(failure), Some(stream))),
    }
}

/// Answers the requests of a stream. Without TLS the first octets say what is spoken.
async fn serve(stream: Stream, spoken: Option<Spoken>, caller: Rc<Caller>, entrance: &Rc<Entrance>) {
    let (limits, drain) = (entrance.limits(), entrance.drain());
    let begun = match spoken {
        Some(spoken) => Some((stream, spoken)),
        None => protocol::chosen(stream, &limits, drain).await,
    };
    let Some((stream, spoken)) = begun else { return };
    let answer = |request, caller| entrance.clone().answer(request, caller);
    protocol::serve_stream(stream, spoken, caller, &limits, answer, drain.clone()).await;
}

/// Ends a connection to which no answer of HTTP can be given; TLS has words of its own for some of it.
async fn refuse(why: &Refused, destination: &Destination, stream: Option<Stream>, entrance: &Entrance) {
    let destination = match destination {
        Destination::Named(origin) => origin.authority(),
        Destination::Redirected(address) => address.to_string(),
    };
    let alert = match why {
        Refused::OtherName => Some(UNRECOGNIZED_NAME),
        Refused::NoLeaf(_) | Refused::Elsewhere(_) | Refused::Replaced => Some(ACCESS_DENIED),
        Refused::Ourselves | Refused::NotHttp | Refused::Untrusted | Refused::Gone(_) => None,
    };
    match why {
        Refused::OtherName => {
            tracing::warn!(destination, "TLS asks for another host than the tunnel leads to")
        }
        Refused::NoLeaf(problem) => tracing::warn!(destination, problem, "its TLS cannot be opened"),
        Refused::Untrusted => tracing::warn!(
            destination,
            "the application does not trust the local CA: let it trust what `bearward ca show` prints, or start it with \
             `bearward exec`"
        ),
        Refused::Elsewhere(failure) => entrance.door().complain(failure),
        Refused::Replaced => tracing::debug!(destination, "the listener has become another way in"),
        Refused::Ourselves => tracing::warn!(
            destination,
            "bearward's own connections are redirected to itself: the rules have to leave those of its user alone"
        ),
        Refused::NotHttp => tracing::debug!(destination, "neither TLS nor HTTP in a tunnel to an upstream"),
        Refused::Gone(error) => {
            tracing::debug!(destination, %error, "a tunnel ended before its first request")
        }
    }
    if let Some(mut stream) = stream {
        if let Some(alert) = alert {
            // Who is not there any more need not know.
            let _ = stream.write_all(&alert).await;
        }
        let _ = stream.shutdown().await;
    }
}
