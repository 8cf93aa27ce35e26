//! The outer proxy: what stands between this machine and the origins of others, in networks that let nothing out by itself.
//!
//! Knows which origins are reached through one, and CONNECT (RFC 9110 section 9.3.6). Origins of either scheme get a tunnel: an
//! `http://` request handed over in absolute form would show its token to the proxy's cache and log. Does not know what goes through.

use std::{fmt, io, sync::Arc};

use bytes::BytesMut;
use http::{HeaderValue, Method, StatusCode};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{ConnectError, Origin, Protocol, dial::reach, tls};
use crate::{
    secret::Secret,
    wire::{
        Stream,
        head::{self, HeadError, Limits},
    },
};

/// What bounds the head of a proxy's answer.
const HEAD: Limits = Limits { size: 16 << 10, fields: 64 };

/// How origins are reached, as configured.
#[derive(Clone, Debug, Default)]
pub enum Outer {
    /// Directly.
    #[default]
    None,
    /// Through what one URL names, or through what an environment names for each origin (`HTTPS_PROXY`, `NO_PROXY` …).
    Through(Arc<Matcher>),
}

/// An outer proxy.
#[derive(Clone)]
pub struct OuterProxy {
    origin: Origin,
    authorization: Option<HeaderValue>,
    tls: Option<tls::Handshake>,
}

/// Why an outer proxy opened no tunnel.
#[derive(Debug)]
pub struct OuterError {
    proxy: Origin,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    /// It cannot be reached itself.
    Unreachable(Box<ConnectError>),
    /// It wants other credentials than it got, or any.
    Credentials,
    /// It answered with this status.
    Refused(StatusCode),
    /// Its answer is no answer to CONNECT.
    NotHttp(&'static str),
    /// The connection ended.
    Cut(io::Error),
}

impl Outer {
    /// Through the proxy at `url`, for all origins but this machine's.
    ///
    /// # Errors
    /// It names no proxy of a kind that is spoken here.
    pub fn fixed(url: &Secret) -> Result<Self, &'static str> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the proxy's password is read from its URL, and sent to it alone"
        )]
        let matcher = Matcher::builder().all(url.expose()).build();
        let outer = Self::Through(Arc::new(matcher));
        let anywhere = http::Uri::from_static("https://origin.example/");
        let origin = Origin::of(&anywhere)?;
        outer.towards(&origin)?.map(|_| outer).ok_or("this is no URL of a proxy")
    }

    /// As an environment says: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case, as curl reads them.
    pub fn of_environment(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let set = |name: &str| env(name).filter(|value| !value.is_empty());
            set(name).or_else(|| set(&name.to_ascii_lowercase())).unwrap_or_default()
        };
        let matcher = Matcher::builder()
            .all(value("ALL_PROXY"))
            .http(value("HTTP_PROXY"))
            .https(value("HTTPS_PROXY"))
            .no(value("NO_PROXY"))
            .build();
        Self::Through(Arc::new(matcher))
    }

    /// The proxy on the way to `origin`; never one to this machine itself, whose cleartext must not leave it.
    ///
    /// # Errors
    /// There is one, and it is of a kind that is not spoken here.
    pub fn towards(&self, origin: &Origin) -> Result<Option<OuterProxy>, &'static str> {
        let Self::Through(matcher) = self else { return Ok(None) };
        if origin.is_loopback() {
            return Ok(None);
        }
        let Ok(url) = format!("{origin}/").parse() else { return Ok(None) };
        let Some(found) = matcher.intercept(&url) else { return Ok(None) };
        if !matches!(found.uri().scheme_str(), Some("http" | "https")) {
            return Err("only proxies with http:// and https:// URLs are spoken to, and no SOCKS");
        }
        let proxy = Origin::of(found.uri())?;
        let tls = if proxy.is_https() {
            let handshake = tls::Settings::default().handshake(&proxy, Protocol::Http1);
            Some(handshake.map_err(|_| "its host cannot be verified with TLS")?)
        } else {
            None
        };
        let authorization = found.basic_auth().map(|value| {
            let mut value = value.clone();
            value.set_sensitive(true);
            value
        });
        Ok(Some(OuterProxy { origin: proxy, authorization, tls }))
    }
}

