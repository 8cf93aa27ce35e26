//! CONNECT to what is no upstream: refused before anything is connected, or passed on as it is.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::world::{World, tls};
use crate::support::{
    PATIENCE,
    raw::{self, status},
};

const TUNNEL: &str = "unmatched = \"tunnel\"\nallow_addresses = [\"127.0.0.0/8\"]";

#[tokio::test]
async fn r009_a_port_that_is_none_is_a_bad_request() {
    let world = World::with(TUNNEL).await;
    for authority in [
        "api.localhost",
        "api.localhost:",
        "api.localhost:0",
        "api.localhost:65536",
        "api.localhost:https",
        "api.localhost:+443",
        "user@api.localhost:443",
        "/",
        "http://api.localhost/",
        "[::1]",
        ":443",
    ] {
        let answer =
            world.say(format!("CONNECT {authority} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), 400, "{authority}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn r009_r012_connect_elsewhere_is_refused_before_anything_is_connected() {
    let denying = World::with("").await;
    let guarded = World::with("unmatched = \"tunnel\"").await;
    for (world, host, words) in [
        (&denying, "other.localhost", "unmatched = \\\"tunnel\\\""),
        (&denying, "plain.localhost", "unmatched = \\\"tunnel\\\""),
        (&denying, "api.localhost", "unmatched = \\\"tunnel\\\""),
        (&guarded, "other.localhost", "allow_addresses"),
        (&guarded, "127.0.0.1", "allow_addresses"),
        (&guarded, "[::ffff:127.0.0.1]", "allow_addresses"),
        (&guarded, "169.254.169.254", "allow_addresses"),
    ] {
        let port = world.other.port();
        let answer = world
            .say(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
            .await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(status(&answer), 403, "{host}: {text}");
        assert!(text.contains(words), "it says how to allow it: {text}");
        assert_eq!(world.other.connections(), 0, "{host}");
    }
    let (head, _) = guarded.connect(&guarded.proxy.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 508 "), "r028: {head}");
    // Nothing listens there: an answer, not a tunnel.
    let allowed = World::with(TUNNEL).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (head, _) = allowed.connect(&closed.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[tokio::test]
async fn what_is_unmatched_is_tunnelled_untouched_with_each_end_passed_on_by_itself() {
    let world = World::made(TUNNEL, "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut here = world.tunnel(&address).await;
    let (mut there, _) = listener.accept().await.unwrap();
    let talk = async {
        // The server may speak first, and need not speak HTTP.
        there.write_all(b"\x00220 ready\n").await.unwrap();
        let mut heard = [0; 11];
        here.read_exact(&mut heard[..11]).await.unwrap();
        assert_eq!(&heard[..4], b"\x00220");
        let admin = world.bearward.address("admin").unwrap();
        let metrics = raw::exchange(admin, raw::get("/metrics", "localhost", "")).await;
        let metrics = String::from_utf8_lossy(&metrics);
        assert!(metrics.contains("bearward_tunnels{upstream=\"(unmatched)\"} 1\n"), "{metrics}");
        here.write_all(b"question").await.unwrap();
        here.shutdown().await.unwrap();
        let mut question = Vec::new();
        there.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        there.write_all(b"answer").await.unwrap();
        drop(there);
        let mut answer = Vec::new();
        here.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("it hangs");
}

#[tokio::test]
async fn r001_the_tls_of_others_is_not_opened() {
    let world = World::with(TUNNEL).await;
    let ca = crate::tls::server::Ca::new();
    let other = super::world::secure(&ca, "other.localhost").await;
    let authority = format!("other.localhost:{}", other.address.port());
    let mut inside = tls(world.tunnel(&authority).await, "other.localhost", &[ca.root()]).await.unwrap();
    let request = super::world::get("/", &authority, "Authorization: Bearer own\r\n");
    let (status, head, echo) = super::world::ask(&mut inside, &request).await;
    assert_eq!(status, 200, "{head}");
    assert_eq!(super::world::fields(&echo, "authorization"), ["Bearer own"]);
    assert!(super::world::fields(&echo, "via").is_empty(), "nobody was in between: {echo}");
}

#[tokio::test]
async fn what_was_sent_at_once_with_connect_is_not_lost() {
    let world = World::with(TUNNEL).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut here = TcpStream::connect(world.proxy).await.unwrap();
    here.write_all(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\nearly").as_bytes())
        .await
        .unwrap();
    let (mut there, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut early = [0; 5];
    tokio::time::timeout(PATIENCE, there.read_exact(&mut early)).await.unwrap().unwrap();
    assert_eq!(&early, b"early");
}

#[tokio::test]
async fn r009_what_follows_a_connect_that_is_refused_is_no_request() {
    let world = World::with("").await;
    let (plain, port) = (world.plain(), world.other.port());
    let smuggled = super::world::get(&format!("http://{plain}/smuggled"), &plain, "Connection: close\r\n");
    for further in ["", "Content-Length: 0\r\n"] {
        let answer = world
            .say(format!("CONNECT other.localhost:{port} HTTP/1.1\r\nHost: x\r\n{further}\r\n{smuggled}"))
            .await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(status(&answer), 403, "{text}");
        assert!(text.to_ascii_lowercase().contains("connection: close\r\n"), "{text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    }
    for content in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let answer = world.say(format!("CONNECT {plain} HTTP/1.1\r\nHost: x\r\n{content}")).await;
        assert_eq!(status(&answer), 400, "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(world.plain.connections(), 0);
}
