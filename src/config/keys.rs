//! Every key of the configuration file, once: its name, what its value looks like and what it is for.
//!
//! The reader checks files against this list, the excerpts of problems are masked by it, and the JSON Schema is written
//! from it. Does not know how the values fit together (`validate`).

mod limits;
mod listeners;

pub(super) use self::listeners::LISTENER;
use self::{
    limits::LIMITS,
    listeners::{LISTEN_TLS, PROXY, TRANSPARENT},
};

/// One key of a table.
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// For editors: a sentence, with the default where there is one.
    pub doc: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// The name of a token; one who takes it for the token itself writes a secret there.
    TokenName,
    /// A URL; user information and query are masked in excerpts.
    Url,
    /// A path, relative to the configuration file's folder.
    File,
    /// `ADDRESS:PORT` or `unix:/path`.
    Listen,
    /// `"text"`, `{ env = "NAME" }` or `{ file = "/path" }`.
    Secret,
    Duration,
    Size {
        least: u64,
    },
    Bool,
    Integer {
        least: u64,
        most: u64,
    },
    /// A share of a whole.
    Share {
        least: f64,
        most: f64,
    },
    /// One of these texts; the later ones are known and refused with the words beside them.
    Choice {
        now: &'static [&'static str],
        later: &'static [(&'static str, &'static str)],
    },
    /// A text or a list of texts.
    Words,
    /// A list of texts.
    Texts,
    /// A list of user ids.
    Users,
    /// Any values; masked in excerpts.
    Object,
    /// Field names and values; masked in excerpts.
    Fields,
    /// `token_invalid`.
    Rules,
    Table(&'static [Key]),
    /// A table of tables whose names are the user's.
    Named(&'static [Key]),
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, doc }
}

/// The grant types of later versions, and what works today.
pub(super) const LATER_GRANT_TYPES: &[(&str, &str)] = &[
    ("jwt_bearer", "use grant_type = \"client_credentials\" where the server allows it"),
    ("token_exchange", "use grant_type = \"request\", which gets a token with another token"),
];

/// The whole file.
pub(super) const FILE: &[Key] = &[
    key(
        "workers",
        Kind::Integer { least: 1, most: 1024 },
        "Threads that carry requests; each has its own runtime and connections. Default: 1.",
    ),
    key("log", Kind::Table(LOG), "What is logged, and how."),
    key(
        "admin",
        Kind::Table(LISTENER),
        "The admin listener: /livez, /readyz, /metrics, /status. Off when absent.",
    ),
    key(
        "store",
        Kind::Table(STORE),
        "What must survive a restart: tokens, above all rotated refresh tokens.",
    ),
    key("gateway", Kind::Table(LISTENER), "One port for many upstreams, told apart by path prefix or Host."),
    key(
        "proxy",
        Kind::Table(PROXY),
        "The forward proxy, for applications that keep their URLs: HTTP_PROXY and HTTPS_PROXY point at it. It leads to every upstream.",
    ),
    key(
        "transparent",
        Kind::Table(TRANSPARENT),
        "Takes connections that the system redirects (deploy/transparent), as the forward proxy would. It leads to every upstream.",
    ),
    key("limits", Kind::Table(LIMITS), "What is bounded, over all upstreams."),
    key("tokens", Kind::Named(TOKEN), "The token recipes by name."),
    key("upstreams", Kind::Named(UPSTREAM), "The upstreams by name."),
];

const LOG: &[Key] = &[
    key(
        "level",
        Kind::Choice { now: &["error", "warn", "info", "debug", "trace"], later: &[] },
        "The least severe level shown; RUST_LOG wins. Default: info.",
    ),
    key(
        "format",
        Kind::Choice { now: &["auto", "text", "json"], later: &[] },
        "auto is text on a terminal and JSON elsewhere. Default: auto.",
    ),
];

pub(super) const STORE: &[Key] = &[
    key(
        "kind",
        Kind::Choice {
            now: &["file", "memory"],
            later: &[
                ("redis", "use kind = \"file\" on a volume that the replicas share"),
                ("kubernetes", "use kind = \"file\" on a persistent volume"),
            ],
        },
        "Default: file.",
    ),
    key(
        "path",
        Kind::File,
        "The file store's folder, 0700, its files 0600. Default: $XDG_STATE_HOME/bearward, else ~/.local/state/bearward.",
    ),
];

const TLS: &[Key] = &[
    key("ca", Kind::File, "PEM: trust only these roots."),
    key("certificate", Kind::File, "PEM: the certificate chain that is shown."),
    key("key", Kind::File, "PEM: the private key of `certificate`."),
    key("server_name", Kind::Text, "The name to verify and to send as SNI, where it is not the URL's host."),
];

const ALLOW_CLEARTEXT: Key = key(
    "allow_cleartext",
    Kind::Bool,
    "http:// beyond loopback is an error without it: secrets and tokens would be readable on the way. Default: false.",
);

