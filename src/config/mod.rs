//! The configuration: file -> tables of typed values -> Config, problems with their lines.
//!
//! Knows TOML, keys, presets and what makes a configuration valid; a [`Config`] cannot be built wrong. Does not know how
//! the parts are put together (`app`) and binds, connects and spawns nothing.

mod discovered;
pub mod draft;
mod keys;
mod load;
mod presets;
mod problems;
mod reader;
mod schema;
mod secrets;
mod source;
mod validate;
mod values;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

pub use crate::ingress::listen::Listen;
use crate::{
    ca::{Authority, Files},
    ingress::{self, users::Users},
    oauth::Grant,
    proxy::rejection::Rule,
    token::Policy,
    upstream::{Origin, Outer, OuterProxy, Protocol, tls},
};

pub use discovered::{Discovered, ways};
pub use load::{Environment, Loaded, default_authority, digest};
pub use presets::{Introduction, NAMES as PRESETS, Way, introduce};
pub use problems::{Problem, Problems, Severity};
pub use schema::schema;

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// Threads that carry requests.
    pub workers: NonZeroUsize,
    /// What is logged.
    pub log: Log,
    /// The admin listener, where there is one.
    pub admin: Option<Listener>,
    /// Where tokens survive a restart.
    pub store: Store,
    /// The gateway's listener, where there is one.
    pub gateway: Option<Listener>,
    /// The forward proxy, where there is one.
    pub proxy: Option<Proxy>,
    /// Where the local CA is kept.
    pub authority: Files,
    /// Where redirected connections come in, treated as the forward proxy would.
    pub transparent: Option<Proxy>,
    /// The token recipes by name; a parent stands in here too.
    pub tokens: BTreeMap<Arc<str>, Token>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<Arc<str>, Upstream>,
    /// What is bounded.
    pub limits: Limits,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe level shown; `RUST_LOG` wins.
    pub level: tracing::Level,
    /// How lines look.
    pub format: LogFormat,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A listening socket and who may come in through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: Listen,
    /// Host names allowed besides loopback names and the listener's own address.
    pub allow_hosts: Vec<String>,
    /// Browser origins that may use it.
    pub allow_origins: Vec<String>,
    /// With what TLS is spoken; without where absent.
    pub tls: Option<ingress::tls::Settings>,
    /// Users that may connect to a Unix socket besides our own and root.
    pub allow_users: Users,
}

/// `[proxy]` or `[transparent]`.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it listens; no `allow_hosts`.
    pub listener: Listener,
    /// Requests that are for no upstream pass without a token, else they are refused.
    pub tunnel: bool,
    /// Private networks that they may go to.
    pub networks: Vec<IpNet>,
    /// Through whom they go.
    pub outer: Outer,
    /// Who signs what is shown for https upstreams; none where there are no such upstreams.
    pub authority: Option<Arc<Authority>>,
    /// The certificate that applications have to trust then.
    pub certificate: Option<PathBuf>,
}

impl Listener {
    /// One that nothing is said of but where it listens.
    pub fn at(address: Listen) -> Self {
        Self {
            address,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            tls: None,
            allow_users: Users::default(),
        }
    }
}

impl Proxy {
    /// The one of somebody who configured none: what is for no upstream passes, through the outer proxy that `env` names.
    pub fn added(env: Environment<'_>) -> Self {
        Self {
            listener: Listener::at(Listen::Tcp(([127, 0, 0, 1], 0).into())),
            tunnel: true,
            networks: Vec::new(),
            outer: Outer::of_environment(env),
            authority: None,
            certificate: None,
        }
    }
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A folder.
    File(PathBuf),
    /// Nothing survives.
    Memory,
}

