//! Real clients on every way in see what they see of the API itself, and are authorized (r081): curl, Python, Node, Java.
//!
//! One table per client says what it can do and where it goes; what is done is one list for all (`steps`).

pub mod program;
mod steps;
mod world;

use std::panic::AssertUnwindSafe;

use serde_json::Value;

use self::{
    program::{Program, perform},
    steps::{STEPS, Step, echo, of},
    world::{Way, World},
};

/// What a client can do.
struct Client {
    program: Program,
    /// Which of its libraries.
    library: &'static str,
    /// Names of steps: all but these, or none but these.
    does: Does,
    /// Where it goes, in which version of HTTP.
    ways: &'static [(Way, &'static str)],
}

#[derive(Clone, Copy)]
enum Does {
    AllBut(&'static [&'static str]),
    Only(&'static [&'static str]),
}

impl Client {
    fn steps(&self) -> Vec<&'static Step> {
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
];

/// The same for who opens no tunnel without TLS in it.
const NO_PLAIN_TUNNEL: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Unix, "1.1"),
    (Way::Tls, "1.1"),
    (Way::Absolute, "1.1"),
    (Way::Tunnel, "1.1"),
];

/// The same for who asks a proxy for tunnels alone.
const TUNNELS: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Unix, "1.1"),
    (Way::Tls, "1.1"),
    (Way::PlainTunnel, "1.1"),
    (Way::Tunnel, "1.1"),
];

/// The same for who connects to no Unix socket and opens no tunnel without TLS in it.
const MOST: &[(Way, &str)] = &[
    (Way::Own, "1.1"),
    (Way::Gateway, "1.1"),
    (Way::Tls, "1.1"),
    (Way::Absolute, "1.1"),
    (Way::Tunnel, "1.1"),
];

const CURL: Client =
    Client { program: Program::Curl, library: "curl", does: Does::AllBut(&["websocket"]), ways: ALL };

/// curl expects nothing over HTTP/2, and some versions of it cannot use a connection again that began with HTTP/2 at once.
const CURL_HTTP2: Client = Client {
    does: Does::AllBut(&["websocket", "expectation", "refused expectation", "reuse"]),
    ways: &[
        (Way::Own, "2 at once"),
        (Way::Gateway, "2 at once"),
        (Way::Unix, "2 at once"),
        (Way::Tls, "2"),
        (Way::Tunnel, "2"),
    ],
    ..CURL
};

const URLLIB: Client = Client {
    program: Program::Python,
    library: "urllib",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation", "reuse"]),
    ways: MOST,
};

const REQUESTS: Client = Client {
    program: Program::Python,
    library: "requests",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation"]),
    ways: MOST,
};

const HTTPX: Client = Client {
    program: Program::Python,
    library: "httpx",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation"]),
    ways: NO_PLAIN_TUNNEL,
};

const HTTPX_HTTP2: Client = Client { ways: CURL_HTTP2.ways, ..HTTPX };

const AIOHTTP: Client = Client {
    program: Program::Python,
    library: "aiohttp",
    does: Does::AllBut(&["trailers", "expectation", "refused expectation", "reuse"]),
    ways: NO_PLAIN_TUNNEL,
};

const WEBSOCKETS: Client = Client {
    program: Program::Python,
    library: "websockets",
    does: Does::Only(&["websocket"]),
    ways: TUNNELS,
};

const FETCH: Client = Client {
    program: Program::Node,
    library: "fetch",
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation", "reuse"]),
    ways: &[(Way::Own, "1.1"), (Way::Gateway, "1.1")],
};

const UNDICI: Client = Client {
    program: Program::Node,
    library: "undici",
    does: Does::AllBut(&["websocket", "expectation", "refused expectation"]),
    ways: ALL,
};

const UNDICI_HTTP2: Client = Client {
    does: Does::AllBut(&["trailers", "websocket", "expectation", "refused expectation"]),
    ways: &[(Way::Tls, "2"), (Way::Tunnel, "2")],
    ..UNDICI
};

const UNDICI_FETCH: Client = Client { library: "undici fetch", does: FETCH.does, ..UNDICI };

const NODE_HTTP: Client = Client {
    program: Program::Node,
    library: "http",
    does: Does::AllBut(&["websocket", "expectation", "refused expectation"]),
    ways: ALL,
};

const NODE_HTTP2: Client = Client {
    program: Program::Node,
    library: "http2",
    does: Does::AllBut(&["websocket", "expectation", "refused expectation", "reuse"]),
    ways: &[(Way::Own, "2 at once"), (Way::Gateway, "2 at once"), (Way::Tls, "2"), (Way::Tunnel, "2")],
};

const WS: Client =
    Client { program: Program::Node, library: "ws", does: Does::Only(&["websocket"]), ways: TUNNELS };

const JAVA: Client = Client {
    program: Program::Java,
    library: "HttpClient",
    does: Does::AllBut(&["trailers", "expectation", "refused expectation", "reuse"]),
    ways: &[
        (Way::Own, "1.1"),
        (Way::Gateway, "1.1"),
        (Way::Tls, "1.1"),
        (Way::Absolute, "1.1"),
        (Way::Tunnel, "1.1"),
        (Way::Own, "2"),
        (Way::Tls, "2"),
        (Way::Tunnel, "2"),
    ],
};

