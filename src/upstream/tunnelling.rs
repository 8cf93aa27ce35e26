//! Which connection a request goes out on that asks for a tunnel.
//!
//! Knows that Upgrade needs an HTTP/1.1 connection, which is then gone, and that extended CONNECT needs an HTTP/2 one whose peer has
//! enabled it (RFC 8441 section 3). Does not know what is said in a tunnel.

use std::{cell::RefCell, future::Future, pin::Pin, rc::Rc, time::Duration};

use bytes::Bytes;
use http_body::Body;
use hyper::{
    client::conn::http2,
    rt::{Read, Write},
};

use super::{
    client::{Client, SendError},
    http1,
    pool::Line,
};
use crate::wire::{LocalExecutor, head::Outgoing};

/// How long a fresh connection's SETTINGS, the first frame of the peer, are waited for.
const SETTINGS_WITHIN: Duration = Duration::from_secs(1);
/// How often they are looked for: hyper tells nobody when they come.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// The connection for a request that asks for a tunnel.
    ///
    /// # Errors
    /// There is none, or none on which that can be asked for.
    pub(super) async fn line_for_tunnel(&self, request: &dyn Outgoing) -> Result<Line<B>, SendError> {
        if request.asks_to_switch() {
            // A fresh one: one that was kept would be lost to the pool, and HTTP/2 may be what the others speak.
            let connection = self.endpoint().connect_http1().await.map_err(SendError::Connect)?;
            return Ok(Line::Own(http1::Connection::new(connection.io)));
        }
        let line = self.shared().await?;
        // Asked before the stream is opened: who does not know `:protocol` would take it for a CONNECT of the other kind.
        if self.extended_connect().is_enabled().await { Ok(line) } else { Err(SendError::NoExtendedConnect) }
    }
}

/// Whether the peer of an HTTP/2 connection takes extended CONNECT.
#[derive(Clone)]
pub(super) struct ExtendedConnect(Rc<dyn Fn() -> bool>);

impl Default for ExtendedConnect {
    /// Of no connection.
    fn default() -> Self {
        Self(Rc::new(|| false))
    }
}

impl ExtendedConnect {
    /// What says it of `connection`, and what carries that until its end.
    pub(super) fn of<T, B>(
        connection: http2::Connection<T, B, LocalExecutor>,
    ) -> (Self, impl Future<Output = hyper::Result<()>> + 'static)
    where
        T: Read + Write + Unpin + 'static,
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let connection = Rc::new(RefCell::new(connection));
        let seen = Rc::downgrade(&connection);
        let is_enabled =
            move || seen.upgrade().is_some_and(|seen| seen.borrow().is_extended_connect_protocol_enabled());
        let carried = std::future::poll_fn(move |cx| Pin::new(&mut *connection.borrow_mut()).poll(cx));
        (Self(Rc::new(is_enabled)), carried)
    }

    /// What its SETTINGS say.
    async fn is_enabled(&self) -> bool {
        let told = async {
            while !(self.0)() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Where they came without it, nothing but time says so.
        tokio::time::timeout(SETTINGS_WITHIN, told).await.is_ok()
    }
}