/// `[tokens.NAME]`.
#[derive(Debug, Clone)]
pub struct Token {
    /// How it is got.
    pub grant: Arc<dyn Grant>,
    /// How it is kept.
    pub policy: Policy,
    /// The token that authorizes its requests.
    pub authorize_with: Option<Arc<str>>,
    /// How subjects are told apart, where it has any.
    pub subjects: Option<SubjectsOf>,
    /// How long a request waits for it, where its upstream does not say.
    pub token_timeout: Duration,
    /// All that was written of it: a source whose recipe is written the same lives on across a reload.
    pub written: Written,
}

/// The values of a token's table, its preset's included, and the content of its TLS files. Equal where nothing but
/// comments, order and places differ; a secret file counts by its path, since it is read anew at each use.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    table: reader::Table,
    tls: tls::Settings,
}

/// Per-subject settings of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectsOf {
    /// The request field that names the subject.
    pub header: HeaderName,
    /// How many are held at most.
    pub most: u64,
}

/// `[upstreams.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Where requests go.
    pub origin: Origin,
    /// The path in front of every request's, without a trailing slash; often empty.
    pub base: String,
    /// The token's name; absent: forwarded without a token.
    pub token: Option<Arc<str>>,
    /// Its own port.
    pub listen: Option<Listener>,
    /// Browser origins whose pages may ask it.
    pub allow_origins: Vec<String>,
    /// Its path prefix on the gateway, without a trailing slash.
    pub path: Option<String>,
    /// Its Host on the gateway, lowercased.
    pub host: Option<String>,
    /// Fields added where the application sent none.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Which HTTP is spoken.
    pub protocol: Protocol,
    /// TLS settings.
    pub tls: tls::Settings,
    /// The outer proxy on the way there.
    pub outer: Option<OuterProxy>,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until the response head.
    pub response_timeout: Duration,
    /// How long a request waits for a token.
    pub token_timeout: Duration,
    /// The longest request body that is held for a replay, in octets.
    pub replay_limit: usize,
    /// The application's own Authorization is passed where there is no token; never beside one.
    pub keep_authorization: bool,
    /// The application's Host is passed on.
    pub preserve_host: bool,
    /// WebSocket and other upgrades pass.
    pub upgrades: bool,
    /// Which answers mean that a token is no longer good.
    pub token_invalid: Vec<Rule>,
}

/// `[limits]`: what is bounded, over all upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of request bodies held for replays, over all requests.
    pub replay_memory: usize,
    /// The largest request head, in octets.
    pub head_size: usize,
    /// The most fields of a request head.
    pub head_fields: usize,
    /// What bounds connections that speak HTTP/2.
    pub http2: ingress::http2::Limits,
    /// Requests with a field name that has an underscore are refused.
    pub refuse_underscores: bool,
    /// Until a request head is complete.
    pub head_timeout: Duration,
    /// How long a kept connection of an application may idle.
    pub idle_timeout: Duration,
    /// How long a request's body, or an answer's of known length, may stand still; a stream may be silent for ever.
    pub body_timeout: Duration,
    /// Open connections of applications, over all listeners.
    pub connections: usize,
    /// Requests under way, over all listeners.
    pub requests: usize,
    /// How long a tunnel may be silent; none: for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Idle connections kept per upstream and worker.
    pub idle_connections: usize,
    /// How long an idle upstream connection is kept.
    pub upstream_idle_timeout: Duration,
    /// How old an upstream connection may get.
    pub upstream_connection_age: Duration,
    /// How long running requests may take to end at shutdown.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            replay_memory: 64 << 20,
            head_size: 64 << 10,
            head_fields: 100,
            http2: ingress::http2::Limits::default(),
            refuse_underscores: false,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            body_timeout: Duration::from_secs(300),
            connections: 10_000,
            requests: 10_000,
            tunnel_idle_timeout: None,
            idle_connections: 64,
            upstream_idle_timeout: Duration::from_secs(50),
            upstream_connection_age: Duration::from_secs(300),
            // Kubernetes kills after 30 s by default: what is left of them is for a refresh under way.
            drain_timeout: Duration::from_secs(20),
        }
    }
}
