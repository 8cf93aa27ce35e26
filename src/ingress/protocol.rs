//! Which HTTP a connection speaks, and who serves it then.
//!
//! Knows TLS's ALPN (RFC 7301) and, without TLS, prior knowledge (RFC 9113 section 3.3): the first octets decide, and no more of them
//! are waited for than are needed. Does not know either protocol.

use std::{rc::Rc, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderValue, header};
use rustls::ServerConfig;
use tokio::{io::AsyncReadExt, time::Instant};

use super::{
    caller::Caller,
    connection::{self, LAST_CALL, Limits},
    drain::Drain,
    http2,
    listen::Accepted,
    tls::{self, Begun},
};
use crate::{
    proxy::{Failure, Kind},
    wire::{Answer, Content, Incoming, Request, Stream},
};

/// What an HTTP/2 connection begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a TLS connection begins with (RFC 8446 section 5.1).
pub(super) const HANDSHAKE: u8 = 22;
/// Room for the first octets: most heads of HTTP/1.1 fit, and what is read behind them while they are answered.
const FIRST: usize = 4 << 10;

/// A version of HTTP that a connection can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1, or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Serves a connection that was accepted, over TLS where there is a `tls`, until it ends.
pub async fn serve<S, F, B>(
    accepted: Accepted,
    tls: Option<Arc<ServerConfig>>,
    limits: &Limits,
    service: S,
    drain: Drain,
) where
    S: Fn(Request<Incoming>, Rc<Caller>) -> F,
    F: Future<Output = Answer<B>> + 'static,
    B: Content + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stream, ends) = match accepted {
        Accepted::Tcp(stream, ends) => (Stream::Tcp(stream), ends),
        Accepted::Unix(stream) => (Stream::Unix(stream), None),
    };
    let mut caller = Caller { ends, ..Caller::default() };
    let begun = match tls {
        None => chosen(stream, limits, &drain).await,
        Some(config) => match tls::accept(stream, config, limits, &drain).await {
            Some(Begun::Tls(stream, name, spoken)) => {
                caller.tls = Some(name);
                Some((stream, spoken))
            }
            Some(Begun::Plain(stream)) => return refuse_plain(stream, limits, drain).await,
            None => None,
        },
    };
    let Some((stream, spoken)) = begun else { return };
    serve_stream(stream, spoken, Rc::new(caller), limits, service, drain).await;
}

/// Says in plain words what a listener with TLS is, to whom does not speak it.
async fn refuse_plain(stream: Stream, limits: &Limits, drain: Drain) {
    let answer = async |_request: Request<Incoming>| {
        let refused =
            Failure::new(Kind::Malformed, "this listener speaks TLS: it has to be asked with https://");
        let mut answer = refused.into_response();
        answer.head.fields.insert(&header::CONNECTION, &HeaderValue::from_static("close"));
        answer
    };
    connection::serve_stream(stream, limits, answer, drain).await;
}

/// Serves a stream on which this is spoken, until it ends.
pub async fn serve_stream<S, F, B>(
    stream: Stream,
    spoken: Spoken,
    caller: Rc<Caller>,
    limits: &Limits,
    service: S,
    drain: Drain,
) where
    S: Fn(Request<Incoming>, Rc<Caller>) -> F,
    F: Future<Output = Answer<B>> + 'static,
    B: Content + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = |request| service(request, caller.clone());
    match spoken {
        Spoken::Http1 => connection::serve_stream(stream, limits, service, drain).await,
        Spoken::Http2 => http2::serve(stream, limits, service, drain).await,
    }
}

/// The stream with its first octets in front again, and what they say; `None` where none came in time.
pub async fn chosen(mut stream: Stream, limits: &Limits, drain: &Drain) -> Option<(Stream, Spoken)> {
    let mut first = BytesMut::with_capacity(FIRST);
    let mut deadline = None;
    loop {
        // Most requests have come when their connection is accepted: no timer for those.
        let read = match stream.read_buf(&mut first).now_or_never() {
            Some(read) => read.ok()?,
            None => {
                let by = *deadline.get_or_insert_with(|| {
                    Instant::now() + if first.is_empty() { limits.idle_timeout } else { limits.head_timeout }
                });
                tokio::select! {
                    // What has come is read before the time is looked at: on a busy machine both may be there at once.
                    biased;
                    read = stream.read_buf(&mut first) => read.ok()?,
                    () = tokio::time::sleep_until(by) => return None,
                    () = drained(drain) => return None,
                }
            }
        };
        if first.is_empty() {
            return None;
        }
        if read == first.len() {
            deadline = None;
        }
        if read == first.len() && first[0] == HANDSHAKE {
            tracing::info!(
                "TLS was spoken on a listener without listen_tls: it has to be asked with http://, also where it is a proxy"
            );
        }
        match spoken(&first) {
            None if read > 0 => {}
            // An end in the middle is for HTTP/1.1 to refuse.
            spoken => {
                let octets: Bytes = first.freeze();
                return Some((stream.rewound(octets), spoken.unwrap_or(Spoken::Http1)));
            }
        }
    }
}

/// What the first octets say; `None` where they can still become either.
fn spoken(first: &[u8]) -> Option<Spoken> {
    if first.starts_with(PREFACE) {
        Some(Spoken::Http2)
    } else if PREFACE.starts_with(first) {
        None
    } else {
        Some(Spoken::Http1)
    }
}

/// Returns once a connection that has said nothing need not be waited for any more.
pub(super) async fn drained(drain: &Drain) {
    drain.cancelled().await;
    tokio::time::sleep(LAST_CALL).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r051_no_more_octets_are_waited_for_than_decide() {
        for (first, expected) in [
            (&b"P"[..], None),
            (b"PR", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (PREFACE, Some(Spoken::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Some(Spoken::Http2)),
            (b"G", Some(Spoken::Http1)),
            (b"PO", Some(Spoken::Http1)),
            (b"PRI * HTTP/1", Some(Spoken::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\n", Some(Spoken::Http1)),
            (b"\r\n", Some(Spoken::Http1)),
        ] {
            assert_eq!(spoken(first), expected, "{}", String::from_utf8_lossy(first));
        }
    }
}
