//! How a request reaches us: own port, gateway and forward proxy, over TCP or a Unix socket; who may come in, and for how long.
//!
//! Knows sockets, connections and their limits. Does not know what happens to a request (`proxy`), and is told by `app`
//! which listeners there are.

pub mod accept;
pub mod admission;
pub mod caller;
pub mod connection;
pub mod door;
pub mod entrance;
pub mod forward;
mod http1;
pub mod http2;
pub mod listen;
pub mod protocol;
pub mod redirected;
pub mod tls;
pub mod users;
