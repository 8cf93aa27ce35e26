//! Unmatched destinations behind an outer proxy.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::world::{World, ask, fields, get};
use crate::{
    outer_proxy::{OPEN, OuterProxy},
    support::{PATIENCE, raw::status},
};

async fn behind(proxy: &OuterProxy) -> World {
    World::with(&format!("unmatched = \"tunnel\"\nproxy = \"http://user:canary@{}\"", proxy.address)).await
}

#[tokio::test]
async fn what_is_unmatched_goes_through_the_outer_proxy_whichever_way_it_came() {
    let far = super::world::Plain::start().await;
    let proxy = OuterProxy::new(OPEN, far.address).await;
    let world = behind(&proxy).await;
    let mut tunnel = world.tunnel("other.invalid:443").await;
    let (code, head, echo) = ask(&mut tunnel, &get("/", "other.invalid", "")).await;
    assert_eq!(code, 200, "{head}");
    assert!(fields(&echo, "proxy-authorization").is_empty(), "{echo}");
    let own = "Authorization: Bearer own\r\nConnection: close\r\n";
    let answer = world.say(get("http://plain.invalid/x", "plain.invalid", own)).await;
    assert_eq!(status(&answer), 200, "{}", String::from_utf8_lossy(&answer));
    assert!(String::from_utf8_lossy(&answer).contains("Bearer own"));
    let asked = proxy.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for (asked, to) in asked.iter().zip(["other.invalid:443", "plain.invalid:80"]) {
        assert!(
            asked.starts_with(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nVia: 1.1 bearward-")),
            "{asked}"
        );
        assert!(asked.ends_with("\r\nProxy-Authorization: Basic dXNlcjpjYW5hcnk=\r\n\r\n"), "{asked}");
    }
}

#[tokio::test]
async fn a_far_end_that_speaks_first_is_heard_also_where_its_words_come_with_the_answer() {
    let far = super::world::Plain::start().await;
    let proxy = OuterProxy::new("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-first\r\n", far.address).await;
    let world = behind(&proxy).await;
    let mut tunnel = world.tunnel("other.invalid:22").await;
    let mut heard = [0; 15];
    timeout(PATIENCE, tunnel.read_exact(&mut heard)).await.expect("it hangs").unwrap();
    assert_eq!(&heard, b"SSH-2.0-first\r\n");
}

#[tokio::test]
async fn r012_an_outer_proxy_is_not_asked_for_what_may_not_be_reached() {
    let far = super::world::Plain::start().await;
    let proxy = OuterProxy::new(OPEN, far.address).await;
    let world = behind(&proxy).await;
    for host in [
        "localhost",
        "a.localhost",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.1.",
        "2130706433",
        "0x7f.1",
        "0X7f.0.0.0x1.",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        for request in [
            format!("CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\nConnection: close\r\n\r\n"),
            get(&format!("http://{host}/"), host, "Connection: close\r\n"),
        ] {
            let answer = world.say(&request).await;
            // A request line that no URL has is a bad one; nothing of it goes on either.
            assert!([400, 403].contains(&status(&answer)), "{request}{}", String::from_utf8_lossy(&answer));
        }
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn r028_an_outer_proxy_that_leads_back_to_us_is_noticed() {
    let world = World::with("unmatched = \"tunnel\"").await;
    world.write(&format!("unmatched = \"tunnel\"\nproxy = \"http://{}\"", world.proxy), "");
    world.bearward.reload();
    let noticed = async {
        loop {
            let (head, mut stream) = world.connect("other.invalid:443").await;
            let mut rest = vec![0; 2000];
            let size = stream.read(&mut rest).await.unwrap();
            let said = String::from_utf8_lossy(&rest[..size]).into_owned();
            if said.contains("it answered 508") {
                return head;
            }
            // Before the reload the name does not resolve.
            assert!(!said.contains("outer proxy"), "{head}{said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let head = timeout(PATIENCE, noticed).await.expect("it goes round for ever");
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    // Whoever goes on is told of the whole way.
    let again = "CONNECT other.invalid:443 HTTP/1.1\r\nHost: other.invalid:443\r\nVia: 1.1 first\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&world.say(again).await), 502);
}

#[tokio::test]
async fn r112_tunnels_take_places_like_requests() {
    let tunnel = "unmatched = \"tunnel\"\nallow_addresses = [\"127.0.0.0/8\"]";
    let world = World::made(tunnel, "[limits]\nrequests = 1\n").await;
    let other = world.other.address.to_string();
    let mut first = world.tunnel(&other).await;
    assert_eq!(ask(&mut first, &get("/", &other, "")).await.0, 200);
    let (head, _) = world.connect(&other).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    first.shutdown().await.unwrap();
    let mut end = Vec::new();
    timeout(PATIENCE, first.read_to_end(&mut end)).await.expect("the tunnel ends").unwrap();
    let free = async {
        while !world.connect(&other).await.0.starts_with("HTTP/1.1 200 ") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, free).await.expect("its place is free again");
}
