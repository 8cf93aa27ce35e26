//! One connection of an application that speaks HTTP/2: hyper's, within our limits, and an end that loses no request.
//!
//! Knows what stands around hyper: frames are metered before it reads them (`meter`, `hpack`), requests are judged after it made them
//! (`request`), and a connection ends in the order of RFC 9113 section 6.8. Does not know what answers a request.

mod frames;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod hpack;
mod huffman;
mod meter;
mod request;
mod watch;

#[cfg(test)]
mod tests;

use std::{cell::RefCell, convert::Infallible, pin::Pin, pin::pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use hyper::{
    server::conn::http2,
    service::{HttpService, service_fn},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::{
    meter::{Findings, Meter, Verdict},
    request::Refused,
    watch::{Exchange, Watch},
};
use super::{connection, drain::Drain};
use crate::{
    proxy::ResponseBody,
    wire::{Answer, Content, Incoming, LocalExecutor, Request, Stream},
};

/// How long a connection that is told to end may still begin a request whose frames were on their way, and how long we wait for
/// somebody to read our last frame.
const LAST_CALL: Duration = Duration::from_millis(250);
/// What is read and thrown away of somebody who does not stop sending, in octets.
const LEFT_UNREAD: usize = 256 << 10;
/// What one stream may send that nobody has read yet, and all streams of a connection together, in octets.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is held of one answer that the application does not read, in octets, besides what the upstream sent at once.
const SEND_BUFFER: usize = 64 << 10;

/// What bounds an HTTP/2 connection besides what bounds every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub streams: u32,
    /// RST_STREAM frames in about a second.
    pub resets: u32,
    /// Frames in about a second that carry nothing: PING, SETTINGS, PRIORITY, GOAWAY, empty ones, unknown ones, and WINDOW_UPDATE beyond
    /// two for each DATA frame that was sent.
    pub control_frames: u32,
    /// Extended CONNECT (RFC 8441) is offered.
    pub extended_connect: bool,
}

impl Limits {
    /// What suits a sidecar.
    pub const DEFAULT: Self =
        Self { streams: 100, resets: 200, control_frames: 1000, extended_connect: false };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Serves one connection until it ends. Once `drain` is cancelled the requests under way are finished, those that are arriving are
/// answered, and then the connection is closed.
pub(super) async fn serve<S, F, B>(stream: Stream, limits: &connection::Limits, service: S, drain: Drain)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<B>> + 'static,
    B: Content + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (watch, findings) = (Watch::new(), Rc::new(Findings::default()));
    let stream = Rc::new(RefCell::new(stream));
    let meter = Meter::new(stream.clone(), watch.clone(), findings.clone(), &limits.http2);
    let service = service_fn(|request| {
        let exchange = Exchange::begin(watch.clone());
        let is_head = *request.method() == Method::HEAD;
        answered(ask(request, limits, &watch, &service), is_head, exchange)
    });
    converse(meter, service, limits, &watch, drain).await;
    if let Some(verdict) = findings.verdict.get() {
        tracing::info!(why = ?verdict, "an application's HTTP/2 connection was ended");
    }
    // With hyper's connection the meter is gone, and the stream is ours again.
    if !findings.over.get()
        && let Some(stream) = Rc::into_inner(stream)
    {
        farewell(stream.into_inner(), &findings).await;
    }
}

/// Lets hyper speak until the connection ends or has to.
async fn converse<S, B>(meter: Meter, service: S, limits: &connection::Limits, watch: &Watch, drain: Drain)
where
    S: HttpService<hyper::body::Incoming, ResBody = Reply<B>, Error = Infallible>,
    S::Future: 'static,
    B: Content + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .max_concurrent_streams(limits.http2.streams)
        .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.http2.resets as usize)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    if limits.http2.extended_connect {
        builder.enable_connect_protocol();
    }
    let mut connection = pin!(builder.serve_connection(TokioIo::new(meter), service));
    let overstayed = tokio::select! {
        // A broken connection is the application's to notice; there is nobody to tell.
        _ended = connection.as_mut() => return,
        () = watch.overstayed(limits) => true,
        () = drain.cancelled() => false,
    };
    // First "no more", then, once the application has seen that, what was the last.
    connection.as_mut().graceful_shutdown();
    if overstayed {
        let _last_words = tokio::time::timeout(LAST_CALL, connection.as_mut()).await;
        return;
    }
    tokio::select! {
        // What has come is read before the time is looked at: on a busy machine both may be there at once.
        biased;
        _ended = connection.as_mut() => {}
        () = watch.overstayed(limits) => {}
        () = watch.idle_for(LAST_CALL) => {}
    }
}

