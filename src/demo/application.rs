//! The application of the tour: it knows HTTP/1.1 and nothing of OAuth.
//!
//! Knows one address and keeps its connection. Does not know tokens, and never sends an Authorization of its own accord.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An application and its connection to one address.
pub struct Application {
    address: SocketAddr,
    connection: Option<http1::SendRequest<Full<Bytes>>>,
}

/// A request got no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nobody listens there.
    Connect(std::io::Error),
    /// The connection broke.
    Exchange(hyper::Error),
}

impl Application {
    /// One that speaks to `address`; it connects at its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends one request and reads the whole answer. `Host` is added where it is missing.
    ///
    /// # Errors
    /// There was none.
    pub async fn send(&mut self, mut request: Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        let host = HeaderValue::try_from(self.address.to_string());
        if let (false, Ok(host)) = (request.headers().contains_key(header::HOST), host) {
            request.headers_mut().insert(header::HOST, host);
        }
        let mut connection = self.connected().await?;
        let answer = async {
            let response = connection.send_request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        let answer = answer.await.map_err(NoAnswer::Exchange)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn connected(&mut self) -> Result<http1::SendRequest<Full<Bytes>>, NoAnswer> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let stream = TcpStream::connect(self.address).await.map_err(NoAnswer::Connect)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(NoAnswer::Exchange)?;
        tokio::spawn(async move {
            // How the connection ended is what the exchange on it says.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(source) => write!(f, "cannot connect: {source}"),
            Self::Exchange(source) => write!(f, "the connection broke: {source}"),
        }
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(source) => Some(source),
            Self::Exchange(source) => Some(source),
        }
    }
}
