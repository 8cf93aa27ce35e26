//! The outer proxy: what stands between this machine and the origins of others, in networks that let nothing out by itself.
//!
//! Knows which origins are reached through one, and CONNECT (RFC 9110 section 9.3.6). Origins of either scheme get a tunnel: an
//! `http://` request handed over in absolute form would show its token to the proxy's cache and log. Does not know what goes through.

use std::{fmt, io, sync::Arc};

use bytes::{Bytes, BytesMut};
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

/// What stands in place of a proxy whose URL cannot be read.
const UNREADABLE: &str = "unreadable.invalid";

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
        let written = url.expose();
        // A bare word would be a host: a mistyped "none" is not to lead there.
        if !written.contains("://") {
            return Err("this is no URL: one begins with http://");
        }
        let matcher = Matcher::builder().all(written).build();
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
        // The matcher passes by what it cannot read, as if nobody had set it.
        let proxy = |name: &str| {
            let value = value(name);
            let origin = http::Uri::from_static("http://origin.example/");
            let read =
                value.is_empty() || Matcher::builder().all(&*value).build().intercept(&origin).is_some();
            if read { value } else { format!("http://{UNREADABLE}") }
        };
        let matcher = Matcher::builder()
            .all(proxy("ALL_PROXY"))
            .http(proxy("HTTP_PROXY"))
            .https(proxy("HTTPS_PROXY"))
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
        if found.uri().host() == Some(UNREADABLE) {
            return Err("this is no URL of a proxy");
        }
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

    /// A tunnel to host and port of `origin`, in which we speak first.
    pub(super) async fn tunnel(&self, origin: &Origin) -> Result<Stream, ConnectError> {
        match self.open(origin, None).await {
            Ok((stream, follows)) if follows.is_empty() => Ok(stream),
            // The far end has nothing to say before us: these would be the proxy's own words, taken for the origin's.
            Ok(_) => {
                Err(Problem::NotHttp("octets follow its answer before anything was sent into the tunnel"))
            }
            Err(problem) => Err(problem),
        }
        .map_err(|problem| self.failed(problem))
    }

    /// The same for somebody else, whose far end may speak first. `via`: whom the request for it came through.
    pub(super) async fn pass(&self, origin: &Origin, via: &HeaderValue) -> Result<Stream, ConnectError> {
        let opened = self.open(origin, Some(via)).await;
        opened.map(|(stream, follows)| stream.rewound(follows)).map_err(|problem| self.failed(problem))
    }

    fn failed(&self, problem: Problem) -> ConnectError {
        ConnectError::Outer(OuterError { proxy: self.origin.clone(), problem })
    }

    /// The tunnel, and what came behind the answer.
    async fn open(&self, origin: &Origin, via: Option<&HeaderValue>) -> Result<(Stream, Bytes), Problem> {
        let unreachable = |error| Problem::Unreachable(Box::new(error));
        let mut stream = Stream::Tcp(reach(&self.origin, None).await.map_err(unreachable)?);
        if let Some(tls) = &self.tls {
            let connecting = TlsConnector::from(tls.config.clone()).connect(tls.server_name.clone(), stream);
            let connected = connecting.await.map_err(|error| unreachable(ConnectError::Tls(error)))?;
            stream = Stream::Connected(Box::new(connected));
        }
        stream.write_all(&self.request(origin, via)).await.map_err(Problem::Cut)?;
        stream.flush().await.map_err(Problem::Cut)?;
        match answer(&mut stream).await? {
            (status, follows) if status.is_success() => Ok((stream, follows)),
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, _) => Err(Problem::Credentials),
            (status, _) if status.is_informational() => {
                Err(Problem::NotHttp("its answer has no final status"))
            }
            (status, _) => Err(Problem::Refused(status)),
        }
    }

    /// The request for a tunnel: the port is always named (RFC 9110 section 9.3.6).
    fn request(&self, origin: &Origin, via: Option<&HeaderValue>) -> Zeroizing<Vec<u8>> {
        let destination = format!("{}:{}", origin.host(), origin.port());
        let mut request = Zeroizing::new(Vec::new());
        for part in ["CONNECT ", &destination, " HTTP/1.1\r\nHost: ", &destination, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
        for (name, value) in [("Via: ", via), ("Proxy-Authorization: ", self.authorization.as_ref())] {
            let Some(value) = value else { continue };
            for part in [name.as_bytes(), value.as_bytes(), b"\r\n"] {
                request.extend_from_slice(part);
            }
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// Reads the head of the answer, and what came with it. A 2xx to CONNECT has no content, whatever its fields say; after any other the
/// connection is dropped with whatever follows.
async fn answer(stream: &mut Stream) -> Result<(StatusCode, Bytes), Problem> {
    let mut received = BytesMut::new();
    loop {
        if stream.read_buf(&mut received).await.map_err(Problem::Cut)? == 0 {
            return Err(Problem::Cut(io::ErrorKind::UnexpectedEof.into()));
        }
        match head::answer(&mut received, &Method::CONNECT, HEAD) {
            Ok(Some(answer)) => return Ok((answer.head.status, received.freeze())),
            Ok(None) => {}
            Err(HeadError::TooLarge) => return Err(Problem::NotHttp("the head of its answer is too large")),
            Err(_) => return Err(Problem::NotHttp("what it answers is no HTTP")),
        }
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