/// Of tokens and upstreams; a secret, for its URL may hold a password.
const OUTER_PROXY: Key = key(
    "proxy",
    Kind::Secret,
    "The outer proxy on the way there: \"env\" (the default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), \"none\", or http://user:password@host:port.",
);

pub(super) const TOKEN: &[Key] = &[
    key(
        "preset",
        Kind::Choice { now: &super::presets::NAMES, later: &[] },
        "Fills what it knows of a provider; any key of this table overrides it.",
    ),
    key("base_url", Kind::Url, "What endpoints that begin with / are relative to."),
    key(
        "issuer",
        Kind::Url,
        "The authorization server's issuer, exactly as its metadata (RFC 8414, OpenID Connect Discovery) says it: that names every endpoint that is not written here.",
    ),
    key("grant_type", Kind::Text, "How the token is got: a grant of RFC 6749 section 4, or another."),
    key("token_endpoint", Kind::Url, "The authorization server's token endpoint (RFC 6749 section 3.2)."),
    key("client_id", Kind::Text, "The client's identifier, as the provider gave it (RFC 6749 section 2.2)."),
    key("client_secret", Kind::Secret, "The client's secret."),
    key(
        "token_endpoint_auth_method",
        Kind::Choice {
            now: &["client_secret_basic", "client_secret_post", "none"],
            later: &[
                ("private_key_jwt", "use \"client_secret_basic\" or \"client_secret_post\""),
                ("client_secret_jwt", "use \"client_secret_basic\" or \"client_secret_post\""),
                (
                    "tls_client_auth",
                    "use \"client_secret_basic\" or \"client_secret_post\"; `tls` shows a certificate beside them",
                ),
            ],
        },
        "Client authentication (RFC 7591). Default: client_secret_basic.",
    ),
    key(
        "basic_encoding",
        Kind::Choice { now: &["rfc6749", "raw"], later: &[] },
        "rfc6749 form-encodes identifier and secret first (section 2.3.1); raw does not. Default: rfc6749.",
    ),
    key(
        "encoding",
        Kind::Choice { now: &["form", "json"], later: &[] },
        "The token request's body. Default: form.",
    ),
    key("scope", Kind::Words, "The scope asked for: scopes with a space between them, or a list."),
    key("scope_parameter", Kind::Text, "The parameter that carries the scope. Default: scope."),
    key("parameters", Kind::Object, "Further parameters of the token request."),
    key("username", Kind::Text, "The user's name; sent with client_credentials too where set."),
    key("password", Kind::Secret, "The user's password; sent with client_credentials too where set."),
    key("refresh_token", Kind::Secret, "The first refresh token; a rotated one in the store wins over it."),
    key(
        "access_token",
        Kind::Secret,
        "grant_type = \"static\": the token; a file is read again when it changes.",
    ),
    key("url", Kind::Url, "grant_type = \"request\": where the token is asked for, by POST."),
    key(
        "body",
        Kind::Object,
        "grant_type = \"request\": the JSON body; \"{subject}\" stands for the subject.",
    ),
    key("authorize_with", Kind::TokenName, "grant_type = \"request\": the token that goes on this request."),
    key(
        "subject_header",
        Kind::Text,
        "The request field that names the subject; taken off before the request goes on. Default: x-bearward-subject.",
    ),
    key(
        "max_subjects",
        Kind::Integer { least: 1, most: 10_000_000 },
        "How many subjects' tokens are held; the least recently used go first. Default: 10000.",
    ),
    key(
        "authorization_endpoint",
        Kind::Url,
        "grant_type = \"authorization_code\": where a person's browser is sent (RFC 6749 section 3.1).",
    ),
    key(
        "authorization_parameters",
        Kind::Object,
        "grant_type = \"authorization_code\": further parameters of the authorization request, such as OpenID's prompt.",
    ),
    key(
        "redirect_uri",
        Kind::Url,
        "grant_type = \"authorization_code\": where the browser comes back to. A loopback one is served by the login; port 0 takes a free one. Absent: the person pastes the code.",
    ),
    key(
        "device_authorization_endpoint",
        Kind::Url,
        "grant_type = \"device_code\": where a device asks for a user code (RFC 8628 section 3.1).",
    ),
    key("revocation_endpoint", Kind::Url, "Where `bearward logout` revokes tokens (RFC 7009)."),
    key(
        "introspection_endpoint",
        Kind::Url,
        "Where `bearward token NAME --introspect` asks about a token (RFC 7662).",
    ),
    key(
        "introspection_refresh_token",
        Kind::Bool,
        "Sends the refresh token along when introspecting, as Apicbase wants it. Default: false.",
    ),
    ALLOW_CLEARTEXT,
    key(
        "tls",
        Kind::Table(TLS),
        "TLS towards the authorization server; `server_name` counts for the host of token_endpoint (else of issuer) alone.",
    ),
    key(
        "connect_timeout",
        Kind::Duration,
        "Until a connection to the authorization server stands. Default: 5s.",
    ),
    OUTER_PROXY,
    key(
        "token_request_timeout",
        Kind::Duration,
        "Until the authorization server's whole answer is there. Default: 30s.",
    ),
    key(
        "default_lifetime",
        Kind::Duration,
        "The lifetime where neither expires_in nor a JWT's exp says. Default: 5m.",
    ),
    key(
        "refresh_at",
        Kind::Share { least: 0.1, most: 0.95 },
        "The share of the lifetime after which it is refreshed in the background. Default: 0.8.",
    ),
    key(
        "acquire",
        Kind::Choice { now: &["eager", "lazy"], later: &[] },
        "eager gets it at start, lazy at the first request. Default: eager.",
    ),
    key("token_timeout", Kind::Duration, "How long a request waits for this token. Default: 10s."),
];

