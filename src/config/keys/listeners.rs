//! The keys of listeners: `[admin]`, `[gateway]`, `[proxy]`, `[transparent]`, and what every way in has.

use super::{Key, Kind, key};

pub(in crate::config) const LISTENER: &[Key] = &[
    key("listen", Kind::Listen, "ADDRESS:PORT or unix:/path."),
    LISTEN_TLS,
    key(
        "allow_hosts",
        Kind::Texts,
        "Further Host names, such as a compose service's; loopback names and the listener's own address always may.",
    ),
    key("allow_origins", Kind::Texts, "Browser origins that may use this port; none by default."),
    ALLOW_USERS,
    EXPOSE,
];

pub(super) const PROXY: &[Key] = &[
    key("listen", Kind::Listen, "ADDRESS:PORT or unix:/path."),
    key(
        "unmatched",
        Kind::Choice { now: &["deny", "tunnel"], later: &[] },
        "What becomes of requests that are for no upstream: they are refused, or pass without a token. Default: deny.",
    ),
    key(
        "ca",
        Kind::Table(CA),
        "The local CA that signs the certificates shown for https upstreams. Default: the one that `bearward ca init` makes.",
    ),
    ALLOW_ADDRESSES,
    key(
        "proxy",
        Kind::Secret,
        "The outer proxy on the way to unmatched destinations: \"env\" (the default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), \"none\", or http://user:password@host:port.",
    ),
    key(
        "allow_origins",
        Kind::Texts,
        "Browser origins whose pages may ask every upstream through the proxy; besides them only an upstream's own pages may.",
    ),
    LISTEN_TLS,
    ALLOW_USERS,
    EXPOSE,
];

pub(super) const TRANSPARENT: &[Key] = &[
    key("listen", Kind::Listen, "ADDRESS:PORT, which connections are redirected to."),
    key(
        "unmatched",
        Kind::Choice { now: &["deny", "tunnel"], later: &[] },
        "What becomes of connections that are for no upstream: they are closed, or pass without a token. Default: deny.",
    ),
    key(
        "ca",
        Kind::Table(CA),
        "The local CA that signs the certificates shown for https upstreams. Default: that of [proxy], else the one that `bearward ca init` makes.",
    ),
    ALLOW_ADDRESSES,
    key(
        "allow_origins",
        Kind::Texts,
        "Browser origins whose pages may ask every upstream; besides them only an upstream's own pages may.",
    ),
    EXPOSE,
];

const CA: &[Key] = &[
    key("certificate", Kind::File, "PEM: the CA's certificate."),
    key("key", Kind::File, "PEM: its private key, which nobody else may read."),
];

/// TLS on a listener, wherever one is.
pub(super) const LISTEN_TLS: Key = key(
    "listen_tls",
    Kind::Table(&[
        key("certificate", Kind::File, "PEM: the certificate chain that is shown."),
        key("key", Kind::File, "PEM: the private key of `certificate`."),
        key("ca", Kind::File, "PEM: only applications with a certificate of one of these CAs may come in."),
    ]),
    "TLS on `listen`: HTTP/2 or HTTP/1.1, as the application chooses (ALPN). The files are read again when they change.",
);

const ALLOW_USERS: Key = key(
    "allow_users",
    Kind::Users,
    "User ids that may connect to a unix: listen besides bearward's own and root; none by default.",
);

const EXPOSE: Key = key(
    "expose",
    Kind::Bool,
    "A listen that is not loopback needs true: whoever reaches the port acts with the tokens. Default: false.",
);

const ALLOW_ADDRESSES: Key = key(
    "allow_addresses",
    Kind::Texts,
    "Private networks that unmatched destinations may have addresses in, such as 10.0.0.0/8; none by default, loopback included.",
);
