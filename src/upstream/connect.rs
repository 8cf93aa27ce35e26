//! One connection to one origin: TCP, TLS, ALPN.

use std::{sync::Arc, time::Duration};

use super::{Origin, tls};

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
#[derive(Debug)]
pub struct Endpoint {}

impl Endpoint {
    /// An endpoint for `origin`.
    pub fn new(
        origin: Origin,
        tls: &tls::Settings,
        protocol: Protocol,
        connect_timeout: Duration,
    ) -> Arc<Self> {
        let _ = (origin, tls, protocol, connect_timeout);
        todo!()
    }

    /// The origin.
    pub fn origin(&self) -> &Origin {
        todo!()
    }
}

/// Why no connection came about.
#[derive(Debug)]
pub enum ConnectError {
    /// The name does not resolve.
    Resolve(std::io::Error),
    /// TCP failed.
    Refused(std::io::Error),
    /// TLS failed: an untrusted or wrong certificate, or no TLS there.
    Tls(std::io::Error),
    /// It took longer than `connect_timeout`.
    TimedOut,
}
