//! What every worker shall run, made once from a configuration; it is `Send`, the parts that workers make of it are not.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc, time::Duration};

use rustls::ServerConfig;

use super::Sources;
use crate::{
    admin::{At, Seen, SeenToken, SeenUpstream, Way},
    ca::Authority,
    config::{Config, Limits, Listen, Listener, Proxy, Upstream},
    ingress::{admission::Admission, tls, users::Users},
    login::Account,
    proxy::{Via, routes::Settings},
    telemetry::{Metrics, UpstreamMetrics},
    token::Supply,
    upstream::{Elsewhere, Endpoint, Guard, client::Limits as ConnectionLimits, tls::SettingsError},
};

/// What the gateway's listener is called.
pub(super) const GATEWAY: &str = "gateway";
/// What the forward proxy's listener is called.
pub(super) const PROXY: &str = "proxy";
/// What the listener for redirected connections is called.
pub(super) const TRANSPARENT: &str = "transparent";
/// What metrics call all that is for no upstream. No upstream can have this name.
const UNMATCHED: &str = "(unmatched)";
/// How long connecting to what nobody configured may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// TLS settings that passed the configuration's check and still cannot work.
#[derive(Debug)]
pub(super) enum UnusableTls {
    /// Towards an upstream.
    Upstream(SettingsError),
    /// On a listener.
    Listener(tls::SettingsError),
}

impl From<SettingsError> for UnusableTls {
    fn from(error: SettingsError) -> Self {
        Self::Upstream(error)
    }
}

impl From<tls::SettingsError> for UnusableTls {
    fn from(error: tls::SettingsError) -> Self {
        Self::Listener(error)
    }
}

impl fmt::Display for UnusableTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => error.fmt(f),
            Self::Listener(error) => error.fmt(f),
        }
    }
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) upstreams: BTreeMap<Arc<str>, Arc<PlannedUpstream>>,
    pub(super) doors: Vec<PlannedDoor>,
    /// The admin listener's TLS, where it has one.
    pub(super) admin_tls: Option<Tls>,
    pub(super) limits: Limits,
    /// Somebody may look at exchanges: there is an admin listener.
    pub(super) watched: bool,
}

/// One upstream: what its routes have in common on every worker. The same one where a reload changed nothing, and then
/// its routes and their connections stay too.
#[derive(Debug)]
pub(super) struct PlannedUpstream {
    pub(super) config: Upstream,
    pub(super) settings: Arc<Settings>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) supply: Option<Arc<Supply>>,
    pub(super) metrics: Arc<UpstreamMetrics>,
}

/// One way in.
#[derive(Clone, Debug)]
pub(super) struct PlannedDoor {
    /// What the configuration calls it: the upstream's name, `gateway`, `proxy` or `transparent`.
    pub(super) name: String,
    pub(super) socket: Socket,
    pub(super) admission: Arc<Admission>,
    pub(super) tls: Option<Tls>,
    pub(super) users: Users,
    pub(super) behind: Behind,
}

/// A listener's TLS. The same handshakes where a reload changed nothing, so that their sessions can be resumed.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    settings: tls::Settings,
    pub(super) config: Arc<ServerConfig>,
}

impl Tls {
    /// For these settings; `before` as it is where it was made for the same.
    ///
    /// # Errors
    /// The settings cannot work.
    pub(super) fn new(settings: &tls::Settings, before: Option<&Self>) -> Result<Self, tls::SettingsError> {
        match before.filter(|before| before.settings == *settings) {
            Some(before) => Ok(before.clone()),
            None => Ok(Self { settings: settings.clone(), config: settings.server_config()? }),
        }
    }
}

/// What a request finds behind a door.
#[derive(Clone, Debug)]
pub(super) enum Behind {
    /// One upstream.
    Own(Arc<str>),
    /// All that have a path or a host.
    Gateway,
    /// All, by the origin that a request names.
    Proxy(Arc<PlannedProxy>),
    /// All, by where a redirected connection was going.
    Transparent(Arc<PlannedProxy>),
}

/// The forward proxy.
#[derive(Debug)]
pub(super) struct PlannedProxy {
    pub(super) authority: Option<Arc<Authority>>,
    /// What leads to what nobody configured, where that is not refused.
    pub(super) others: Option<PlannedOthers>,
    pub(super) tunnel_idle_timeout: Option<Duration>,
    pub(super) metrics: Arc<UpstreamMetrics>,
}

/// What leads to what nobody configured.
#[derive(Debug)]
pub(super) struct PlannedOthers {
    pub(super) settings: Settings,
    pub(super) elsewhere: Elsewhere,
    pub(super) connect_timeout: Duration,
}

/// What identifies a listening socket across reloads: its address, and where any port would do, its name too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Socket {
    pub(super) address: Listen,
    name: Option<String>,
}

impl Socket {
    pub(super) fn new(name: &str, address: &Listen) -> Self {
        let any_port = matches!(address, Listen::Tcp(address) if address.port() == 0);
        Self { address: address.clone(), name: any_port.then(|| name.to_owned()) }
    }
}

