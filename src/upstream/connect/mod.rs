//! One connection to one origin: name, TCP, TLS, ALPN.
//!
//! Knows how to reach an origin and what to tell an operator where that fails. Does not know names and addresses (`dial`), HTTP
//! beyond its version's name, pools (`client`) or what is sent.

mod dial;
mod elsewhere;
mod outer;

use std::{fmt, io, net::IpAddr, sync::Arc, time::Duration};

use tokio_rustls::TlsConnector;

use http::HeaderValue;

use self::dial::reach;
pub use self::{
    elsewhere::Elsewhere,
    outer::{Outer, OuterError, OuterProxy},
};
use super::{Guard, Origin, tls};
use crate::wire::Stream;

/// Which HTTP is spoken to an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 where TLS's ALPN offers it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; with prior knowledge over plain TCP.
    Http2,
}

/// How to reach one origin. Made once from the configuration, shared by every worker.
pub struct Endpoint {
    origin: Origin,
    tls: Option<tls::Handshake>,
    protocol: Protocol,
    connect_timeout: Duration,
    way: Way,
}

/// How an origin is reached.
enum Way {
    /// Directly.
    Direct,
    /// Through an outer proxy.
    Outer(OuterProxy),
    /// As destinations are reached that nobody configured; who an outer proxy is told that it came through.
    Elsewhere(Elsewhere, HeaderValue),
}

/// An open connection on which nothing has been sent yet.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub io: Stream,
    /// HTTP/2 is spoken on it, else HTTP/1.1.
    pub http2: bool,
}

/// Why no connection came about.
#[derive(Debug)]
pub enum ConnectError {
    /// The name does not resolve.
    Resolve(io::Error),
    /// The address may not be connected to: nobody configured this destination.
    Prohibited(IpAddr),
    /// TCP failed.
    Refused(io::Error),
    /// TLS failed: an untrusted or wrong certificate, or no TLS there.
    Tls(io::Error),
    /// The host is no name, and no address as addresses are written: an outer proxy might take it for one.
    OddAddress,
    /// The outer proxy opened no tunnel.
    Outer(OuterError),
    /// An outer proxy is named that cannot be used.
    NoSuchProxy(&'static str),
    /// It took longer than `connect_timeout`.
    TimedOut,
}

impl Endpoint {
    /// An endpoint for `origin`, which is reached through `outer` where there is one. `connect_timeout` covers resolving, TCP, the
    /// outer proxy's answer and TLS together. `tls` counts for https only.
    ///
    /// # Errors
    /// No TLS connection can be made with these settings.
    pub fn through(
        outer: Option<OuterProxy>,
        origin: Origin,
        tls: &tls::Settings,
        protocol: Protocol,
        connect_timeout: Duration,
    ) -> Result<Arc<Self>, tls::SettingsError> {
        let way = outer.map_or(Way::Direct, Way::Outer);
        Self::made(way, origin, tls, protocol, connect_timeout)
    }

    /// The same without an outer proxy.
    ///
    /// # Errors
    /// As there.
    pub fn new(
        origin: Origin,
        tls: &tls::Settings,
        protocol: Protocol,
        connect_timeout: Duration,
    ) -> Result<Arc<Self>, tls::SettingsError> {
        Self::made(Way::Direct, origin, tls, protocol, connect_timeout)
    }

    /// The same for an origin that nobody configured. `via`: as in [`Elsewhere::dial`].
    ///
    /// # Errors
    /// As there.
    pub fn elsewhere(
        origin: Origin,
        tls: &tls::Settings,
        connect_timeout: Duration,
        elsewhere: Elsewhere,
        via: HeaderValue,
    ) -> Result<Arc<Self>, tls::SettingsError> {
        Self::made(Way::Elsewhere(elsewhere, via), origin, tls, Protocol::Auto, connect_timeout)
    }

    fn made(
        way: Way,
        origin: Origin,
        tls: &tls::Settings,
        protocol: Protocol,
        connect_timeout: Duration,
    ) -> Result<Arc<Self>, tls::SettingsError> {
        let tls = if origin.is_https() { Some(tls.handshake(&origin, protocol)?) } else { None };
        Ok(Arc::new(Self { origin, tls, protocol, connect_timeout, way }))
    }

    /// The origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How long connecting may take.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Which HTTP may be spoken to it.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// None of the origin's addresses could be reached in time, or TLS failed.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        tokio::time::timeout(self.connect_timeout, self.connect_unhurried(self.protocol))
            .await
            .map_err(|_| ConnectError::TimedOut)?
    }