pub(super) const UPSTREAM: &[Key] = &[
    key(
        "preset",
        Kind::Choice { now: &super::presets::NAMES, later: &[] },
        "Fills what it knows of a provider's API; any key of this table overrides it. The token is named by `token`.",
    ),
    key("url", Kind::Url, "The API's address: scheme://host[:port][/base]."),
    key("token", Kind::TokenName, "The name of the token that is set; absent: forwarded without one."),
    key("listen", Kind::Listen, "Where the application reaches it: ADDRESS:PORT or unix:/path."),
    LISTEN_TLS,
    key("path", Kind::Text, "Its path prefix on the gateway; stripped."),
    key("host", Kind::Text, "Its Host on the gateway."),
    key(
        "headers",
        Kind::Fields,
        "Fields added where the application sent none; a preset's stay beside them.",
    ),
    key(
        "http",
        Kind::Choice { now: &["auto", "1", "2"], later: &[] },
        "auto asks by ALPN; \"2\" over http:// is prior knowledge. Default: auto.",
    ),
    key("tls", Kind::Table(TLS), "TLS towards the upstream."),
    ALLOW_CLEARTEXT,
    key("connect_timeout", Kind::Duration, "Until a connection stands. Default: 5s."),
    OUTER_PROXY,
    key(
        "response_timeout",
        Kind::Duration,
        "Until the response head; a body may take for ever. Default: 60s.",
    ),
    key(
        "token_timeout",
        Kind::Duration,
        "How long a request waits for a token; wins over the token's. Default: 10s.",
    ),
    key(
        "replay_limit",
        Kind::Size { least: 0 },
        "A longer request body is streamed, and not replayed. Default: 64KiB.",
    ),
    key(
        "allow_origins",
        Kind::Texts,
        "Browser origins that may use `listen`, and ask this upstream through the proxy; none by default.",
    ),
    key(
        "allow_users",
        Kind::Users,
        "User ids that may connect to a unix: listen besides bearward's own and root; none by default.",
    ),
    key(
        "allow_hosts",
        Kind::Texts,
        "Further Host names on `listen`, such as a compose service's; loopback names and its own address always may.",
    ),
    key(
        "expose",
        Kind::Bool,
        "A listen that is not loopback needs true: whoever reaches the port acts with the token. Default: false.",
    ),
    key(
        "keep_authorization",
        Kind::Bool,
        "Passes the application's own Authorization on, where there is no `token`. Default: false.",
    ),
    key("upgrades", Kind::Bool, "WebSocket and other upgrades pass. Default: true."),
    key("preserve_host", Kind::Bool, "Passes the application's Host on. Default: false."),
    key(
        "token_invalid",
        Kind::Rules,
        "Which answers mean that the token is no longer good: { status, pointer, equals }, \"challenge\" (401 with an invalid_token challenge, RFC 6750 section 3.1), \"any-401\", \"never\", or a list. Default: 401 with token.invalid at /error/key, and \"challenge\".",
    ),
];

/// The table of one rule of `token_invalid`.
pub(super) const RULE: &[Key] = &[
    key("status", Kind::Integer { least: 400, most: 599 }, "The status it needs. Default: 401."),
    key("pointer", Kind::Text, "A JSON pointer into the body (RFC 6901)."),
    key("equals", Kind::Text, "The text that stands there."),
];

/// A preset's file.
pub(super) const PRESET: &[Key] = &[
    key("token", Kind::Table(TOKEN), ""),
    key("grant", Kind::Named(TOKEN), "What differs where the user's `grant_type` is this one."),
    key("upstream", Kind::Table(UPSTREAM), ""),
    key("about", Kind::Text, "The provider, in a line."),
    key("path", Kind::Text, "A path to try first."),
    key("way", Kind::Named(WAY), "What the user adds where the `grant_type` is this one."),
];

const WAY: &[Key] = &[
    key("about", Kind::Text, "Whom it is for, in a line."),
    key("ask", Kind::Texts, "Keys of the token that only the user knows; `upstream.` before an upstream's."),
    key("may", Kind::Texts, "Further ones, which not everybody has."),
    key("example", Kind::Object, "What such a value looks like."),
];

/// The key of this name in a table, where there is one.
pub(super) fn find<'a>(keys: &'a [Key], name: &str) -> Option<&'a Key> {
    keys.iter().find(|key| key.name == name)
}
