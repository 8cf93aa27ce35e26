//! The pooled client of one endpoint on one worker: the seam behind which a request leaves.
//!
//! Knows which connection a request goes out on, that a connection found closed before anything was written costs one more connection
//! and nothing else, and why there may be no answer. How a request looks there, `http1` and `http2` know. Does not know tokens, routes,
//! or whether a request that may have been received can be sent again.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{Method, StatusCode};
use http_body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{
    ConnectError, Connection, Endpoint, Protocol,
    http1::{self, Exchange, Sending},
    pool::{Line, Pool, Shared},
    socket::Socket,
    tunnelling::ExtendedConnect,
};
pub use super::{answer::AnswerBody, sent::Sent};
use crate::wire::{Answer, AnswerHead, LocalExecutor, Stream, head::Outgoing};

/// The largest head of an HTTP/2 answer, in octets (a larger one is a fault of the upstream).
const HEAD_SIZE: u32 = 64 << 10;
/// How often a used HTTP/2 connection is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What is kept open, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Idle connections at most.
    pub idle_connections: usize,
    /// How long one may idle.
    pub idle_timeout: Duration,
    /// How old one may get; an older one finishes what it carries.
    pub greatest_age: Duration,
}

/// A client of one endpoint. Stays on its worker's thread; needs a tokio `LocalRuntime` or `LocalSet` around it.
pub struct Client<B> {
    endpoint: Arc<Endpoint>,
    pool: Rc<Pool<B>>,
    spoke_http2: Cell<bool>,
    connecting: tokio::sync::Mutex<()>,
    /// Of the HTTP/2 connection that was opened last.
    extended_connect: RefCell<ExtendedConnect>,
}

/// Why a request got no answer.
#[derive(Debug)]
pub enum SendError {
    /// There is no connection; nothing was written.
    Connect(ConnectError),
    /// The connection ended before an answer; the request may have been received.
    Cut(Cause),
    /// The upstream has said that it did not begin with the request: a stream refused, or above what its GOAWAY names (RFC 9113 section
    /// 8.7). It can be sent again, whatever it is.
    NotBegun(Cause),
    /// The request's own body failed.
    Body(Cause),
    /// What came back is no HTTP answer, or one whose end cannot be told.
    NotHttp(String),
    /// The answer's head has more than 100 fields or 64 KiB.
    HeadTooLarge,
    /// More than 16 interim answers and no final one.
    TooManyInterim,
    /// A tunnel was asked for, and the peer speaks HTTP/2 without extended CONNECT (RFC 8441). Nothing was sent.
    NoExtendedConnect,
}

