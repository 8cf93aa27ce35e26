//! What every client does, and what it has to see: one list for all of them.
//!
//! Knows the API of `tests/node/origin.mjs`. Does not know clients or ways in.

use serde_json::{Value, json};

/// What is streamed: more than is held for a replay, and more than any buffer.
pub const STREAMED: u64 = 1 << 20;
/// A WebSocket message that is longer than a frame of most.
const LARGE_MESSAGE: u64 = 70_000;

/// One thing that a client does.
pub struct Step {
    /// What it is called in the tables of what a client cannot do.
    pub name: &'static str,
    /// Which upstream it is for.
    pub upstream: Upstream,
    /// Method, path, and what else a plan says of it.
    pub asked: fn() -> Value,
    /// What bearward adds or answers by itself: there is nothing to compare with.
    pub alone: bool,
    /// What has to be seen.
    pub expected: fn(&Value),
}

/// Whose token goes on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// One that can be had.
    Api,
    /// One that cannot be had.
    Closed,
}

/// All of them.
pub const STEPS: &[Step] = &[
    both(
        "get",
        || request("GET", "/echo/orders?page=1&x=%20y%2Fz", json!(null)),
        |seen| {
            assert_eq!(status(seen), 200);
            assert_eq!(echo(seen)["target"], "/echo/orders?page=1&x=%20y%2Fz");
            assert_eq!(sent(seen, "x-order"), ["7"]);
        },
    ),
    both(
        "post",
        || request("POST", "/echo", json!({ "text": "an order" })),
        |seen| {
            assert_eq!(
                (&echo(seen)["method"], &echo(seen)["content"]["text"]),
                (&"POST".into(), &"an order".into())
            );
        },
    ),
    both(
        "streamed",
        || request("POST", "/echo", json!({ "length": STREAMED })),
        |seen| {
            assert_eq!(echo(seen)["content"]["length"], STREAMED);
            assert_eq!(sent(seen, "content-length"), [""; 0], "a length that nobody knows");
        },
    ),
    both(
        "put",
        || request("PUT", "/echo/orders/7", json!({ "text": "{\"a\": 1}" })),
        |seen| {
            assert_eq!((&echo(seen)["method"], &echo(seen)["content"]["length"]), (&"PUT".into(), &8.into()));
        },
    ),
    both(
        "head",
        || request("HEAD", "/head", json!(null)),
        |seen| {
            assert_eq!((status(seen), content(seen)), (200, ""));
            assert_eq!(field(seen, "content-length"), ["1234"]);
        },
    ),
    both(
        "nothing",
        || request("DELETE", "/nothing", json!(null)),
        |seen| {
            assert_eq!((status(seen), content(seen)), (204, ""));
            assert_eq!(field(seen, "x-kept"), ["yes"]);
        },
    ),
    // r079: what is packed stays packed.
    both(
        "gzip",
        || with_field(request("GET", "/gzip", json!(null)), "accept-encoding", "gzip"),
        |seen| {
            assert_eq!(status(seen), 200);
        },
    ),
    // r074
    both(
        "cookies",
        || request("GET", "/cookies", json!(null)),
        |seen| {
            let cookies = field(seen, "set-cookie").join(", ");
            assert_eq!(cookies, "a=1; Path=/, b=2; Path=/");
        },
    ),
    both(
        "missing",
        || request("GET", "/missing", json!(null)),
        |seen| {
            assert_eq!((status(seen), content(seen)), (404, r#"{"error":{"key":"not.found"}}"#));
        },
    ),
    // r120
    both(
        "scope",
        || request("GET", "/scope", json!(null)),
        |seen| {
            assert_eq!((status(seen), content(seen)), (401, r#"{"error":{"key":"scope.wrong"}}"#));
        },
    ),
    // Each event is confirmed before the next one is sent: whoever buffers never sees the second.
    both(
        "events",
        || events("/events/NAME", "/heard/NAME"),
        |seen| {
            assert_eq!(seen["events"], json!(["data: event 1", "data: event 2", "data: event 3"]));
        },
    ),
    both(
        "trailers",
        || with_field(request("GET", "/trailers", json!(null)), "te", "trailers"),
        |seen| {
            assert_eq!(content(seen), "what comes before trailers");
            assert_eq!(seen["trailers"], json!([["x-checksum", "abc"]]));
        },
    ),
    // r108
    both("websocket", web_socket, |seen| {
        assert_eq!(seen["messages"], json!(["one", "two \u{e9}"]));
        assert_eq!((&seen["large"], &seen["protocol"]), (&true.into(), &"echo".into()), "{seen}");
        assert_eq!(seen["close"], 4001);
        assert_ne!(seen["ping"], false);
    }),
    // r069
    both(
        "expectation",
        || with_field(request("POST", "/echo", json!({ "length": STREAMED })), "expect", "100-continue"),
        |seen| {
            assert_eq!((status(seen), &echo(seen)["content"]["length"]), (200, &STREAMED.into()));
            assert!(interim(seen).is_none_or(|interim| interim == &json!([100])), "{seen}");
        },
    ),
    // RFC 9110 section 10.1.1: who is in between may wait for the API's word, or give its own; here the API refuses the content.
    alone(
        "refused expectation",
        Upstream::Api,
        || with_field(request("POST", "/nothing", json!({ "length": STREAMED })), "expect", "100-continue"),
        |seen| {
            let expected = match status(seen) {
                413 => (413, r#"{"error":{"key":"too.large"}}"#, json!([])),
                _ => (204, "", json!([100])),
            };
            assert_eq!((status(seen), content(seen)), (expected.0, expected.1));
            assert!(interim(seen).is_none_or(|interim| interim == &expected.2), "{seen}");
        },
    ),
    both(
        "reuse",
        || json!({ "kind": "reuse", "method": "GET", "path": "/echo" }),
        |seen| {
            assert_eq!(seen["connections"], 1);
        },
    ),
    // r117: the rejection is nobody's business but bearward's.
    alone(
        "stale",
        Upstream::Api,
        || request("POST", "/stale/NAME", json!({ "text": "an order" })),
        |seen| {
            assert_eq!(status(seen), 200, "{seen}");
            let told = echo(seen);
            assert_eq!((&told["sent"], &told["content"]["text"]), (&2.into(), &"an order".into()));
        },
    ),
    // r020
    alone(
        "closed",
        Upstream::Closed,
        || request("GET", "/echo", json!(null)),
        |seen| {
            assert_eq!(status(seen), 503, "{seen}");
            assert_eq!(field(seen, "content-type"), ["application/problem+json"]);
            assert_eq!(field(seen, "retry-after").len(), 1);
        },
    ),
];

const fn both(name: &'static str, asked: fn() -> Value, expected: fn(&Value)) -> Step {
    Step { name, upstream: Upstream::Api, asked, alone: false, expected }
}

const fn alone(name: &'static str, upstream: Upstream, asked: fn() -> Value, expected: fn(&Value)) -> Step {
    Step { name, upstream, asked, alone: true, expected }
}

fn request(method: &str, path: &str, content: Value) -> Value {
    let mut fields = vec![["x-order", "7"], ["accept", "application/json"]];
    if !content.is_null() {
        fields.push(["content-type", "application/json"]);
    }
    json!({ "kind": "request", "method": method, "path": path, "fields": fields, "content": content })
}

fn with_field(mut step: Value, name: &str, value: &str) -> Value {
    step["fields"].as_array_mut().expect("a list").push(json!([name, value]));
    step
}

fn events(path: &str, heard: &str) -> Value {
    let fields = [["accept", "text/event-stream"]];
    json!({ "kind": "events", "method": "GET", "path": path, "heard": heard, "fields": fields })
}

fn web_socket() -> Value {
    let content = json!({ "length": LARGE_MESSAGE });
    json!({ "kind": "websocket", "method": "GET", "path": "/live", "messages": ["one", "two \u{e9}"], "content": content })
}

fn status(seen: &Value) -> u64 {
    seen["status"].as_u64().unwrap_or_else(|| panic!("no status in {seen}"))
}

/// The interim answers, where the client shows them.
fn interim(seen: &Value) -> Option<&Value> {
    seen.get("interim")
}

fn content(seen: &Value) -> &str {
    seen["content"].as_str().unwrap_or_else(|| panic!("no content in {seen}"))
}

/// What the API has seen of the request.
pub fn echo(seen: &Value) -> Value {
    serde_json::from_str(content(seen)).unwrap_or_else(|error| panic!("{error} in {seen}"))
}

/// The values of a field of the answer.
pub fn field<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    of(&seen["fields"], name)
}

fn sent(seen: &Value, name: &str) -> Vec<String> {
    of(&echo(seen)["fields"], name).into_iter().map(str::to_owned).collect()
}

/// The values of a field in a list of names and values.
pub fn of<'a>(fields: &'a Value, name: &str) -> Vec<&'a str> {
    let fields = fields.as_array().map_or(&[][..], Vec::as_slice);
    fields.iter().filter(|field| field[0] == name).filter_map(|field| field[1].as_str()).collect()
}
