//! Real clients on every way in see what they see of the API itself, and are authorized (r081): curl, Python, Node, Java.
//!
//! What is done is one list for all (`steps`), who
//! goes where is one table (`table`).

mod browser;
pub mod program;
mod steps;
mod table;
pub mod world;

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
};

use serde_json::Value;

use self::{
    program::perform,
    steps::{Step, echo, of},
    table::Client,
    world::{Way, World},
};

/// Every step on every way of `client`, and what it sees there beside what it sees of the API itself.
async fn sees_no_difference(client: &Client) {
    let (Some(command), Some(world)) = (client.program.command().await, World::new().await) else { return };
    drop(command);
    let steps = client.steps();
    let comparable: Vec<_> = steps.iter().copied().filter(|step| !step.alone).collect();
    let (mut directly, mut differences) = (HashMap::new(), Vec::new());
    for (way, version) in client.ways {
        let past = beside(*way, version);
        if let Entry::Vacant(first) = directly.entry(past) {
            first.insert(run(client, &world, past.0, past.1, &comparable).await);
        }
        let bare = world.bare().await;
        let proxied = run(client, &world, *way, version, &steps).await;
        for step in &steps {
            let (seen, direct) = (&proxied[step.name], &directly[&past][step.name]);
            let looked = std::panic::catch_unwind(AssertUnwindSafe(|| {
                (step.expected)(seen);
                assert!(seen["version"].is_null() || seen["version"] == spoken(*way, version), "{seen}");
                if !step.alone {
                    assert_eq!(comparable_of(seen, true), comparable_of(direct, false));
                }
            }));
            if looked.is_err() {
                let (library, name) = (client.library, step.name);
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
    let command = world.on(way, client.program.command().await.expect("it was there before"));
    perform(command, &world.plan(client.library, way, version, steps)).await
}

/// The version that comes of one that is asked for: without TLS there is nothing to agree on another with.
fn spoken(way: Way, version: &str) -> &'static str {
    match version {
        "2 at once" => "2",
        "2" if beside(way, "2").0 == Way::DirectTls => "2",
        _ => "1.1",
    }
}

/// What a way is compared with. The API speaks HTTP/2 over TLS alone, and is confused by whoever offers to change to it.
fn beside(way: Way, version: &'static str) -> (Way, &'static str) {
    match way {
        Way::DirectTls | Way::Tls | Way::Tunnel | Way::Exec => (Way::DirectTls, version),
        _ if version == "2 at once" => (Way::DirectTls, "2"),
        _ => (Way::Direct, "1.1"),
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
    sees_no_difference(&table::CURL).await;
}

#[tokio::test]
async fn r081_curl_over_http_2_sees_no_difference() {
    sees_no_difference(&table::CURL_HTTP2).await;
}

#[tokio::test]
async fn r081_urllib_of_python_sees_no_difference() {
    sees_no_difference(&table::URLLIB).await;
}

#[tokio::test]
async fn r081_requests_of_python_sees_no_difference() {
    sees_no_difference(&table::REQUESTS).await;
}

#[tokio::test]
async fn r081_httpx_of_python_sees_no_difference() {
    sees_no_difference(&table::HTTPX).await;
}

#[tokio::test]
async fn r081_httpx_of_python_over_http_2_sees_no_difference() {
    sees_no_difference(&table::HTTPX_HTTP2).await;
}

#[tokio::test]
async fn r081_aiohttp_of_python_sees_no_difference() {
    sees_no_difference(&table::AIOHTTP).await;
}

#[tokio::test]
async fn r081_websockets_of_python_sees_no_difference() {
    sees_no_difference(&table::WEBSOCKETS).await;
}

#[tokio::test]
async fn r081_fetch_of_node_sees_no_difference() {
    sees_no_difference(&table::FETCH).await;
}

#[tokio::test]
async fn r081_undici_of_node_sees_no_difference() {
    sees_no_difference(&table::UNDICI).await;
}

#[tokio::test]
async fn r081_undici_of_node_over_http_2_sees_no_difference() {
    sees_no_difference(&table::UNDICI_HTTP2).await;
}

#[tokio::test]
async fn r081_undicis_fetch_sees_no_difference() {
    sees_no_difference(&table::UNDICI_FETCH).await;
}

#[tokio::test]
async fn r081_http_of_node_sees_no_difference() {
    sees_no_difference(&table::NODE_HTTP).await;
}

#[tokio::test]
async fn r081_http2_of_node_sees_no_difference() {
    sees_no_difference(&table::NODE_HTTP2).await;
}

#[tokio::test]
async fn r081_ws_of_node_sees_no_difference() {
    sees_no_difference(&table::WS).await;
}

#[tokio::test]
async fn r081_javas_http_client_sees_no_difference() {
    sees_no_difference(&table::JAVA).await;
}

#[tokio::test]
async fn r081_javas_http_client_over_http_2_sees_no_difference() {
    sees_no_difference(&table::JAVA_HTTP2).await;
}
