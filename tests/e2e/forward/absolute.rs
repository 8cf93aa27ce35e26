//! Absolute-form targets (RFC 9112 section 3.2.2), and what else is asked of the port itself.

use std::net::TcpListener;

use serde_json::Value;
use tokio::net::TcpStream;

use super::world::{TOKEN, World, ask, fields, get};
use crate::support::{
    raw::{self, status},
    start,
};

const TUNNEL: &str = "unmatched = \"tunnel\"\nallow_addresses = [\"127.0.0.0/8\"]";

#[tokio::test]
async fn r003_the_authority_of_the_target_replaces_host_and_its_upstream_gets_the_token() {
    let world = World::with("").await;
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    let target = format!("http://{}/a/../b;c?x=%20&y=/", world.plain());
    let further = "Proxy-Authorization: Basic cHJveHk6c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\
                   Authorization: Bearer the-applications\r\nX-Order: 7\r\n";
    for _ in 0..2 {
        let (status, head, echo) = ask(&mut stream, &get(&target, "evil.example", further)).await;
        assert_eq!(status, 200, "{head}");
        assert_eq!((&echo["target"], &echo["host"]), (&"/a/../b;c?x=%20&y=/".into(), &world.plain().into()));
        assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
        assert_eq!(fields(&echo, "x-order"), ["7"]);
        for consumed in ["proxy-authorization", "proxy-connection"] {
            assert!(fields(&echo, consumed).is_empty(), "r029: {echo}");
        }
        let (forth, back) = (fields(&echo, "via"), head.to_ascii_lowercase());
        assert!(forth.len() == 1 && forth[0].starts_with("1.1 bearward-"), "r064: {echo}");
        assert!(back.contains(&format!("\r\nvia: {}\r\n", forth[0])), "r064: {head}");
    }
    let https = get(&format!("https://{}/orders", world.api()), "x", "");
    let (status, head, echo) = ask(&mut stream, &https).await;
    assert_eq!((status, &echo["target"]), (200, &"/orders".into()), "{head}");
    assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
}

#[tokio::test]
async fn r076_an_application_of_1_0_names_no_host_beside_its_target() {
    let world = World::with("").await;
    let answer = world.say(format!("GET http://{}/old HTTP/1.0\r\n\r\n", world.plain())).await;
    let (head, content) = raw::parts(&answer);
    assert_eq!(status(&answer), 200, "{head}");
    let echo: Value = serde_json::from_slice(content).unwrap();
    assert_eq!((&echo["target"], &echo["host"]), (&"/old".into(), &world.plain().into()));
    assert!(fields(&echo, "via")[0].starts_with("1.0 bearward-"), "r064: {echo}");
    assert_eq!(status(&world.say("GET /old HTTP/1.0\r\n\r\n").await), 421);
}

#[tokio::test]
async fn r003_r012_what_no_upstream_is_configured_for_is_refused_and_not_connected_to() {
    let world = World::with("").await;
    let port = world.other.port();
    let for_plain = format!("but for http://{}: ask for that", world.plain());
    for (target, hint) in [
        (format!("http://other.localhost:{port}/"), "other.localhost:"),
        (format!("http://plain.localhost:{port}/"), &for_plain),
        (format!("https://{}/", world.plain()), &for_plain),
        (format!("http://{}/", world.api()), &format!("but for https://{}: ask for that", world.api())),
        ("http://api.example/".to_owned(), "api.example: add one"),
    ] {
        let answer = world.say(get(&target, "plain.localhost", "Connection: close\r\n")).await;
        let (head, content) = raw::parts(&answer);
        assert_eq!(status(&answer), 403, "{target}: {head}");
        assert!(
            head.to_ascii_lowercase().contains("proxy-status: bearward; error=http_request_denied"),
            "{head}"
        );
        let problem: Value = serde_json::from_slice(content).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("unmatched = \"tunnel\"") && detail.contains(hint), "{hint}: {problem}");
    }
    assert_eq!((world.other.connections(), world.plain.connections()), (0, 0));
}

