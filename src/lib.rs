//! bearward: a token-injecting sidecar.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests look at secrets and clocks"))]

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod ingress;
pub mod oauth;
pub mod proxy;
pub mod secret;
pub mod telemetry;
pub mod token;
pub mod upstream;
