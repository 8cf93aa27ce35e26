//! A question to the admin listener of a running bearward.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::exit::Exit;
use crate::config::{Config, Listen};

const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 16 << 20;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The admin listener of a running bearward.
pub(super) struct Asked {
    at: Listen,
    tls: Option<Arc<ClientConfig>>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

/// Where the admin listener is, and which certificate it shows.
///
/// # Errors
/// The configuration has none, or demands certificates of whoever asks.
pub(super) fn admin(config: &Config) -> Result<Asked, Exit> {
    let Some(admin) = &config.admin else {
        return Err(Exit::config(
            "the configuration has no admin listener to ask: add\n\n    [admin]\n    listen = \"127.0.0.1:9901\"",
        ));
    };
    let tls = admin.tls.as_ref().map(|tls| tls.for_ourselves()).transpose();
    let tls = tls.map_err(|error| Exit::config(format!("the admin listener cannot be asked: {error}")))?;
    let at = match &admin.address {
        Listen::Tcp(address) if address.ip().is_unspecified() => {
            let loopback = if address.is_ipv4() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                IpAddr::V6(Ipv6Addr::LOCALHOST)
            };
            Listen::Tcp(SocketAddr::new(loopback, address.port()))
        }
        other => other.clone(),
    };
    Ok(Asked { at, tls })
}

/// GETs `path`.
///
/// # Errors
/// Nobody listens there, or it is not bearward that answers.
pub(super) async fn get(admin: &Asked, path: &str) -> Result<(StatusCode, String), Error> {
    let asked = async {
        match &admin.at {
            Listen::Tcp(address) => secured(TcpStream::connect(address).await?, admin, path).await,
            Listen::Unix(socket) => secured(UnixStream::connect(socket).await?, admin, path).await,
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn secured<T>(stream: T, admin: &Asked, path: &str) -> Result<(StatusCode, String), Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Some(tls) = &admin.tls else { return over(stream, path).await };
    // Its certificate is known octet for octet, and whatever name is in it.
    let name = ServerName::try_from("localhost")?;
    over(TlsConnector::from(tls.clone()).connect(name, stream).await?, path).await
}

async fn over<T>(stream: T, path: &str) -> Result<(StatusCode, String), Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.into())?))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => match ended {
            // The connection may end in the same moment as the answer does.
            Ok(()) => answer.await,
            Err(error) => Err(error.into()),
        },
    }
}

/// A runtime for one question.
///
/// # Errors
/// The machine has no resources left.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::unavailable(format!("cannot start a runtime: {error}")))
}