/// What went wrong below.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Cause>,
{
    /// A client without a connection yet.
    pub fn new(endpoint: Arc<Endpoint>, limits: Limits) -> Self {
        Self {
            endpoint,
            pool: Pool::new(limits),
            spoke_http2: Cell::new(false),
            connecting: tokio::sync::Mutex::new(()),
            extended_connect: RefCell::default(),
        }
    }

    /// Where every request of this client goes.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends `request` with this content and returns the answer's head; the body streams.
    /// Interim answers are shown to `interim`, where HTTP/1.1 is spoken. A request of which nothing was written, because a kept
    /// connection was found closed, goes out on a fresh one. Dropping the future drops the connection.
    ///
    /// # Errors
    /// There is no connection, or it brought no final answer.
    pub fn send<'a>(
        &'a self,
        request: &'a dyn Outgoing,
        content: B,
        interim: &'a dyn Fn(Box<AnswerHead>),
    ) -> Sent<'a, B> {
        if request.asks_to_switch() || *request.method() == Method::CONNECT {
            return Sent::elsewhere(self, request, interim, self.send_for_tunnel(request, content, interim));
        }
        // What can be sent again need not be choosy.
        let once = !is_idempotent(request.method()) || !content.is_end_stream();
        match self.pool.take(once) {
            Some(Line::Own(mut connection)) => {
                let sending = Sending::new(request, content, connection.memory());
                Sent::on(self, request, interim, Exchange::new(connection, sending))
            }
            Some(Line::Shared(sender, born)) => {
                let answer = self.send_shared(sender, born, request, content, interim);
                Sent::elsewhere(self, request, interim, answer)
            }
            None => {
                let answer = self.send_on_fresh(request, Unsent::Content(content), interim);
                Sent::elsewhere(self, request, interim, answer)
            }
        }
    }

    /// The same, never on an HTTP/1.1 connection that was kept: for a request that met the end of one.
    ///
    /// # Errors
    /// There is no connection, or it brought no final answer.
    pub fn send_afresh<'a>(
        &'a self,
        request: &'a dyn Outgoing,
        content: B,
        interim: &'a dyn Fn(Box<AnswerHead>),
    ) -> LocalBoxFuture<'a, Result<Answer<AnswerBody<B>>, SendError>> {
        if request.asks_to_switch() || *request.method() == Method::CONNECT {
            self.send_for_tunnel(request, content, interim)
        } else {
            self.send_on_fresh(request, Unsent::Content(content), interim)
        }
    }

    /// Boxed, as the rare way that it is.
    fn send_for_tunnel<'a>(
        &'a self,
        request: &'a dyn Outgoing,
        content: B,
        interim: &'a dyn Fn(Box<AnswerHead>),
    ) -> LocalBoxFuture<'a, Result<Answer<AnswerBody<B>>, SendError>> {
        Box::pin(async move {
            let line = self.line_for_tunnel(request).await?;
            let unsent = Unsent::Content(content);
            self.carry(line, request, unsent, interim).await.map_err(Unanswered::last)
        })
    }

    /// On the HTTP/2 connection that requests share; where it took nothing any more, on another.
    fn send_shared<'a>(
        &'a self,
        sender: http2::SendRequest<B>,
        born: tokio::time::Instant,
        request: &'a dyn Outgoing,
        content: B,
        interim: &'a dyn Fn(Box<AnswerHead>),
    ) -> LocalBoxFuture<'a, Result<Answer<AnswerBody<B>>, SendError>> {
        Box::pin(async move {
            match self.carry_shared(sender, born, request, content).await {
                Err(Unanswered::NotSent(unsent, _)) => self.send_on_fresh(request, *unsent, interim).await,
                carried => carried.map_err(Unanswered::last),
            }
        })
    }

    /// Boxed, because it is the rare way and would double every exchange's size.
    pub(super) fn send_on_fresh<'a>(
        &'a self,
        request: &'a dyn Outgoing,
        unsent: Unsent<B>,
        interim: &'a dyn Fn(Box<AnswerHead>),
    ) -> LocalBoxFuture<'a, Result<Answer<AnswerBody<B>>, SendError>> {
        Box::pin(async move {
            let line = self.open().await?;
            self.carry(line, request, unsent, interim).await.map_err(Unanswered::last)
        })
    }

    /// Whether it speaks HTTP/2, as far as is known.
    pub fn speaks_http2(&self) -> bool {
        self.spoke_http2.get() || self.endpoint.protocol() == Protocol::Http2
    }

    pub(super) fn extended_connect(&self) -> ExtendedConnect {
        self.extended_connect.borrow().clone()
    }

    /// The HTTP/2 connection that requests share, for a client that speaks nothing else.
    pub(super) async fn shared(&self) -> Result<Line<B>, SendError> {
        match self.pool.take_shared() {
            Some(line) => Ok(line),
            None => self.open().await,
        }
    }

    /// A fresh connection. Where HTTP/2 was spoken before, requests that come together share one.
    async fn open(&self) -> Result<Line<B>, SendError> {
        let _turn = if self.spoke_http2.get() {
            // As long as connecting may take: where nobody answers, the queue must not add up their times.
            let turn = tokio::time::timeout(self.endpoint.connect_timeout(), self.connecting.lock()).await;
            let turn = turn.map_err(|_| SendError::Connect(ConnectError::TimedOut))?;
            if let Some(line) = self.pool.take_shared() {
                return Ok(line);
            }
            Some(turn)
        } else {
            None
        };
        let connection = self.endpoint.connect().await.map_err(SendError::Connect)?;
        self.spoke_http2.set(connection.http2);
        if connection.http2 {
            self.open_http2(connection).await
        } else {
            Ok(Line::Own(http1::Connection::new(connection.io)))
        }
    }

    async fn open_http2(&self, connection: Connection) -> Result<Line<B>, SendError> {
        let (sender, task) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .max_header_list_size(HEAD_SIZE)
            .handshake(Socket::new(connection.io))
            .await
            .map_err(|error| SendError::Cut(error.into()))?;
        let (extended_connect, task) = ExtendedConnect::of(task);
        self.extended_connect.replace(extended_connect);
        tokio::task::spawn_local(async move {
            if let Err(error) = task.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        let shared = Shared::new(sender);
        let line = shared.line();
        self.pool.share(shared);
        Ok(line)
    }

    async fn carry(
        &self,
        line: Line<B>,
        request: &dyn Outgoing,
        unsent: Unsent<B>,
        interim: &dyn Fn(Box<AnswerHead>),
    ) -> Carried<B> {
        match (line, unsent) {
            (Line::Own(mut connection), Unsent::Content(content)) => {
                let sending = Sending::new(request, content, connection.memory());
                self.carry_http1(connection, sending, interim).await
            }
            (Line::Own(connection), Unsent::Encoded(sending)) => {
                self.carry_http1(connection, sending, interim).await
            }
            (Line::Shared(sender, born), Unsent::Content(content)) => {
                // Boxed, because every exchange by HTTP/1.1 would be as large.
                Box::pin(self.carry_shared(sender, born, request, content)).await
            }
            (Line::Shared(..), Unsent::Encoded(_)) => {
                let changed = "the upstream speaks another version of HTTP than a moment ago";
                Err(Unanswered::Failed(SendError::Cut(changed.into())))
            }
        }
    }

    async fn carry_shared(
        &self,
        sender: http2::SendRequest<B>,
        born: tokio::time::Instant,
        request: &dyn Outgoing,
        content: B,
    ) -> Carried<B> {
        let request = super::http2::request(request, content, self.endpoint.origin().is_https());
        let carried = self.carry_http2(sender, request.map_err(Unanswered::Failed)?).await;
        // A stream may be refused for itself alone; a connection that is told to end takes no other.
        let ends = match &carried {
            Err(Unanswered::Failed(SendError::NotBegun(cause))) => super::http2::is_go_away(&**cause),
            outcome => matches!(outcome, Err(Unanswered::NotSent(..))),
        };
        if ends {
            self.pool.retire(born);
        }
        carried
    }

    async fn carry_http1(
        &self,
        connection: Box<http1::Connection>,
        sending: Sending<B>,
        interim: &dyn Fn(Box<AnswerHead>),
    ) -> Carried<B> {
        let mut exchange = Exchange::new(connection, sending);
        let head = poll_fn(|cx| exchange.poll_answer(interim, cx)).await;
        self.carried(exchange, head)
    }

    /// What became of an exchange on HTTP/1.1.
    pub(super) fn carried(
        &self,
        exchange: Box<Exchange<B>>,
        head: Result<Box<AnswerHead>, http1::Unanswered>,
    ) -> Carried<B> {
        let unanswered = match head {
            Ok(head) => {
                return Ok(Answer { head, content: AnswerBody::http1(exchange, Rc::downgrade(&self.pool)) });
            }
            Err(unanswered) => unanswered,
        };
        let cut = matches!(
            unanswered,
            http1::Unanswered::NotSent(_) | http1::Unanswered::Failed(SendError::Cut(_))
        );
        if cut && exchange.was_kept() {
            self.pool.was_cut();
        }
        Err(match (unanswered, exchange.into_unsent()) {
            (http1::Unanswered::NotSent(error), Some(sending)) => {
                Unanswered::NotSent(Box::new(Unsent::Encoded(sending)), error.into())
            }
            (http1::Unanswered::NotSent(error), None) => Unanswered::Failed(SendError::Cut(error.into())),
            (http1::Unanswered::Failed(error), _) => Unanswered::Failed(error),
        })
    }

    async fn carry_http2(&self, mut sender: http2::SendRequest<B>, request: http::Request<B>) -> Carried<B> {
        let is_connect = *request.method() == Method::CONNECT;
        let mut response = sender.try_send_request(request).await.map_err(Unanswered::from)?;
        // hyper hands the stream over after a 200 alone.
        let tunnel = if is_connect && response.status() == StatusCode::OK {
            let stream = hyper::upgrade::on(&mut response).await;
            let stream = stream.map_err(|error| Unanswered::Failed(SendError::Cut(error.into())))?;
            Some(Stream::Upgraded(Box::new(TokioIo::new(stream))))
        } else {
            None
        };
        Ok(response.map(|incoming| AnswerBody::http2(incoming, tunnel)).into())
    }
}

pub(super) type Carried<B> = Result<Answer<AnswerBody<B>>, Unanswered<B>>;

/// What of a request is not in its head, on its way to a connection.
pub(super) enum Unsent<B> {
    Content(B),
    /// All of it as HTTP/1.1 writes it; none of it was written.
    Encoded(Sending<B>),
}

/// Why one connection brought no answer, and whether the request is still whole in our hands.
pub(super) enum Unanswered<B> {
    NotSent(Box<Unsent<B>>, Cause),
    Failed(SendError),
}

impl<B> Unanswered<B> {
    /// What it means where no other connection is tried.
    pub(super) fn last(self) -> SendError {
        match self {
            Self::NotSent(_, cause) => SendError::Cut(cause),
            Self::Failed(error) => error,
        }
    }
}

/// Whether doing it twice means the same as once (RFC 9110 section 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "{error}"),
            Self::Cut(error) => write!(f, "the connection ended before an answer: {error}"),
            Self::NotBegun(error) => write!(f, "the upstream has refused to begin with the request: {error}"),
            Self::Body(_) => f.write_str("the request's body failed"),
            Self::NotHttp(problem) => write!(f, "no valid HTTP answer: {problem}"),
            Self::HeadTooLarge => {
                f.write_str("the answer's head is larger than 64 KiB or has over 100 fields")
            }
            Self::NoExtendedConnect => f.write_str(
                "no WebSocket can pass: the upstream speaks HTTP/2 without extended CONNECT (RFC 8441); \
                 http = \"1\" may help",
            ),
            Self::TooManyInterim => f.write_str("more than 16 interim answers and no final one"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cut(error) | Self::NotBegun(error) | Self::Body(error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