/// Our GOAWAY, where it is we who end the connection, and an end that lets the last frame be read: what lies unread when a socket is
/// closed takes back what was sent (RFC 9112 section 9.6 has the same in HTTP/1.1).
async fn farewell(mut stream: Stream, findings: &Findings) {
    let farewell = async {
        if let Some(verdict) = findings.verdict.get()
            && findings.at_boundary.get()
        {
            stream.write_all(&goaway(verdict, findings.last_stream.get())).await?;
        }
        stream.shutdown().await?;
        let mut unread = vec![0; 16 << 10];
        let mut left = LEFT_UNREAD;
        while left > 0 {
            match stream.read(&mut unread).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    // Whoever is gone or does not read needs no farewell.
    let _unheard = tokio::time::timeout(LAST_CALL, farewell).await;
}

/// RFC 9113 section 6.8.
fn goaway(verdict: Verdict, last_stream: u32) -> [u8; 17] {
    let mut frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[9..13].copy_from_slice(&last_stream.to_be_bytes());
    frame[13..].copy_from_slice(&verdict.code().to_be_bytes());
    frame
}

/// What becomes of a request's head: who answers it and what becomes of its stream after a CONNECT, or why it has no answer but ours.
/// The former is boxed: it is kilobytes large, and hyper and its task would keep and copy it several times over.
type Asked<F> = Result<(Pin<Box<F>>, Option<OnUpgrade>), Refused>;

/// Asks `service`, unless the request is malformed.
fn ask<S, F>(
    request: http::Request<hyper::body::Incoming>,
    limits: &connection::Limits,
    watch: &Watch,
    service: &S,
) -> Asked<F>
where
    S: Fn(Request<Incoming>) -> F,
{
    let mut request = request::checked(request, limits)?;
    let tunnel = (*request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
    Ok((Box::pin(service(request.map(|content| Incoming::http2(content, watch.upload())).into())), tunnel))
}

/// The answer; a stream that it leaves to somebody is handed over once its head is written.
async fn answered<F, B>(
    asked: Asked<F>,
    is_head: bool,
    exchange: Exchange,
) -> Result<http::Response<Reply<B>>, Infallible>
where
    F: Future<Output = Answer<B>>,
    B: Content,
{
    let (answer, tunnel) = match asked {
        Ok(asked) => asked,
        Err(Refused { failure, malformed }) => {
            failure.log();
            let reset = malformed.then(|| Reset { watch: exchange.watch(), since: None });
            let ours = |body| if is_head { ResponseBody::whole(Bytes::new()) } else { body };
            let reply =
                |body| Reply { said: Said::Ours { body: ours(body), reset }, exchange: Some(exchange) };
            return Ok(failure.into_response().map(reply).into());
        }
    };
    let mut answer = answer.await;
    let mut exchange = Some(exchange);
    if let (Some(takeover), Some(tunnel)) = (answer.content.take_over(), tunnel) {
        // The stream's exchange ends with its tunnel, not with its head.
        let exchange = exchange.take();
        tokio::task::spawn_local(async move {
            // An application that is gone needs no tunnel.
            if let Ok(upgraded) = tunnel.await {
                takeover(Stream::Upgraded(Box::new(TokioIo::new(upgraded)))).await;
            }
            drop(exchange);
        });
    }
    Ok(answer.map(|body| Reply { said: Said::Theirs { body }, exchange }).into())
}

pin_project! {
    /// An answer's body that ends its exchange when it is dropped.
    struct Reply<B> {
        #[pin]
        said: Said<B>,
        exchange: Option<Exchange>,
    }
}

pin_project! {
    #[project = Saying]
    enum Said<B> {
        Ours { #[pin] body: ResponseBody, reset: Option<Reset> },
        Theirs { #[pin] body: B },
    }
}

/// What ends the stream of a malformed request once its 400 is written: RFC 9113 section 8.1.1 asks for an error of the stream, which an
/// answer may precede.
struct Reset {
    watch: Rc<Watch>,
    since: Option<u64>,
}

impl<B> Body for Reply<B>
where
    B: Content,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().said.project() {
            Saying::Ours { body, reset } => match (body.poll_frame(cx), reset) {
                (Poll::Ready(None), Some(reset)) => {
                    let error = || Some(Err(h2::Error::from(h2::Reason::PROTOCOL_ERROR).into()));
                    reset.watch.poll_flushed(&mut reset.since, cx).map(|()| error())
                }
                (frame, _) => frame.map_err(Into::into),
            },
            Saying::Theirs { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.said {
            Said::Ours { body, reset } => reset.is_none() && body.is_end_stream(),
            Said::Theirs { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.said {
            Said::Ours { body, .. } => body.size_hint(),
            Said::Theirs { body } => body.size_hint(),
        }
    }
}
