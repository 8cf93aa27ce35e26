//! Which client does what, and where it goes: the cells of the matrix.
//!
//! Knows what each client cannot do. Does not know how anything is done.

use super::{
    program::Program,
    steps::{STEPS, Step},
    world::Way,
};

/// What a client can do.
pub struct Client {
    pub program: Program,
    /// Which of its libraries.
    pub library: &'static str,
    does: Does,
    /// Where it goes, in which version of HTTP.
    pub ways: &'static [(Way, &'static str)],
}

/// Names of steps: all but these, or none but these.
#[derive(Clone, Copy)]
enum Does {
    AllBut(&'static [&'static str]),
    Only(&'static [&'static str]),
}

impl Client {
    /// What it does.
    pub fn steps(&self) -> Vec<&'static Step> {
        let does = |step: &&Step| match self.does {
            Does::AllBut(names) => !names.contains(&step.name),
            Does::Only(names) => names.contains(&step.name),
        };
        STEPS.iter().filter(does).collect()
    }
}

/// Every way in, for HTTP/1.1.
const ALL: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Unix, "1.1"),
    (Way::Tls, "1.1"),
    (Way::Absolute, "1.1"),
    (Way::PlainTunnel, "1.1"),
    (Way::Tunnel, "1.1"),
    (Way::PlainExec, "1.1"),
    (Way::Exec, "1.1"),
];

/// The same for who opens no tunnel without TLS in it, unless the environment says so.
const NO_PLAIN_TUNNEL: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Unix, "1.1"),
    (Way::Tls, "1.1"),
    (Way::Absolute, "1.1"),
    (Way::Tunnel, "1.1"),
    (Way::PlainExec, "1.1"),
    (Way::Exec, "1.1"),
];

/// The same for who connects to no Unix socket either.
const MOST: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Tls, "1.1"),
    (Way::Absolute, "1.1"),
    (Way::Tunnel, "1.1"),
    (Way::PlainExec, "1.1"),
    (Way::Exec, "1.1"),
];

/// Every way in, for WebSocket clients: they ask a proxy for tunnels alone.
const TUNNELS: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Unix, "1.1"),
    (Way::Tls, "1.1"),
    (Way::PlainTunnel, "1.1"),
    (Way::Tunnel, "1.1"),
    (Way::PlainExec, "1.1"),
    (Way::Exec, "1.1"),
];

/// Every way in, for HTTP/2.
const HTTP2: &[(Way, &str)] = &[
    (Way::Own, "2 at once"),
    (Way::Gateway, "2 at once"),
    (Way::Unix, "2 at once"),
    (Way::Tls, "2"),
    (Way::PlainTunnel, "2 at once"),
    (Way::Tunnel, "2"),
    (Way::Exec, "2"),
];

pub const CURL: Client =
    Client { program: Program::Curl, library: "curl", does: Does::AllBut(&["websocket"]), ways: ALL };

/// curl expects nothing over HTTP/2, and some versions of it cannot use a connection again that began with HTTP/2 at once.
pub const CURL_HTTP2: Client = Client {
    does: Does::AllBut(&["websocket", "expectation", "refused expectation", "reuse"]),
    ways: HTTP2,
    ..CURL
};

pub const URLLIB: Client = Client {
    program: Program::Python,
    library: "urllib",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation", "reuse"]),
    ways: MOST,
};

pub const REQUESTS: Client = Client {
    program: Program::Python,
    library: "requests",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation"]),
    ways: MOST,
};

pub const HTTPX: Client = Client {
    program: Program::Python,
    library: "httpx",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation"]),
    ways: NO_PLAIN_TUNNEL,
};

pub const HTTPX_HTTP2: Client = Client {
    ways: &[
        (Way::Own, "2 at once"),
        (Way::Gateway, "2 at once"),
        (Way::Unix, "2 at once"),
        (Way::Tls, "2"),
        (Way::Tunnel, "2"),
        (Way::Exec, "2"),
    ],
    ..HTTPX
};

pub const AIOHTTP: Client = Client {
    program: Program::Python,
    library: "aiohttp",
    does: Does::AllBut(&["trailers", "reuse"]),
    ways: NO_PLAIN_TUNNEL,
};

pub const WEBSOCKETS: Client = Client {
    program: Program::Python,
    library: "websockets",
    does: Does::Only(&["websocket"]),
    ways: TUNNELS,
};

pub const FETCH: Client = Client {
    program: Program::Node,
    library: "fetch",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation", "reuse"]),
    ways: &[(Way::Own, "1.1"), (Way::Gateway, "1.1"), (Way::PlainExec, "1.1"), (Way::Exec, "1.1")],
};

pub const UNDICI: Client = Client {
    program: Program::Node,
    library: "undici",
    does: Does::AllBut(&["websocket", "expectation", "refused expectation"]),
    ways: ALL,
};

pub const UNDICI_HTTP2: Client = Client {
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation"]),
    ways: &[(Way::Tls, "2"), (Way::Tunnel, "2")],
    ..UNDICI
};

pub const UNDICI_FETCH: Client = Client { library: "undici fetch", does: FETCH.does, ..UNDICI };

pub const NODE_HTTP: Client =
    Client { program: Program::Node, library: "http", does: Does::AllBut(&["websocket"]), ways: ALL };

pub const NODE_HTTP2: Client = Client {
    program: Program::Node,
    library: "http2",
    does: Does::AllBut(&["websocket", "expectation", "refused expectation", "reuse"]),
    ways: &[
        (Way::Own, "2 at once"),
        (Way::Gateway, "2 at once"),
        (Way::Unix, "2 at once"),
        (Way::Tls, "2"),
        (Way::PlainTunnel, "2 at once"),
        (Way::Tunnel, "2"),
    ],
};

/// It has a way of its own to connect, which no environment leads to a proxy.
pub const WS: Client = Client {
    program: Program::Node,
    library: "ws",
    does: Does::Only(&["websocket"]),
    ways: &[
        (Way::Own, "1.1"),
        (Way::Gateway, "1.1"),
        (Way::Unix, "1.1"),
        (Way::Tls, "1.1"),
        (Way::PlainTunnel, "1.1"),
        (Way::Tunnel, "1.1"),
    ],
};

pub const JAVA: Client = Client {
    program: Program::Java,
    library: "HttpClient",
    does: Does::AllBut(&["trailers", "reuse"]),
    ways: MOST,
};

/// Without TLS it offers `h2c`, which nobody takes up. Over HTTP/2 some versions of it never send what was expected.
pub const JAVA_HTTP2: Client = Client {
    does: Does::AllBut(&["trailers", "expectation", "refused expectation", "reuse"]),
    ways: &[(Way::Own, "2"), (Way::Tls, "2"), (Way::Tunnel, "2"), (Way::Exec, "2")],
    ..JAVA
};