impl OuterProxy {
    /// Where it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A tunnel to host and port of `origin`.
    pub(super) async fn tunnel(&self, origin: &Origin) -> Result<Stream, ConnectError> {
        self.open(origin)
            .await
            .map_err(|problem| ConnectError::Outer(OuterError { proxy: self.origin.clone(), problem }))
    }

    async fn open(&self, origin: &Origin) -> Result<Stream, Problem> {
        let unreachable = |error| Problem::Unreachable(Box::new(error));
        let mut stream = Stream::Tcp(reach(&self.origin, None).await.map_err(unreachable)?);
        if let Some(tls) = &self.tls {
            let connecting = TlsConnector::from(tls.config.clone()).connect(tls.server_name.clone(), stream);
            let connected = connecting.await.map_err(|error| unreachable(ConnectError::Tls(error)))?;
            stream = Stream::Connected(Box::new(connected));
        }
        stream.write_all(&self.request(origin)).await.map_err(Problem::Cut)?;
        stream.flush().await.map_err(Problem::Cut)?;
        match answer(&mut stream).await? {
            status if status.is_success() => Ok(stream),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(Problem::Credentials),
            status => Err(Problem::Refused(status)),
        }
    }

    /// The request for a tunnel: the port is always named (RFC 9110 section 9.3.6).
    fn request(&self, origin: &Origin) -> Zeroizing<Vec<u8>> {
        let destination = format!("{}:{}", origin.host(), origin.port());
        let mut request = Zeroizing::new(Vec::new());
        for part in ["CONNECT ", &destination, " HTTP/1.1\r\nHost: ", &destination, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// Reads the head of the answer. A 2xx to CONNECT has no content, whatever its fields say; after any other the connection is dropped
/// with whatever follows.
async fn answer(stream: &mut Stream) -> Result<StatusCode, Problem> {
    let mut received = BytesMut::new();
    loop {
        if stream.read_buf(&mut received).await.map_err(Problem::Cut)? == 0 {
            return Err(Problem::Cut(io::ErrorKind::UnexpectedEof.into()));
        }
        match head::answer(&mut received, &Method::CONNECT, HEAD) {
            Ok(Some(answer)) => return judged(answer.parts.status, received.is_empty()),
            Ok(None) => {}
            Err(HeadError::TooLarge) => return Err(Problem::NotHttp("the head of its answer is too large")),
            Err(_) => return Err(Problem::NotHttp("what it answers is no HTTP")),
        }
    }
}

fn judged(status: StatusCode, nothing_follows: bool) -> Result<StatusCode, Problem> {
    // Until a tunnel stands its far end has nothing to say: these would be the proxy's own words, taken for the origin's.
    if status.is_success() && !nothing_follows {
        return Err(Problem::NotHttp("octets follow its answer before anything was sent into the tunnel"));
    }
    if status.is_informational() {
        Err(Problem::NotHttp("its answer has no final status"))
    } else {
        Ok(status)
    }
}

impl fmt::Display for OuterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the outer proxy {} ", self.proxy)?;
        match &self.problem {
            Problem::Unreachable(error) => write!(f, "cannot be reached: {error}")?,
            Problem::Credentials => {
                f.write_str(
                    "wants credentials, or others than it got (407): write http://user:password@host:port",
                )?;
            }
            Problem::Refused(status) => write!(f, "opens no tunnel: it answered {}", status.as_u16())?,
            Problem::NotHttp(words) => write!(f, "cannot be used: {words}")?,
            Problem::Cut(error) => write!(f, "ended the connection ({error})")?,
        }
        f.write_str("; it is named by `proxy`, or by HTTPS_PROXY or HTTP_PROXY in the environment")
    }
}

impl std::error::Error for OuterError {}

impl fmt::Debug for OuterProxy {
    /// Without its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OuterProxy").field(&self.origin).finish()
    }
}

impl PartialEq for OuterProxy {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin && self.authorization == other.authorization
    }
}

impl Eq for OuterProxy {}

#[cfg(test)]
mod tests;
