//! `[limits]`: what is bounded, over all upstreams.

use super::{Key, Kind, key};

pub(super) const LIMITS: &[Key] = &[
    key(
        "replay_memory",
        Kind::Size { least: 0 },
        "Request bodies held for replays, over all requests; beyond it they are streamed. Default: 64MiB.",
    ),
    key(
        "head_size",
        Kind::Size { least: 8 << 10 },
        "The largest request head, 8KiB at least. Default: 64KiB.",
    ),
    key(
        "head_fields",
        Kind::Integer { least: 1, most: 10_000 },
        "The most fields of a request head. Default: 100.",
    ),
    key(
        "http2_streams",
        Kind::Integer { least: 1, most: 10_000 },
        "Requests at once on an application's HTTP/2 connection. Default: 100.",
    ),
    key(
        "http2_resets",
        Kind::Integer { least: 1, most: 1_000_000 },
        "Requests that an application may cancel within a second on one HTTP/2 connection; with more the connection ends. Default: 200.",
    ),
    key(
        "http2_control_frames",
        Kind::Integer { least: 10, most: 1_000_000 },
        "HTTP/2 frames that carry nothing (PING, SETTINGS, PRIORITY, empty ones …) within a second on one connection; with more it ends. Default: 1000.",
    ),
    key(
        "extended_connect",
        Kind::Bool,
        "Offers extended CONNECT (RFC 8441), which carries WebSockets over HTTP/2. Default: false.",
    ),
    key(
        "underscores",
        Kind::Choice { now: &["pass", "refuse"], later: &[] },
        "Field names with an underscore, which some programs take for a hyphen: `pass` (default), or `refuse` with 400.",
    ),
    key("head_timeout", Kind::Duration, "Until a request head is complete. Default: 30s."),
    key("idle_timeout", Kind::Duration, "How long an application's kept connection may idle. Default: 5m."),
    key(
        "body_timeout",
        Kind::Duration,
        "How long a request's body, or an answer's of known length, may stand still. Default: 5m.",
    ),
    key(
        "connections",
        Kind::Integer { least: 1, most: 10_000_000 },
        "Open connections of applications, over all listeners. Default: 10000.",
    ),
    key(
        "requests",
        Kind::Integer { least: 1, most: 10_000_000 },
        "Requests under way, over all listeners; one more is answered 503. Default: 10000.",
    ),
    key(
        "tunnel_idle_timeout",
        Kind::Duration,
        "How long a tunnel (a WebSocket, another upgrade, CONNECT) may be silent. Default: for ever.",
    ),
    key(
        "idle_connections",
        Kind::Integer { least: 0, most: 1_000_000 },
        "Idle connections kept per upstream and worker. Default: 64.",
    ),
    key(
        "upstream_idle_timeout",
        Kind::Duration,
        "How long an idle connection to an upstream is kept. Default: 50s.",
    ),
    key(
        "upstream_connection_age",
        Kind::Duration,
        "How old a connection to an upstream may get. Default: 5m.",
    ),
    key("drain_timeout", Kind::Duration, "How long running requests may take at shutdown. Default: 20s."),
];
