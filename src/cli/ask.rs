//! A question to the admin listener of a running bearward.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::exit::Exit;
use crate::config::{Config, Listen};

const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 16 << 20;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where the admin listener is.
///
/// # Errors
/// The configuration has none.
pub(super) fn admin(config: &Config) -> Result<Listen, Exit> {
    let Some(admin) = &config.admin else {
        return Err(Exit::config(
            "the configuration has no admin listener to ask: add\n\n    [admin]\n    listen = \"127.0.0.1:9901\"",
        ));
    };
    Ok(match &admin.address {
        Listen::Tcp(address) if address.ip().is_unspecified() => {
            let loopback = if address.is_ipv4() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                IpAddr::V6(Ipv6Addr::LOCALHOST)
            };
            Listen::Tcp(SocketAddr::new(loopback, address.port()))
        }
        other => other.clone(),
    })
}

/// GETs `path`.
///
/// # Errors
/// Nobody listens there, or it is not bearward that answers.
pub(super) async fn get(admin: &Listen, path: &str) -> Result<(StatusCode, String), Error> {
    let asked = async {
        match admin {
            Listen::Tcp(address) => over(TcpStream::connect(address).await?, path).await,
            Listen::Unix(socket) => over(UnixStream::connect(socket).await?, path).await,
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
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
