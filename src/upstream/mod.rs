//! How bytes leave us: connections, TLS, pools. Used by `proxy` (pooled) and by `oauth` (one fresh connection a request).
//!
//! Knows origins, TLS and HTTP versions. Does not know tokens, routes or configuration files.

mod answer;
pub mod client;
pub mod connect;
mod doubt;
pub mod guard;
mod http1;
mod http2;
pub mod once;
pub mod origin;
mod pool;
mod sent;
mod socket;
#[cfg(test)]
mod testing;
pub mod tls;
mod tunnelling;

pub use connect::{ConnectError, Connection, Elsewhere, Endpoint, Outer, OuterProxy, Protocol};
pub use guard::Guard;
pub use origin::Origin;