#[tokio::test]
async fn r001_what_is_unmatched_passes_without_a_token_where_that_is_wanted() {
    let world = World::with(TUNNEL).await;
    let target = format!("http://other.localhost:{}/x?y", world.other.port());
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    for own in ["", "Basic b3duOnNlY3JldA=="] {
        let further = if own.is_empty() { String::new() } else { format!("Authorization: {own}\r\n") };
        let (status, head, echo) = ask(&mut stream, &get(&target, "evil.example", &further)).await;
        assert_eq!((status, &echo["target"]), (200, &"/x?y".into()), "{head}");
        assert_eq!(echo["host"], format!("other.localhost:{}", world.other.port()));
        assert_eq!(fields(&echo, "authorization"), if own.is_empty() { vec![] } else { vec![own] });
        assert!(head.to_ascii_lowercase().contains("\r\nvia: 1.1 bearward-"), "r064: {head}");
    }
    assert_eq!(world.other.connections(), 1, "its connection is kept");
    let refused = get("http://nowhere.invalid/", "x", "");
    assert_eq!(ask(&mut stream, &refused).await.0, 502);
}

#[tokio::test]
async fn r012_private_addresses_are_refused_though_everything_else_passes() {
    let world = World::with("unmatched = \"tunnel\"").await;
    let port = world.other.port();
    for host in
        ["127.0.0.1", "other.localhost", "2130706433", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"]
    {
        let target = format!("http://{host}:{port}/latest/meta-data/");
        let answer = world.say(get(&target, "x", "Connection: close\r\n")).await;
        let (head, content) = raw::parts(&answer);
        assert_eq!(status(&answer), 403, "{host}: {head}");
        assert!(head.to_ascii_lowercase().contains("error=destination_ip_prohibited"), "{head}");
        assert!(String::from_utf8_lossy(content).contains("allow_addresses"), "{host}");
    }
    assert_eq!(world.other.connections(), 0);
    // What is configured is configured.
    let target = format!("http://{}/", world.plain());
    assert_eq!(status(&world.say(get(&target, "x", "Connection: close\r\n")).await), 200);
}

#[tokio::test]
async fn r002_the_port_itself_is_no_server() {
    let world = World::with("").await;
    let requests = [
        (get("/", "plain.localhost", ""), 421),
        (get("/orders", &world.proxy.to_string(), ""), 421),
        (get("/orders", &world.plain(), ""), 421),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 421),
        (get(&format!("http://{}/", world.proxy), "x", ""), 508),
        (get(&format!("http://localhost:{}/", world.proxy.port()), "x", ""), 508),
        (get("ftp://plain.localhost/", "x", ""), 400),
        (get(&format!("http://user:secret@{}/", world.plain()), "x", ""), 400),
        (get("http://plain.localhost:99999/", "x", ""), 400),
        ("GET http://plain.localhost/ HTTP/1.1\r\n\r\n".to_owned(), 400),
    ];
    for (request, expected) in requests {
        let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let answer = world.say(&request).await;
        assert_eq!(status(&answer), expected, "{request}{}", String::from_utf8_lossy(&answer));
        if expected == 421 {
            assert!(String::from_utf8_lossy(&answer).contains("HTTP_PROXY"), "it says what this port is");
        }
    }
    assert_eq!(world.plain.connections(), 0);
}