impl Plan {
    /// The plan for `config`.
    ///
    /// # Errors
    /// TLS settings cannot work.
    pub(super) fn new(
        config: &Config,
        sources: &Sources,
        metrics: &Metrics,
        via: &Via,
        previous: Option<&Self>,
    ) -> Result<Self, UnusableTls> {
        let doors_before = previous.map_or(&[][..], |previous| &previous.doors);
        let admin_before = previous.and_then(|previous| previous.admin_tls.as_ref());
        let previous = previous.filter(|previous| previous.limits == config.limits);
        let mut upstreams = BTreeMap::new();
        for (name, upstream) in &config.upstreams {
            let supply = upstream.token.as_ref().and_then(|token| sources.supply(token)).cloned();
            let kept = previous.and_then(|previous| previous.upstreams.get(name));
            let kept =
                kept.filter(|kept| kept.config == *upstream && same(kept.supply.as_ref(), supply.as_ref()));
            let planned = match kept {
                Some(kept) => kept.clone(),
                None => Arc::new(PlannedUpstream::new(name, upstream, supply, metrics, &config.limits, via)?),
            };
            upstreams.insert(name.clone(), planned);
        }
        let proxy = |proxy| Arc::new(PlannedProxy::new(proxy, metrics, &config.limits, via));
        let proxies = (config.proxy.as_ref().map(proxy), config.transparent.as_ref().map(proxy));
        let doors = listeners(config)
            .map(|(name, listener)| plan_door(name, listener, config, &proxies, doors_before))
            .collect::<Result<_, _>>()?;
        let admin_tls = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
        let admin_tls = admin_tls.map(|settings| Tls::new(settings, admin_before)).transpose()?;
        let watched = config.admin.is_some();
        Ok(Self { upstreams, doors, admin_tls, limits: config.limits.clone(), watched })
    }

    /// What the admin listener shows of it. `account`: what a person's login for a token acts on.
    pub(super) fn seen(
        &self,
        config: &Config,
        sources: &Sources,
        addresses: &BTreeMap<String, Listen>,
        account: impl Fn(&str) -> Option<Account>,
    ) -> Seen {
        let tokens = config.tokens.iter().filter_map(|(name, token)| {
            let supply = sources.supply(name)?.as_ref().clone();
            let account = token.grant.login().and_then(|_| account(name));
            Some(SeenToken { name: name.clone(), eager: token.policy.eager, supply, account })
        });
        let certificate = |way: &'static str| {
            let way = if way == PROXY { &config.proxy } else { &config.transparent };
            way.as_ref().and_then(|way| way.certificate.as_deref())
        };
        let upstreams = self.upstreams.iter().map(|(name, upstream)| SeenUpstream {
            name: name.clone(),
            url: format!("{}{}", upstream.config.origin, upstream.config.base),
            token: upstream.config.token.clone(),
            ways: ways(name, upstream, &self.doors, addresses, &certificate),
            metrics: upstream.metrics.clone(),
        });
        Seen { tokens: tokens.collect(), upstreams: upstreams.collect() }
    }
}

/// The ways into an upstream: its own port, its path on the gateway or its Host there, the forward proxy, redirection.
/// `certificate`: of the local CA of one of the latter two.
fn ways<'c>(
    name: &str,
    upstream: &PlannedUpstream,
    doors: &[PlannedDoor],
    addresses: &BTreeMap<String, Listen>,
    certificate: &impl Fn(&'static str) -> Option<&'c Path>,
) -> Vec<Way> {
    let subject = match upstream.supply.as_deref() {
        Some(Supply::PerSubject(subjects)) => Some(subjects.header().as_str()),
        _ => None,
    };
    let (path, host) = (upstream.config.path.as_deref(), upstream.config.host.as_deref());
    let tls = |door: &str| doors.iter().any(|planned| planned.name == door && planned.tls.is_some());
    let own = addresses.get(name).map(|address| Way::new(at(address), tls(name), "", None, subject));
    let gateway = addresses.get(GATEWAY).filter(|_| path.is_some() || host.is_some());
    let gateway =
        gateway.map(|address| Way::new(at(address), tls(GATEWAY), path.unwrap_or_default(), host, subject));
    let url = format!("{}{}", upstream.config.origin, upstream.config.base);
    let proxy = addresses
        .get(PROXY)
        .map(|address| Way::forward(at(address), tls(PROXY), &url, certificate(PROXY), subject));
    let redirected = addresses.get(TRANSPARENT).and_then(|address| match address {
        Listen::Tcp(address) => Some(Way::redirected(*address, &url, certificate(TRANSPARENT), subject)),
        Listen::Unix(_) => None,
    });
    own.into_iter().chain(gateway).chain(proxy).chain(redirected).collect()
}

fn at(address: &Listen) -> At<'_> {
    match address {
        Listen::Tcp(address) => At::Tcp(*address),
        Listen::Unix(path) => At::Unix(path),
    }
}

