//! A WebSocket through the whole of bearward: seen by who looks, and finished at a stop.

use std::time::{Duration, Instant};

use bearward::{
    app::Running,
    demo::simulator::{AuthorizationServer, Simulator},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{PATIENCE, configuration, raw, start, until};

const HANDSHAKE: &str = "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An API that switches and then echoes, and bearward in front of it.
async fn stage(limits: &str) -> (Simulator, Running) {
    let authorization_server = AuthorizationServer::new().start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                head(&mut stream).await;
                let switched =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(switched.as_bytes()).await.unwrap();
                let (mut from, mut to) = stream.into_split();
                // Cut or closed, it is over.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let written = configuration(&authorization_server.url(), &api);
    let written = written.replacen("[tokens.api]", &format!("[limits]\n{limits}\n{admin}[tokens.api]"), 1);
    (authorization_server, start(&written))
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn opened(bearward: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(bearward.address("api").unwrap()).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream
}

async fn echoes(stream: &mut TcpStream, said: &[u8]) {
    stream.write_all(said).await.unwrap();
    let mut heard = vec![0; said.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("an echo in time").unwrap();
    assert_eq!(heard, said);
}

#[tokio::test]
async fn r108_an_open_websocket_is_seen_in_the_metrics_and_not_any_more_when_it_has_ended() {
    let (_authorization_server, bearward) = stage("").await;
    let mut tunnel = opened(&bearward).await;
    echoes(&mut tunnel, b"hello").await;
    let metrics = async || {
        let admin = bearward.address("admin").unwrap();
        String::from_utf8(raw::exchange(admin, raw::get("/metrics", "localhost", "")).await).unwrap()
    };
    let open = metrics().await;
    assert!(open.contains("bearward_tunnels{upstream=\"api\"} 1\n"), "{open}");
    assert!(open.contains("bearward_requests_total{upstream=\"api\",code=\"101\"} 1\n"), "{open}");
    tunnel.shutdown().await.unwrap();
    assert_eq!(tunnel.read(&mut [0; 1]).await.unwrap(), 0, "the other side ends too");
    let waited = Instant::now();
    while !metrics().await.contains("bearward_tunnels{upstream=\"api\"} 0\n") {
        assert!(waited.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn r149_a_websocket_goes_on_while_bearward_drains_and_is_cut_when_the_time_is_over() {
    let (_authorization_server, bearward) = stage("drain_timeout = \"2s\"").await;
    let (mut tunnel, address) = (opened(&bearward).await, bearward.address("api").unwrap());
    let stopping = tokio::spawn(async move { bearward.stop().await });
    until("the door is closed", || std::net::TcpStream::connect(address).is_err()).await;
    echoes(&mut tunnel, b"still here").await;
    assert!(!stopping.is_finished());
    let mut rest = Vec::new();
    // An end or a reset: it was not the application's doing.
    let ended = tokio::time::timeout(PATIENCE, tunnel.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
    stopping.await.unwrap();
}

#[tokio::test]
async fn r149_a_stop_does_not_wait_longer_than_the_last_websocket() {
    let (_authorization_server, bearward) = stage("drain_timeout = \"10m\"").await;
    let (mut tunnel, address) = (opened(&bearward).await, bearward.address("api").unwrap());
    let stopping = tokio::spawn(async move { bearward.stop().await });
    until("the door is closed", || std::net::TcpStream::connect(address).is_err()).await;
    echoes(&mut tunnel, b"bye").await;
    drop(tunnel);
    tokio::time::timeout(PATIENCE, stopping).await.expect("it stops").unwrap();
}
