//! The forward proxy: what gets a token through it, what passes without one, and what does not pass.

mod absolute;
mod curl;
mod http2;
mod intercepted;
mod lifecycle;
mod outer;
mod tunnels;
mod world;

pub(crate) use self::world::tls_offering;
