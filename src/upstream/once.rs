//! One request over one fresh connection, for authorization servers.
//!
//! A request that spends a one-use refresh token must not ride on a kept connection: that may be dead already, and then
//! nobody can tell whether the token was spent. So each request opens a connection, and closes it after the answer.
//! Knows time limits and size limits. Does not know what the answer means; follows no redirect and decompresses nothing.

use std::{error::Error, fmt, future::Future, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use zeroize::Zeroizing;

use super::{ConnectError, Connection, Endpoint};

/// The longest response body that is read, in octets.
pub const LONGEST_BODY: usize = 1 << 20;
/// The largest response head, in octets, and the most fields in it.
const LARGEST_HEAD: u32 = 64 << 10;
const MOST_FIELDS: usize = 100;

/// A whole answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body, at most [`LONGEST_BODY`]; wiped when dropped, for it may hold a token.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub enum Problem {
    /// No connection: nothing was sent.
    NotConnected(ConnectError),
    /// The connection ended before the answer did. The request may have been acted upon.
    Cut(hyper::Error),
    /// The answer was not complete in time. The request may have been acted upon.
    TimedOut(Duration),
    /// The head or the body is larger than is read.
    TooLarge,
    /// What came is no HTTP.
    NotHttp(hyper::Error),
    /// The request itself cannot be sent, such as one whose URL has no host.
    Request(http::Error),
}

/// Sends `request`, whose URL is absolute and whose origin is `endpoint`'s, and reads the whole answer. `Host`,
/// `Content-Length` and the HTTP version are set here.
///
/// # Errors
/// No connection, or no whole answer within `patience`, or one beyond the limits.
pub async fn exchange(
    endpoint: &Endpoint,
    request: Request<Bytes>,
    patience: Duration,
) -> Result<Answer, Problem> {
    let all = async {
        let connection = endpoint.connect().await.map_err(Problem::NotConnected)?;
        converse(endpoint, connection, request).await
    };
    tokio::time::timeout(patience, all).await.map_err(|_| Problem::TimedOut(patience))?
}

async fn converse(
    endpoint: &Endpoint,
    connection: Connection,
    mut request: Request<Bytes>,
) -> Result<Answer, Problem> {
    // A GET without content says no length (RFC 9110 section 8.6).
    if request.method() != Method::GET {
        let length = HeaderValue::from(request.body().len());
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    let io = TokioIo::new(connection.io);
    if connection.http2 {
        *request.version_mut() = Version::HTTP_2;
        let (mut sender, driver) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(LARGEST_HEAD)
            .handshake(io)
            .await
            .map_err(Problem::of)?;
        let answer = async move { read(sender.send_request(request.map(Full::new)).await).await };
        driven(answer, driver).await
    } else {
        *request.version_mut() = Version::HTTP_11;
        let host = HeaderValue::from_str(&endpoint.origin().authority())
            .map_err(|problem| Problem::Request(problem.into()))?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        *request.uri_mut() = origin_form(request.uri())?;
        let (mut sender, driver) = http1::Builder::new()
            .max_headers(MOST_FIELDS)
            .max_buf_size(LARGEST_HEAD as usize)
            .handshake(io)
            .await
            .map_err(Problem::of)?;
        let answer = async move { read(sender.send_request(request.map(Full::new)).await).await };
        driven(answer, driver).await
    }
}

/// What stands in an HTTP/1.1 request line (RFC 9112 section 3.2.1): the path as it was given, a trailing slash included.
fn origin_form(url: &Uri) -> Result<Uri, Problem> {
    Uri::builder()
        .path_and_query(url.path_and_query().map_or("/", |path| path.as_str()))
        .build()
        .map_err(Problem::Request)
}

/// Runs the connection while the answer is read, within one future: dropping it closes the connection.
async fn driven(
    answer: impl Future<Output = Result<Answer, Problem>>,
    driver: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<Answer, Problem> {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection has handed over what it read, its error included; what is left of the answer is in memory.
        _ = driver => answer.await,
    }
}

async fn read(response: Result<Response<Incoming>, hyper::Error>) -> Result<Answer, Problem> {
    let (head, mut content) = response.map_err(Problem::of)?.into_parts();
    let announced = content.size_hint().lower();
    if announced > LONGEST_BODY as u64 {
        return Err(Problem::TooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(usize::try_from(announced).unwrap_or(0).max(4096)));
    while let Some(frame) = content.frame().await {
        let Ok(data) = frame.map_err(Problem::of)?.into_data() else { continue };
        if body.len() + data.len() > LONGEST_BODY {
            return Err(Problem::TooLarge);
        }
        extend(&mut body, &data);
    }
    Ok(Answer { status: head.status, fields: head.headers, body })
}

/// Appends without leaving an outgrown, unwiped copy behind, as `Vec` would when it moves.
fn extend(body: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    let needed = body.len() + data.len();
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * body.capacity())));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(data);
}

