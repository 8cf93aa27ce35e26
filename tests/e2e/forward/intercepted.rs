//! Tunnels to upstreams: TLS is opened, and the requests inside are for the host that the tunnel was opened to.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{TOKEN, World, ask, fields, get, tls};

#[tokio::test]
async fn an_application_with_hard_wired_https_urls_gets_the_token_on_every_request() {
    let world = World::with("").await;
    let mut inside = world.opened("api.localhost").await.unwrap();
    for number in 0..3 {
        let further = format!("X-Order: {number}\r\nAuthorization: Bearer own\r\n");
        let (status, head, echo) = ask(&mut inside, &get("/orders?page=1", &world.api(), &further)).await;
        assert_eq!((status, &echo["target"]), (200, &"/orders?page=1".into()), "{head}");
        assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
        assert!(head.to_ascii_lowercase().contains("\r\nvia: 1.1 bearward-"), "r064: {head}");
    }
    let post = format!("POST /orders HTTP/1.1\r\nHost: {}\r\nContent-Length: 3\r\n\r\nabc", world.api());
    assert_eq!(ask(&mut inside, &post).await.2["method"], "POST");
}

#[tokio::test]
async fn r010_each_request_inside_is_for_the_host_of_the_tunnel() {
    let world = World::with("unmatched = \"tunnel\"").await;
    let mut inside = world.opened("api.localhost").await.unwrap();
    let port = world.secure.address.port();
    for (target, host, expected) in [
        ("/".to_owned(), world.api(), 200),
        ("/".to_owned(), format!("API.localhost:{port}"), 200),
        (format!("https://{}/", world.api()), world.api(), 200),
        ("/".to_owned(), "api.localhost".to_owned(), 421),
        ("/".to_owned(), world.plain(), 421),
        ("/".to_owned(), format!("evil.example:{port}"), 421),
        (format!("http://{}/", world.api()), world.api(), 421),
        (format!("https://{}/", world.plain()), world.api(), 421),
        (format!("https://{}/", world.api()), "evil.example".to_owned(), 421),
    ] {
        let (status, head, _) = ask(&mut inside, &get(&target, &host, "")).await;
        assert_eq!(status, expected, "{target} {host}: {head}");
    }
    let (status, head, _) =
        ask(&mut inside, "CONNECT api.localhost:1 HTTP/1.1\r\nHost: api.localhost:1\r\n\r\n").await;
    assert!(status >= 400, "no tunnel in the tunnel: {head}");
}

#[tokio::test]
async fn r010_tls_for_another_host_than_the_tunnel_leads_to_is_ended_with_an_alert() {
    let world = World::with("unmatched = \"tunnel\"").await;
    for sni in ["evil.example", "plain.localhost", "localhost"] {
        let refused = world.opened(sni).await.unwrap_err().to_string();
        assert!(refused.contains("UnrecognisedName"), "{sni}: {refused}");
    }
    // Without SNI there is nothing that disagrees: the certificate is for the tunnel's host.
    let roots = [world.authority.certificate().clone()];
    let refused = tls(world.tunnel(&world.api()).await, "127.0.0.1", &roots).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[tokio::test]
async fn r011_nobody_is_shown_another_certificate_than_the_local_cas() {
    let world = World::with("").await;
    let roots = [world.upstream_root()];
    assert!(tls(world.tunnel(&world.api()).await, "api.localhost", &roots).await.is_err());
    let inside = world.opened("api.localhost").await.unwrap();
    let shown = inside.get_ref().1.peer_certificates().unwrap();
    assert_ne!(shown[0], *world.authority.certificate(), "a leaf of its own");
}

#[tokio::test]
async fn plain_http_in_a_tunnel_to_an_upstream_gets_the_token_too() {
    let world = World::with("").await;
    let mut inside = world.tunnel(&world.plain()).await;
    for _ in 0..2 {
        let (status, head, echo) = ask(&mut inside, &get("/feed", &world.plain(), "")).await;
        assert_eq!((status, &echo["target"]), (200, &"/feed".into()), "{head}");
        assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
    }
    assert_eq!(ask(&mut inside, &get("/", "evil.example", "")).await.0, 421, "r010");
    // What is configured is https: without TLS it is another origin, and nobody's.
    let mut inside = world.tunnel(&world.api()).await;
    assert_eq!(ask(&mut inside, &get("/", &world.api(), "")).await.0, 403, "r011");
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_closed() {
    let world = World::with("").await;
    for (authority, octets) in [
        (world.api(), &b"\x00\x01\x02\x03"[..]),
        (world.plain(), b"\x80\x80"),
        (world.api(), b"\x16\x03\x01\x00\x05hello"),
        // TLS to an upstream that has none.
        (world.plain(), b"\x16\x03\x01\x00\x02\x01\x00"),
    ] {
        let mut inside = world.tunnel(&authority).await;
        inside.write_all(octets).await.unwrap();
        inside.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), inside.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "it stays open");
        assert!(rest.is_empty() || rest[0] == 21, "an alert at most: {rest:?}");
    }
    assert_eq!(world.plain.connections(), 0);
}

#[tokio::test]
async fn r023_a_page_of_another_site_does_not_ask_through_a_tunnel_either() {
    let world = World::with("").await;
    let mut inside = world.opened("api.localhost").await.unwrap();
    for (further, expected) in [
        (format!("Origin: https://{}\r\n", world.api()), 200),
        (format!("Origin: http://{}\r\n", world.api()), 403),
        ("Origin: https://evil.example\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
    ] {
        let (status, head, _) = ask(&mut inside, &get("/", &world.api(), &further)).await;
        assert_eq!(status, expected, "{further}: {head}");
    }
}
