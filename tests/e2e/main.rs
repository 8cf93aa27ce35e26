//! End to end: real sockets, in-process fakes for the remote parties only.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test looks at clocks and secrets, and what it cannot go on without ends it"
)]

mod admin;
mod apis;
mod browsers;
mod canary;
mod clients;
mod commands;
mod descriptors;
mod discovery;
mod entrances;
mod exec;
mod first_request;
mod floods;
mod forward;
mod grpc;
mod h2;
mod h2_blocks;
mod h2_conformance;
mod h2_floods;
mod h2_httpwg;
mod h2_refused;
mod init;
mod listen_tls;
mod listeners;
mod load;
mod login;
mod login_device;
mod login_issuer;
mod login_listener;
mod login_required;
mod login_store;
mod login_terminal;
mod logs;
mod long_answers;
mod matrix;
mod memory;
mod nasty;
mod odd_answers;
mod other_origins;
mod outage;
mod outer_proxy;
mod page;
mod pictures;
mod provider;
mod rejection;
mod reload;
mod restarts;
mod shutdown;
mod support;
mod tls;
mod transparent;
mod vectors;
mod websocket;