impl Problem {
    fn of(problem: hyper::Error) -> Self {
        if problem.is_parse_too_large() {
            Self::TooLarge
        } else if problem.is_parse() {
            Self::NotHttp(problem)
        } else {
            Self::Cut(problem)
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(problem) => problem.fmt(f),
            Self::Cut(problem) => {
                write!(f, "the connection was cut before the answer was complete: {}", Chain(problem))
            }
            Self::TimedOut(patience) => write!(f, "no complete answer within {} s", patience.as_secs_f32()),
            Self::TooLarge => {
                write!(f, "the answer is too large: at most {} KiB are read", LONGEST_BODY / 1024)
            }
            Self::NotHttp(problem) => write!(f, "the answer is no HTTP: {}", Chain(problem)),
            Self::Request(problem) => write!(f, "the request cannot be sent: {problem}"),
        }
    }
}

impl Error for Problem {}

/// An error with its causes: hyper's own words leave them out.
struct Chain<'a>(&'a hyper::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut cause = self.0.source();
        while let Some(problem) = cause {
            write!(f, ": {problem}")?;
            cause = problem.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::{server, service::service_fn};

    use super::*;
    use crate::upstream::{
        Origin, Protocol,
        testing::{Ca, TlsServer, server_config},
        tls,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Answers with the request's line, its Host and its content, in the version that ALPN chose.
    async fn echo(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let service = service_fn(|request: Request<Incoming>| async {
            let (head, content) = request.into_parts();
            let content = content.collect().await?.to_bytes();
            let host = head.headers.get(header::HOST).map(|host| host.to_str().unwrap().to_owned());
            let length = head.headers[header::CONTENT_LENGTH].to_str().unwrap();
            let words = format!("{:?} {} {host:?} {length} {content:?}", head.version, head.uri);
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(words))))
        });
        let io = TokioIo::new(stream);
        if http2 {
            let _ =
                server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        } else {
            let _ = server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    }

    #[tokio::test]
    async fn one_request_is_made_in_the_version_that_was_negotiated() {
        let ca = Ca::new();
        let server =
            TlsServer::new(server_config(ca.identity("localhost"), &["h2", "http/1.1"], None), echo).await;
        let authority = format!("localhost:{}", server.address.port());
        for (protocol, expected) in [
            (Protocol::Http1, format!("HTTP/1.1 /token?a=b/ Some({authority:?}) 4 b\"body\"")),
            (Protocol::Auto, format!("HTTP/2.0 https://{authority}/token?a=b/ None 4 b\"body\"")),
        ] {
            let settings = tls::Settings { roots: Some(vec![ca.root()]), ..tls::Settings::default() };
            let endpoint =
                Endpoint::new(Origin::of(&server.url()).unwrap(), &settings, protocol, PATIENCE).unwrap();
            let mut request = Request::new(Bytes::from_static(b"body"));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = format!("https://{authority}/token?a=b/").parse().unwrap();
            let answer = exchange(&endpoint, request, PATIENCE).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(String::from_utf8(answer.body.to_vec()).unwrap(), expected);
        }
    }
}