impl PlannedUpstream {
    fn new(
        name: &Arc<str>,
        upstream: &Upstream,
        supply: Option<Arc<Supply>>,
        metrics: &Metrics,
        limits: &Limits,
        via: &Via,
    ) -> Result<Self, SettingsError> {
        let endpoint = Endpoint::through(
            upstream.outer.clone(),
            upstream.origin.clone(),
            &upstream.tls,
            upstream.protocol,
            upstream.connect_timeout,
        )?;
        let settings = Settings {
            name: name.clone(),
            base: upstream.base.clone(),
            headers: upstream.headers.clone(),
            response_timeout: upstream.response_timeout,
            token_timeout: upstream.token_timeout,
            body_timeout: limits.body_timeout,
            replay_limit: upstream.replay_limit,
            keep_authorization: upstream.keep_authorization,
            preserve_host: upstream.preserve_host,
            token_invalid: upstream.token_invalid.clone(),
            upgrades: upstream.upgrades,
            tunnel_idle_timeout: limits.tunnel_idle_timeout,
            connections: connection_limits(limits),
            via: via.clone(),
        };
        Ok(Self {
            config: upstream.clone(),
            settings: Arc::new(settings),
            endpoint,
            supply,
            metrics: metrics.upstream(name),
        })
    }
}

impl PlannedProxy {
    fn new(proxy: &Proxy, metrics: &Metrics, limits: &Limits, via: &Via) -> Self {
        let settings = || Settings {
            name: UNMATCHED.into(),
            base: String::new(),
            headers: Vec::new(),
            response_timeout: Duration::from_secs(300),
            token_timeout: Duration::ZERO,
            body_timeout: limits.body_timeout,
            replay_limit: 0,
            keep_authorization: true,
            preserve_host: false,
            token_invalid: Vec::new(),
            upgrades: true,
            tunnel_idle_timeout: limits.tunnel_idle_timeout,
            connections: connection_limits(limits),
            via: via.clone(),
        };
        let others = proxy.tunnel.then(|| PlannedOthers {
            settings: settings(),
            elsewhere: Elsewhere::new(Guard::new(proxy.networks.clone()), proxy.outer.clone()),
            connect_timeout: CONNECT_TIMEOUT,
        });
        Self {
            authority: proxy.authority.clone(),
            others,
            tunnel_idle_timeout: limits.tunnel_idle_timeout,
            metrics: metrics.upstream(UNMATCHED),
        }
    }
}

fn connection_limits(limits: &Limits) -> ConnectionLimits {
    ConnectionLimits {
        idle_connections: limits.idle_connections,
        idle_timeout: limits.upstream_idle_timeout,
        greatest_age: limits.upstream_connection_age,
    }
}

fn same(one: Option<&Arc<Supply>>, other: Option<&Arc<Supply>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// Every listener for applications, by the name of its upstream, or as `gateway`, `proxy` and `transparent`.
pub(super) fn listeners(config: &Config) -> impl Iterator<Item = (&str, &Listener)> {
    let own =
        config.upstreams.iter().filter_map(|(name, upstream)| Some((&**name, upstream.listen.as_ref()?)));
    own.chain(config.gateway.as_ref().map(|gateway| (GATEWAY, gateway)))
        .chain(config.proxy.as_ref().map(|proxy| (PROXY, &proxy.listener)))
        .chain(config.transparent.as_ref().map(|transparent| (TRANSPARENT, &transparent.listener)))
}

fn plan_door(
    name: &str,
    listener: &Listener,
    config: &Config,
    proxies: &(Option<Arc<PlannedProxy>>, Option<Arc<PlannedProxy>>),
    before: &[PlannedDoor],
) -> Result<PlannedDoor, UnusableTls> {
    let mut hosts = listener.allow_hosts.clone();
    let is_of = |other: Option<&Listener>| other.is_some_and(|other| std::ptr::eq(other, listener));
    let upstream = config.upstreams.get_key_value(name);
    let (proxy, transparent) = proxies;
    let is_of_way = |way: &Option<Proxy>| is_of(way.as_ref().map(|way| &way.listener));
    let proxy = proxy.as_ref().filter(|_| is_of_way(&config.proxy));
    let transparent = transparent.as_ref().filter(|_| is_of_way(&config.transparent));
    let behind = if let Some((name, _)) = upstream.filter(|(_, upstream)| is_of(upstream.listen.as_ref())) {
        Behind::Own(name.clone())
    } else if let Some(proxy) = proxy {
        Behind::Proxy(proxy.clone())
    } else if let Some(transparent) = transparent {
        Behind::Transparent(transparent.clone())
    } else {
        hosts.extend(config.upstreams.values().filter_map(|upstream| upstream.host.clone()));
        Behind::Gateway
    };
    let before = before.iter().find(|door| door.name == name).and_then(|door| door.tls.as_ref());
    let tls = listener.tls.as_ref().map(|settings| Tls::new(settings, before)).transpose()?;
    Ok(PlannedDoor {
        name: name.to_owned(),
        socket: Socket::new(name, &listener.address),
        admission: Arc::new(Admission {
            hosts,
            origins: listener.allow_origins.clone(),
            ip_literals: false,
            tls: tls.is_some(),
        }),
        tls,
        users: listener.allow_users.clone(),
        behind,
    })
}