#[tokio::test]
async fn r013_of_one_origins_upstreams_the_longest_base_gets_it_and_no_path_reads_two_ways() {
    let tables = "[tokens.v2]\ngrant_type = \"static\"\naccess_token = \"second\"\n\
                  [upstreams.v2]\nurl = \"http://based.localhost:PLAIN/v2\"\ntoken = \"v2\"\n\
                  [upstreams.orders]\nurl = \"http://based.localhost:PLAIN/v2/orders\"\ntoken = \"t\"\n";
    for (proxy, uncovered) in [("", 403), (TUNNEL, 200)] {
        let world = World::made(proxy, tables).await;
        let mut stream = TcpStream::connect(world.proxy).await.unwrap();
        let based = format!("http://based.localhost:{}", world.plain.port());
        for (path, token) in [
            ("/v2", "Bearer second"),
            ("/v2/ordersx", "Bearer second"),
            ("/v2/orders", "Bearer the-token"),
            ("/v2/orders/7?x=../..", "Bearer the-token"),
        ] {
            let (status, head, echo) = ask(&mut stream, &get(&format!("{based}{path}"), "x", "")).await;
            assert_eq!((status, &echo["target"]), (200, &path.into()), "the base is not added again: {head}");
            assert_eq!(fields(&echo, "authorization"), [token], "{path}");
        }
        for path in ["/", "/v3/x", "/v2x"] {
            let own = "Authorization: Bearer own\r\n";
            let (status, head, echo) = ask(&mut stream, &get(&format!("{based}{path}"), "x", own)).await;
            assert_eq!(status, uncovered, "{path}: {head}");
            if status == 200 {
                assert_eq!(fields(&echo, "authorization"), ["Bearer own"], "{path}");
            }
        }
        for path in
            ["/v3/../v2/orders", "/v2/orders/%2e%2e/x", "/v2/orders/..", "/v2%2forders", "/v2/orders;x"]
        {
            let (status, head, _) = ask(&mut stream, &get(&format!("{based}{path}"), "x", "")).await;
            assert_eq!(status, 400, "{path}: {head}");
        }
    }
}

