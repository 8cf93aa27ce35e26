//! How a request reaches us: own port, gateway, forward proxy and redirected connections, over TCP or a Unix socket; who may come in, and
//! for how long.
//!
//! Knows sockets, connections and their limits. Does not know what happens to a request (`proxy`), and is told by `app`
//! which listeners there are. In the order of a request: [`listen`], [`accept`] (and [`users`]), [`protocol`] (and [`tls`]), `http1` or
//! [`http2`] within the limits of [`connection`], [`entrance`], [`door`], [`admission`] or [`forward`]. [`redirected`] connections go straight
//! to [`forward`].

pub mod accept;
pub mod admission;
pub mod caller;
pub mod connection;
pub mod door;
pub mod drain;
pub mod entrance;
pub mod forward;
mod http1;
pub mod http2;
pub mod listen;
pub mod protocol;
pub mod redirected;
pub mod tls;
pub mod users;
