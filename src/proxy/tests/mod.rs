//! The exchange over real sockets. Origins and applications are raw on purpose: hyper would be too kind.

mod extended_connect;
mod hops;
mod http2;
mod interim;
mod properties;
mod rejections;
mod replays;
mod requests;
mod routing;
mod support;
mod tokens;
mod upgrades;
mod upstreams;