/// Every step on every way of `client`, and what it sees there beside what it sees of the API itself.
async fn sees_no_difference(client: &Client) {
    let (Some(command), Some(world)) = (client.program.command().await, World::new().await) else { return };
    drop(command);
    let mut differences = Vec::new();
    for (way, version) in client.ways {
        let steps = client.steps();
        let (through, steps) = (*way, &steps[..]);
        let comparable: Vec<_> = steps.iter().copied().filter(|step| !step.alone).collect();
        let (past, its_version) = beside(through, version);
        let direct = run(client, &world, past, its_version, &comparable).await;
        let bare = world.bare().await;
        let proxied = run(client, &world, through, version, steps).await;
        for step in steps {
            let seen = &proxied[step.name];
            let looked = std::panic::catch_unwind(AssertUnwindSafe(|| {
                (step.expected)(seen);
                if !step.alone {
                    assert_eq!(comparable_of(seen, true), comparable_of(&direct[step.name], false));
                }
            }));
            if looked.is_err() {
                let (library, name, direct) = (client.library, step.name, &direct[step.name]);
                differences.push(format!(
                    "{library} through {way:?} ({version}): {name}\n{seen}\ndirectly:\n{direct}"
                ));
            }
        }
        assert_eq!(world.bare().await, bare, "nothing goes out without a token");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

async fn run(client: &Client, world: &World, way: Way, version: &str, steps: &[&Step]) -> Value {
    let command = client.program.command().await.expect("it was there before");
    perform(command, &world.plan(client.library, way, version, steps)).await
}

/// What a way is compared with. The API speaks HTTP/2 over TLS alone, and is confused by whoever offers to change to it.
fn beside(way: Way, version: &'static str) -> (Way, &'static str) {
    match way {
        Way::DirectTls | Way::Tls | Way::Tunnel => (Way::DirectTls, version),
        _ if version == "2 at once" => (Way::DirectTls, "2"),
        Way::Direct | Way::Own | Way::Gateway | Way::Unix | Way::Absolute | Way::PlainTunnel => {
            (Way::Direct, "1.1")
        }
    }
}

/// Fields of one connection (RFC 9110 section 7.6.1), and those that every intermediary or server writes by itself.
const OF_A_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    "date",
    "via",
];

/// An answer without what may differ between two hops; of an echo, the request without it too.
fn comparable_of(seen: &Value, proxied: bool) -> Value {
    let mut seen = seen.clone();
    if seen["fields"].is_array() {
        let mut fields = without(&seen["fields"], OF_A_HOP);
        // Which order a client keeps them in is its own affair.
        fields.sort_by_key(ToString::to_string);
        seen["fields"] = fields.into();
    }
    let is_echo = seen["content"].as_str().is_some_and(|content| content.starts_with("{\"method\""));
    if is_echo {
        let mut echo = echo(&seen);
        if proxied {
            assert_eq!(of(&echo["fields"], "authorization").len(), 1);
            assert_eq!(of(&echo["fields"], "via").len(), 1);
            for gone in ["keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings"]
            {
                assert_eq!(of(&echo["fields"], gone), [""; 0], "{gone} is of one hop");
            }
        }
        let differing = [OF_A_HOP, &["host", "authorization"]].concat();
        echo["fields"] = without(&echo["fields"], &differing).into();
        seen["content"] = echo;
        // It is as long as what differs.
        let fields = without(&seen["fields"], &["content-length"]);
        seen["fields"] = fields.into();
    }
    for differs in ["end", "version"] {
        seen.as_object_mut().expect("a result").remove(differs);
    }
    seen
}

fn without(fields: &Value, names: &[&str]) -> Vec<Value> {
    let fields = fields.as_array().expect("a list of fields");
    fields.iter().filter(|field| !names.iter().any(|name| field[0] == *name)).cloned().collect()
}

#[tokio::test]
async fn r081_curl_sees_no_difference() {
    sees_no_difference(&CURL).await;
}

#[tokio::test]
async fn r081_curl_over_http_2_sees_no_difference() {
    sees_no_difference(&CURL_HTTP2).await;
}

#[tokio::test]
async fn r081_urllib_of_python_sees_no_difference() {
    sees_no_difference(&URLLIB).await;
}

#[tokio::test]
async fn r081_requests_of_python_sees_no_difference() {
    sees_no_difference(&REQUESTS).await;
}

#[tokio::test]
async fn r081_httpx_of_python_sees_no_difference() {
    sees_no_difference(&HTTPX).await;
}

#[tokio::test]
async fn r081_httpx_of_python_over_http_2_sees_no_difference() {
    sees_no_difference(&HTTPX_HTTP2).await;
}

#[tokio::test]
async fn r081_aiohttp_of_python_sees_no_difference() {
    sees_no_difference(&AIOHTTP).await;
}

#[tokio::test]
async fn r081_websockets_of_python_sees_no_difference() {
    sees_no_difference(&WEBSOCKETS).await;
}

#[tokio::test]
async fn r081_fetch_of_node_sees_no_difference() {
    sees_no_difference(&FETCH).await;
}

#[tokio::test]
async fn r081_undici_of_node_sees_no_difference() {
    sees_no_difference(&UNDICI).await;
}

#[tokio::test]
async fn r081_undici_of_node_over_http_2_sees_no_difference() {
    sees_no_difference(&UNDICI_HTTP2).await;
}

#[tokio::test]
async fn r081_undicis_fetch_sees_no_difference() {
    sees_no_difference(&UNDICI_FETCH).await;
}

#[tokio::test]
async fn r081_http_of_node_sees_no_difference() {
    sees_no_difference(&NODE_HTTP).await;
}

#[tokio::test]
async fn r081_http2_of_node_sees_no_difference() {
    sees_no_difference(&NODE_HTTP2).await;
}

#[tokio::test]
async fn r081_ws_of_node_sees_no_difference() {
    sees_no_difference(&WS).await;
}

#[tokio::test]
async fn r081_javas_http_client_sees_no_difference() {
    sees_no_difference(&JAVA).await;
}
