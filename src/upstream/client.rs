//! The pooled client of one endpoint on one worker: the seam behind which a request leaves.
//!
//! Knows how a request looks on HTTP/1.1 and on HTTP/2, that a connection found closed before anything was written
//! costs one more connection and nothing else, and what counts as an HTTP answer. Does not know tokens, routes, or
//! whether a request that may have been received can be sent again.

use std::{cell::Cell, fmt, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::TokioTimer;

pub use super::answer::AnswerBody;
use super::{
    ConnectError, Connection, Endpoint,
    answer::Lease,
    pool::{Line, Pool, Shared},
    socket::{LocalExecutor, Socket},
};

/// The largest answer head, in octets (a larger one is a fault of the upstream).
const HEAD_SIZE: usize = 64 << 10;
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
}

/// Why a request got no answer.
#[derive(Debug)]
pub enum SendError {
    /// There is no connection; nothing was written.
    Connect(ConnectError),
    /// The connection ended before an answer; the request may have been received.
    Cut(hyper::Error),
    /// The request's own body failed.
    Body(hyper::Error),
    /// What came back is no HTTP answer, or one whose end cannot be told.
    NotHttp(String),
    /// The answer's head has more than 100 fields or 64 KiB.
    HeadTooLarge,
    /// More than 16 interim answers and no final one.
    TooManyInterim,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client without a connection yet.
    pub fn new(endpoint: Arc<Endpoint>, limits: Limits) -> Self {
        Self {
            endpoint,
            pool: Pool::new(limits),
            spoke_http2: Cell::new(false),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// Where every request of this client goes.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends `request` (origin-form target, `Host` among its fields) and returns the answer's head; the body streams.
    /// A request of which nothing was written, because a kept connection was found closed, goes out on a fresh one.
    /// Dropping the future drops the connection.
    ///
    /// # Errors
    /// There is no connection, or it brought no final answer.
    pub async fn send(&self, request: Request<B>) -> Result<Response<AnswerBody<B>>, SendError> {
        let request = match self.pool.take() {
            None => request,
            Some(line) => match self.carry(line, request).await {
                Err(Unanswered::NotSent(request, _)) => *request,
                Err(Unanswered::Failed(error)) => return Err(error),
                Ok(response) => return Ok(response),
            },
        };
        let line = self.open().await?;
        self.carry(line, request).await.map_err(|unanswered| match unanswered {
            Unanswered::NotSent(_, error) => SendError::Cut(error),
            Unanswered::Failed(error) => error,
        })
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
        if connection.http2 { self.open_http2(connection).await } else { self.open_http1(connection).await }
    }

    async fn open_http1(&self, connection: Connection) -> Result<Line<B>, SendError> {
        let (sender, task) = http1::Builder::new()
            .preserve_header_case(true)
            // RFC 9112 section 5.1: a proxy removes such white space, it does not refuse the answer.
            .allow_spaces_after_header_name_in_responses(true)
            .max_header_size(HEAD_SIZE)
            .handshake(Socket::new(connection.io))
            .await
            .map_err(SendError::Cut)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = task.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        Ok(Line::Own(Lease::new(sender, &self.pool)))
    }

    async fn open_http2(&self, connection: Connection) -> Result<Line<B>, SendError> {
        let (sender, task) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .max_header_list_size(HEAD_SIZE as u32)
            .handshake(Socket::new(connection.io))
            .await
            .map_err(SendError::Cut)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = task.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        self.pool.share(Shared::new(sender.clone()));
        Ok(Line::Shared(sender))
    }

    async fn carry(&self, line: Line<B>, request: Request<B>) -> Carried<B> {
        match line {
            Line::Own(lease) => carry_http1(lease, request).await,
            Line::Shared(sender) => self.carry_http2(sender, request).await,
        }
    }

    async fn carry_http2(&self, mut sender: http2::SendRequest<B>, mut request: Request<B>) -> Carried<B> {
        for_http2(&mut request, self.endpoint.origin().is_https()).map_err(Unanswered::Failed)?;
        let response = sender.try_send_request(request).await.map_err(Unanswered::from)?;
        Ok(response.map(|incoming| AnswerBody::new(incoming, None)))
    }
}

type Carried<B> = Result<Response<AnswerBody<B>>, Unanswered<B>>;

/// Why one connection brought no answer, and whether the request is still whole in our hands.
enum Unanswered<B> {
    NotSent(Box<Request<B>>, hyper::Error),
    Failed(SendError),
}

impl<B> From<TrySendError<Request<B>>> for Unanswered<B> {
    fn from(mut failed: TrySendError<Request<B>>) -> Self {
        let request = failed.take_message();
        let error = failed.into_error();
        match request {
            Some(request) => Self::NotSent(Box::new(request), error),
            None if error.is_user() => Self::Failed(SendError::Body(error)),
            None if error.is_parse_too_large() => Self::Failed(SendError::HeadTooLarge),
            None if error.is_parse() => Self::Failed(SendError::NotHttp(error.to_string())),
            None => Self::Failed(SendError::Cut(error)),
        }
    }
}

async fn carry_http1<B>(mut lease: Lease<B>, mut request: Request<B>) -> Carried<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    for_http1(&mut request);
    let interim = lease.watch_interim(&mut request);
    let response = tokio::select! {
        biased;
        answer = lease.sender().try_send_request(request) => answer.map_err(Unanswered::from)?,
        () = interim.too_many() => return Err(Unanswered::Failed(SendError::TooManyInterim)),
    };
    check_framing(&response).map_err(|problem| Unanswered::Failed(SendError::NotHttp(problem.to_owned())))?;
    Ok(response.map(|incoming| AnswerBody::new(incoming, Some(lease))))
}

/// Its own version per hop (RFC 9112 section 2.3), and chunks where the length is unknown: hyper would send a GET of
/// unknown length without its body.
fn for_http1<B: Body>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_11;
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).ok();
        let target = request.uri().path_and_query().cloned().map(Uri::from);
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, host);
        }
        *request.uri_mut() = target.unwrap_or_default();
    }
    let body = request.body();
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// `Host` becomes `:authority` and connection-specific fields stay behind (RFC 9113 sections 8.2.2 and 8.3.1).
fn for_http2<B>(request: &mut Request<B>, https: bool) -> Result<(), SendError> {
    *request.version_mut() = Version::HTTP_2;
    if request.uri().authority().is_some() {
        return Ok(());
    }
    let fields = std::mem::take(request.headers_mut());
    let mut uri = http::uri::Parts::from(std::mem::take(request.uri_mut()));
    uri.scheme = Some(if https { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    uri.authority = fields.get(header::HOST).and_then(|host| host.as_bytes().try_into().ok());
    *request.uri_mut() = Uri::from_parts(uri).map_err(|error| SendError::NotHttp(error.to_string()))?;
    let mut kept = HeaderMap::with_capacity(fields.len());
    let mut last = None;
    for (name, value) in fields {
        last = name.or(last);
        if let Some(name) = &last
            && !matches!(*name, header::HOST | header::CONNECTION | header::TRANSFER_ENCODING)
        {
            kept.append(name.clone(), value);
        }
    }
    *request.headers_mut() = kept;
    Ok(())
}

/// An answer whose end two readers could see in two places is none (RFC 9112 section 6.3); hyper lets these through.
fn check_framing(response: &Response<Incoming>) -> Result<(), &'static str> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err("it switched protocols unasked");
    }
    let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if response.headers().contains_key(header::CONTENT_LENGTH) {
        return Err("the answer has both Content-Length and Transfer-Encoding");
    }
    if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
        return Err("the answer has a transfer coding other than chunked");
    }
    Ok(())
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
            Self::Body(_) => f.write_str("the request's body failed"),
            Self::NotHttp(problem) => write!(f, "no valid HTTP answer: {problem}"),
            Self::HeadTooLarge => {
                f.write_str("the answer's head is larger than 64 KiB or has over 100 fields")
            }
            Self::TooManyInterim => f.write_str("more than 16 interim answers and no final one"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cut(error) | Self::Body(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::upstream::{Origin, Protocol, tls};

    async fn listening() -> (TcpListener, Client<Full<Bytes>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let connect_timeout = Duration::from_secs(5);
        let endpoint = Endpoint::new(
            Origin::of(&url).unwrap(),
            &tls::Settings::default(),
            Protocol::Http1,
            connect_timeout,
        );
        let limits = Limits {
            idle_connections: 4,
            idle_timeout: Duration::from_secs(60),
            greatest_age: Duration::from_secs(60),
        };
        (listener, Client::new(endpoint.unwrap(), limits))
    }

    fn post() -> Request<Full<Bytes>> {
        Request::post("/").header("host", "h").body(Full::from("abc")).unwrap()
    }

    async fn answer_one(listener: &TcpListener) -> TcpStream {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\nabc") {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        socket
    }

    fn run(test: impl Future<Output = ()>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(Default::default()).unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), test).await.expect("it hangs") });
    }

    #[test]
    fn r093_r118_a_post_of_which_nothing_was_written_goes_out_on_a_fresh_connection() {
        run(async {
            let (listener, client) = listening().await;
            for last_words in ["", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"] {
                let (response, mut socket) = tokio::join!(client.send(post()), answer_one(&listener));
                assert_eq!(response.unwrap().collect().await.unwrap().to_bytes(), "ok");
                assert_eq!(socket.try_write(last_words.as_bytes()).unwrap_or(0), last_words.len());
                socket.flush().await.unwrap();
                drop(socket);
                // The reactor learns of it; the connection's task has no turn yet, so that the pool cannot know.
                tokio::task::yield_now().await;
                let (response, _socket) = tokio::join!(client.send(post()), answer_one(&listener));
                let mut response = response.unwrap();
                assert_eq!(response.status(), StatusCode::OK, "r090: last words are nobody's answer");
                while response.frame().await.is_some() {}
                client.pool.take();
            }
        });
    }
}