    /// Opens a connection on which HTTP/1.1 is spoken, where that may be.
    ///
    /// # Errors
    /// The same.
    pub async fn connect_http1(&self) -> Result<Connection, ConnectError> {
        let protocol = if self.protocol == Protocol::Http2 { Protocol::Http2 } else { Protocol::Http1 };
        tokio::time::timeout(self.connect_timeout, self.connect_unhurried(protocol))
            .await
            .map_err(|_| ConnectError::TimedOut)?
    }

    async fn connect_unhurried(&self, protocol: Protocol) -> Result<Connection, ConnectError> {
        let stream = match &self.way {
            Way::Direct => Stream::Tcp(reach(&self.origin, None).await?),
            Way::Outer(proxy) => proxy.tunnel(&self.origin).await?,
            Way::Elsewhere(elsewhere, via) => elsewhere.dial(&self.origin, via, self.connect_timeout).await?,
        };
        let Some(tls) = &self.tls else {
            return Ok(Connection { io: stream, http2: protocol == Protocol::Http2 });
        };
        let mut config = tls.config.clone();
        if protocol == Protocol::Http1 && self.protocol != Protocol::Http1 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let stream = TlsConnector::from(config)
            .connect(tls.server_name.clone(), stream)
            .await
            .map_err(ConnectError::Tls)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if protocol == Protocol::Http2 && !http2 {
            let problem = io::Error::new(io::ErrorKind::Unsupported, "the server does not offer HTTP/2");
            return Err(ConnectError::Tls(problem));
        }
        Ok(Connection { io: Stream::Connected(Box::new(stream)), http2 })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("origin", &self.origin)
            .field("protocol", &self.protocol)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(problem) => {
                write!(
                    f,
                    "the host's name does not resolve ({problem}): check the URL and this machine's DNS"
                )
            }
            Self::Prohibited(address) => write!(
                f,
                "the address {address} is one of this machine, a private network or a metadata service, and no upstream is \
                 configured there: make it one, or let its network pass, for example with allow_addresses = [\"{address}\"] beside \
                 unmatched = \"tunnel\" in [proxy]"
            ),
            Self::Refused(problem) => {
                write!(f, "no TCP connection ({problem}): check the URL's port, and firewalls")
            }
            Self::Tls(problem) => tls::explain(problem, f),
            Self::OddAddress => f.write_str(
                "the host is neither a name nor an address as it is written everywhere, and an outer proxy might take it for an \
                 address of its own network: write the address in full",
            ),
            Self::Outer(problem) => problem.fmt(f),
            Self::NoSuchProxy(problem) => write!(
                f,
                "the outer proxy cannot be used: {problem}; it is named by `proxy` in [proxy], or by HTTPS_PROXY, HTTP_PROXY or \
                 ALL_PROXY in the environment"
            ),
            Self::TimedOut => f.write_str("no connection within connect_timeout"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve(problem) | Self::Refused(problem) | Self::Tls(problem) => Some(problem),
            Self::Outer(problem) => Some(problem),
            Self::Prohibited(_) | Self::OddAddress | Self::NoSuchProxy(_) | Self::TimedOut => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::upstream::testing::{Ca, TlsServer, server_config};

    const PATIENCE: Duration = Duration::from_secs(20);
    const BOTH: &[&str] = &["h2", "http/1.1"];

    async fn connect(
        url: &http::Uri,
        settings: &tls::Settings,
        protocol: Protocol,
    ) -> Result<Connection, ConnectError> {
        Endpoint::new(Origin::of(url).unwrap(), settings, protocol, PATIENCE).unwrap().connect().await
    }

    /// A server that says one octet on each connection.
    async fn server(config: rustls::ServerConfig) -> TlsServer {
        TlsServer::new(config, |mut stream| async move {
            stream.write_all(b"!").await.unwrap();
            let _ = stream.read(&mut [0]).await;
        })
        .await
    }

    fn trusting(ca: &Ca) -> tls::Settings {
        tls::Settings { roots: Some(vec![ca.root()]), ..tls::Settings::default() }
    }

    async fn hears(connection: Connection) -> bool {
        let mut io = connection.io;
        matches!(io.read_u8().await, Ok(b'!'))
    }

    #[tokio::test]
    async fn r011_a_certificate_of_an_unknown_issuer_is_refused_and_it_says_what_to_set() {
        let ca = Ca::new();
        let server = server(server_config(ca.identity("localhost"), BOTH, None)).await;
        for settings in [tls::Settings::default(), trusting(&Ca::new())] {
            let problem = connect(&server.url(), &settings, Protocol::Auto).await.unwrap_err();
            assert!(matches!(problem, ConnectError::Tls(_)), "{problem}");
            assert!(problem.to_string().contains("set tls.ca"), "{problem}");
        }
        assert!(hears(connect(&server.url(), &trusting(&ca), Protocol::Auto).await.unwrap()).await);
    }

    #[tokio::test]
    async fn http_is_spoken_as_alpn_decides() {
        let ca = Ca::new();
        for (offered, protocol, http2) in [
            (BOTH, Protocol::Auto, Some(true)),
            (&["http/1.1"][..], Protocol::Auto, Some(false)),
            (&[], Protocol::Auto, Some(false)),
            (BOTH, Protocol::Http1, Some(false)),
            (BOTH, Protocol::Http2, Some(true)),
            (&[], Protocol::Http2, None),
            (&["http/1.1"], Protocol::Http2, None),
        ] {
            let server = server(server_config(ca.identity("localhost"), offered, None)).await;
            let connection = connect(&server.url(), &trusting(&ca), protocol).await;
            assert_eq!(connection.ok().map(|connection| connection.http2), http2, "{offered:?} {protocol:?}");
        }
    }

    #[tokio::test]
    async fn r001_the_name_is_verified_and_may_be_overridden() {
        let ca = Ca::new();
        let server = server(server_config(ca.identity("id.example"), BOTH, None)).await;
        let problem = connect(&server.url(), &trusting(&ca), Protocol::Auto).await.unwrap_err();
        assert!(problem.to_string().contains("tls.server_name"), "{problem}");
        let named = tls::Settings { server_name: Some("id.example".to_owned()), ..trusting(&ca) };
        assert!(hears(connect(&server.url(), &named, Protocol::Auto).await.unwrap()).await);
    }

    #[tokio::test]
    async fn an_expired_certificate_is_refused() {
        let ca = Ca::new();
        let server = server(server_config(ca.expired("localhost"), BOTH, None)).await;
        let problem = connect(&server.url(), &trusting(&ca), Protocol::Auto).await.unwrap_err();
        assert!(problem.to_string().contains("out of date"), "{problem}");
    }

    #[tokio::test]
    async fn a_client_certificate_is_shown_where_one_is_set() {
        let ca = Ca::new();
        let server = server(server_config(ca.identity("localhost"), BOTH, Some(&ca))).await;
        let shown = tls::Settings { identity: Some(Arc::new(ca.identity("client"))), ..trusting(&ca) };
        assert!(hears(connect(&server.url(), &shown, Protocol::Auto).await.unwrap()).await);
        // TLS 1.3 refuses a client after the client believes the handshake done.
        let without = connect(&server.url(), &trusting(&ca), Protocol::Auto).await;
        assert!(!hears(without.unwrap()).await);
    }

    #[tokio::test]
    async fn where_no_tls_is_spoken_that_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let plain = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 8]).await;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        };
        let settings = tls::Settings::default();
        let (problem, ()) = tokio::join!(connect(&url, &settings, Protocol::Auto), plain);
        let problem = problem.unwrap_err();
        assert!(problem.to_string().contains("no TLS is spoken there"), "{problem}");
    }

    #[tokio::test]
    async fn connect_timeout_covers_the_handshake() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let patience = Duration::from_millis(50);
        let endpoint =
            Endpoint::new(Origin::of(&url).unwrap(), &tls::Settings::default(), Protocol::Auto, patience);
        let (problem, _held) = tokio::join!(async { endpoint.unwrap().connect().await }, listener.accept());
        assert!(matches!(problem, Err(ConnectError::TimedOut)));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_said_to() {
        let url = "http://nowhere.invalid/".parse().unwrap();
        let problem = connect(&url, &tls::Settings::default(), Protocol::Auto).await.unwrap_err();
        assert!(matches!(problem, ConnectError::Resolve(_)), "{problem}");
    }

    #[tokio::test]
    async fn sockets_do_not_wait_to_fill_and_notice_a_dead_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let connection = connect(&url, &tls::Settings::default(), Protocol::Auto).await.unwrap();
        assert!(connection.io.tcp().unwrap().nodelay().unwrap());
        assert!(SockRef::from(connection.io.tcp().unwrap()).keepalive().unwrap());
        assert!(!connection.http2, "without TLS there is no ALPN");
        let connection = connect(&url, &tls::Settings::default(), Protocol::Http2).await.unwrap();
        assert!(connection.http2, "prior knowledge");
    }
}