#[tokio::test]
async fn r016_trace_carries_no_token() {
    let world = World::with(TUNNEL).await;
    for port in [world.plain.port(), world.other.port()] {
        let request =
            format!("TRACE http://plain.localhost:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = world.say(request).await;
        assert_eq!(status(&answer), 501, "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!((world.plain.connections(), world.other.connections()), (0, 0));
}

#[tokio::test]
async fn r023_r024_a_page_of_another_site_does_not_ask_with_the_token() {
    let tables = "[upstreams.open]\nurl = \"http://open.localhost:PLAIN\"\ntoken = \"t\"\nallow_origins = [\"https://friend.example\"]\n";
    let world = World::made("allow_origins = [\"https://tool.example\"]", tables).await;
    let plain = format!("http://{}", world.plain());
    let open = format!("http://open.localhost:{}", world.plain.port());
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    for (base, further, expected) in [
        (&plain, String::new(), 200),
        (&plain, format!("Origin: {plain}\r\nSec-Fetch-Site: same-origin\r\n"), 200),
        (&plain, "Sec-Fetch-Site: none\r\n".to_owned(), 200),
        (&plain, "Sec-Fetch-Site: cross-site\r\nOrigin: https://tool.example\r\n".to_owned(), 200),
        (&plain, "Origin: https://evil.example\r\n".to_owned(), 403),
        (&plain, "Origin: null\r\n".to_owned(), 403),
        (&plain, format!("Origin: https://{}\r\n", world.plain()), 403),
        (&plain, "Origin: http://plain.localhost\r\n".to_owned(), 403),
        (&plain, "Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        (&plain, "Sec-Fetch-Site: same-site\r\n".to_owned(), 403),
        (&plain, "Origin: https://friend.example\r\n".to_owned(), 403),
        (&open, "Origin: https://friend.example\r\n".to_owned(), 200),
    ] {
        let (status, head, _) = ask(&mut stream, &get(&format!("{base}/"), "x", &further)).await;
        assert_eq!(status, expected, "{further}: {head}");
    }
    let preflight = format!(
        "OPTIONS {plain}/ HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
    );
    let (status, head, _) = ask(&mut stream, &preflight).await;
    assert_eq!(status, 403);
    assert!(!head.to_ascii_lowercase().contains("access-control-"), "{head}");
}

#[tokio::test]
async fn r028_a_request_that_comes_back_is_ended_whichever_way_it_came() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bearward = start(&format!(
        "store = {{ kind = \"memory\" }}\n[upstreams.round]\nurl = \"http://{free}\"\nlisten = \"{free}\"\n"
    ));
    let answer = raw::exchange(free, raw::get("/", &free.to_string(), "")).await;
    let (head, content) = raw::parts(&answer);
    assert_eq!(status(&answer), 508, "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy_loop_detected"), "{head}");
    assert!(String::from_utf8_lossy(content).contains("come through here before"));
    bearward.stop().await;
    // Two of us in a row are no loop.
    let world = World::with("").await;
    let first = start(&format!(
        "store = {{ kind = \"memory\" }}\n[upstreams.first]\nurl = \"http://{}\"\nlisten = \"127.0.0.1:0\"\npreserve_host = true\n",
        world.plain()
    ));
    let address = first.address("first").unwrap();
    assert_eq!(status(&raw::exchange(address, raw::get("/", "localhost", "")).await), 200);
    let target = format!("http://{}/", world.plain());
    let via = "Via: 1.1 bearward-qqqqqq, 1.1 bearward\r\nConnection: close\r\n";
    assert_eq!(status(&world.say(get(&target, "x", via)).await), 200);
}

#[tokio::test]
async fn r001_r006_no_way_of_writing_an_authority_brings_the_token_elsewhere() {
    let world = World::with("unmatched = \"tunnel\"\nallow_addresses = [\"127.0.0.0/8\", \"::1\"]").await;
    let (plain, other) = (world.plain.port(), format!("other.localhost:{}", world.other.port()));
    for (target, with_token) in [
        (format!("http://PLAIN.LocalHost:{plain}/"), true),
        (format!("http://plain.localhost.:{plain}/"), true),
        (format!("HTTP://plain.localhost:{plain}/"), true),
        (format!("http://plain.localhost..:{plain}/"), false),
        (format!("http://.plain.localhost:{plain}/"), false),
        (format!("http://plain%2elocalhost:{plain}/"), false),
        (format!("http://plain.localhost%00:{plain}/"), false),
        (format!("http://plain.localhost:{plain}@{other}/"), false),
        (format!("http://plain.localhost:{plain}%40{other}/"), false),
        (format!("http://{other}/@plain.localhost:{plain}/"), false),
        (format!("http://{other}?@plain.localhost:{plain}/"), false),
        (format!("http://{other}#@plain.localhost:{plain}/"), false),
        (format!("http://{other}\\@plain.localhost:{plain}/"), false),
        (format!("http://{other};plain.localhost:{plain}/"), false),
        (format!("http://{other}/"), false),
        (format!("http://127.0.0.1:{plain}/"), false),
        (format!("http://2130706433:{plain}/"), false),
        (format!("http://[::ffff:127.0.0.1]:{plain}/"), false),
        (format!("http://[plain.localhost]:{plain}/"), false),
        (format!("http://[::1%25lo]:{plain}/"), false),
        (format!("http://pl\u{e4}in.localhost:{plain}/"), false),
        (format!("http://plain\u{3002}localhost:{plain}/"), false),
        (format!("https://plain.localhost:{plain}/"), false),
        (format!("ws://plain.localhost:{plain}/"), false),
        (format!("http:/plain.localhost:{plain}/"), false),
        (format!("http:plain.localhost:{plain}"), false),
        (format!("http:///plain.localhost:{plain}/"), false),
        (format!("//plain.localhost:{plain}/"), false),
        (format!("plain.localhost:{plain}"), false),
        ("http://plain.localhost/".to_owned(), false),
        ("http://plain.localhost:/".to_owned(), false),
        ("http://plain.localhost:0/".to_owned(), false),
        (format!("http://plain.localhost:{}/", u32::from(plain) + 65_536), false),
    ] {
        // What Host says decides nothing.
        let answer = world.say(get(&target, &world.plain(), "Connection: close\r\n")).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(text.contains(TOKEN), with_token, "{target}: {text}");
        assert!(with_token || !(500..=501).contains(&status(&answer)), "{target}: {text}");
    }
    // The https origin on the same port is another one, which is spoken to in TLS.
    assert_eq!(world.plain.forgive(), 1);
}
