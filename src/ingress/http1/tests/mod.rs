//! What an application sees of a connection, octet by octet.

mod answers;
mod content;
mod cuts;
mod ends;
mod heads;
mod uploads;

use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{LocalSet, spawn_local},
    time::Instant,
};

use super::*;
use crate::wire::{AnswerHead, BodyError, Takeover};

const LIMITS: Limits = Limits {
    head_size: 8 << 10,
    head_fields: 20,
    head_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(300),
    body_timeout: Duration::from_secs(60),
    refuse_underscores: false,
    http2: super::super::http2::Limits::DEFAULT,
};

/// Content of any kind.
struct Any {
    body: Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>,
    takeover: Option<Takeover>,
}

impl Any {
    fn new(body: impl Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self { body: Box::pin(body), takeover: None }
    }

    fn whole(content: impl Into<Bytes>) -> Self {
        Self::new(Full::new(content.into()).map_err(|never: Infallible| match never {}))
    }

    fn pieces(pieces: Vec<Result<Frame<Bytes>, BodyError>>) -> Self {
        Self::new(StreamBody::new(stream::iter(pieces)))
    }
}

impl Body for Any {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Content for Any {
    fn take_over(&mut self) -> Option<Takeover> {
        self.takeover.take()
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// A connection that is answered by `service`.
fn serving<F: Future<Output = Answer<Any>> + 'static>(
    service: impl Fn(Request<Incoming>) -> F + 'static,
) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    spawn_local(async move { serve(Stream::Memory(theirs), &LIMITS, service, Drain::new()).await });
    ours
}

async fn tcp<F: Future<Output = Answer<Any>> + 'static>(
    service: impl Fn(Request<Incoming>) -> F + 'static,
) -> TcpStream {
    tcp_within(LIMITS, service).await
}

async fn tcp_within<F: Future<Output = Answer<Any>> + 'static>(
    limits: Limits,
    service: impl Fn(Request<Incoming>) -> F + 'static,
) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    spawn_local(async move { serve(Stream::Tcp(theirs), &limits, service, Drain::new()).await });
    ours
}

/// Says the target and the content of each request.
async fn echo(request: Request<Incoming>) -> Answer<Any> {
    let target = request.head.target.to_string();
    let content = match request.content.collect().await {
        Ok(content) => content.to_bytes(),
        Err(error) => {
            let mut refused = Answer::new(Any::whole("broken"));
            refused.head.status = StatusCode::BAD_REQUEST;
            refused
                .head
                .fields
                .insert(&http::HeaderName::from_static("x-error"), &error.to_string().parse().unwrap());
            return refused;
        }
    };
    let text = format!("<{target} {}>", String::from_utf8_lossy(&content));
    Answer::new(Any::whole(text))
}

fn local<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(
        LocalSet::new().run_until(async {
            tokio::time::timeout(Duration::from_secs(20), test).await.expect("it hangs")
        }),
    )
}

async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let _cut = stream.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

async fn said(sent: impl AsRef<[u8]>) -> String {
    let mut stream = serving(echo);
    stream.write_all(sent.as_ref()).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await
}

async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        assert_ne!(
            stream.read_buf(&mut all).await.unwrap(),
            0,
            "it ended: {}",
            String::from_utf8_lossy(&all)
        );
    }
    String::from_utf8(all).unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn paused(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    let test = async { tokio::time::timeout(Duration::from_secs(24 * 3600), test).await };
    runtime.block_on(LocalSet::new().run_until(test)).expect("a day later it still stands there");
}

/// Says when it is dropped.
struct TellsItsEnd(Rc<Notify>);

impl Drop for TellsItsEnd {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
