//! Answers that are longer than any buffer, over plain TCP on both sides: there the system moves their content, and nobody reads it.

use std::{net::SocketAddr, time::Duration};

use bearward::app::Running;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::{PATIENCE, start};

const TOLD: usize = 3 << 20;
const REQUEST: &[u8] = b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Octets of which no piece is like another.
fn content() -> Vec<u8> {
    (0..TOLD as u32 / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// bearward before an upstream that tells the length of that content and sends so much of it, for each request of its one connection;
/// it returns once that connection takes nothing more, or `holds` it open. What stands still for `patience` is given up.
async fn begun(sent: usize, holds: bool, patience: &str) -> (Running, SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bearward = start(&format!(
        "store = {{ kind = \"memory\" }}\n[upstreams.api]\nurl = \"http://{}\"\nlisten = \"127.0.0.1:0\"\n[limits]\nbody_timeout = \"{patience}\"\n",
        listener.local_addr().unwrap()
    ));
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (content, mut answered) = (content(), 0);
        let mut request = Vec::new();
        while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            request.clear();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {TOLD}\r\n\r\n");
            let written = async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&content[..sent]).await
            };
            if written.await.is_err() {
                break;
            }
            answered += 1;
            if sent < TOLD && !holds {
                break;
            }
        }
        answered
    });
    let address = bearward.address("api").unwrap();
    (bearward, address, upstream)
}

/// The content of the next answer as far as it comes.
async fn answer(stream: &mut TcpStream, at_once: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut end = usize::MAX;
    let reading = async {
        while octets.len() < end {
            let before = octets.len();
            octets.resize(before + at_once, 0);
            let read = stream.read(&mut octets[before..]).await.unwrap_or(0);
            octets.truncate(before + read);
            if read == 0 {
                return;
            }
            if end == usize::MAX
                && let Some(head) = octets.windows(4).position(|four| four == b"\r\n\r\n")
            {
                octets.drain(..head + 4);
                end = TOLD;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await.is_ok();
    assert!(ended, "neither the content nor the connection ends, after {} octets", octets.len());
    octets
}

#[tokio::test]
async fn r088_a_long_answer_is_whole_and_its_connections_carry_the_next() {
    let (bearward, address, upstream) = begun(TOLD, true, "5m").await;
    let mut application = TcpStream::connect(address).await.unwrap();
    let expected = content();
    // One that reads slowly, so that content waits in the middle, and one that does not.
    for at_once in [3001, 1 << 20] {
        application.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut application, at_once).await == expected, "other octets, read by {at_once}");
    }
    bearward.stop().await;
    assert_eq!(upstream.await.unwrap(), 2, "both came over the one connection that the upstream takes");
}

#[tokio::test]
async fn r088_a_long_answer_that_is_cut_looks_cut() {
    let sent = TOLD - 100_001;
    let (bearward, address, _upstream) = begun(sent, false, "5m").await;
    let mut application = TcpStream::connect(address).await.unwrap();
    application.write_all(REQUEST).await.unwrap();
    let seen = answer(&mut application, 64 << 10).await;
    assert!(seen == content()[..sent], "{} octets instead of {sent}", seen.len());
    bearward.stop().await;
}

#[tokio::test]
async fn r111_a_long_answer_that_stands_still_is_cut() {
    let sent = TOLD / 2;
    let (bearward, address, upstream) = begun(sent, true, "1s").await;
    let mut application = TcpStream::connect(address).await.unwrap();
    application.write_all(REQUEST).await.unwrap();
    let seen = answer(&mut application, 64 << 10).await;
    assert!(seen == content()[..sent], "{} octets instead of {sent}", seen.len());
    assert_eq!(upstream.await.unwrap(), 1, "the upstream's connection is closed too");
    bearward.stop().await;
}

#[tokio::test]
async fn r106_r111_whoever_does_not_read_a_long_answer_or_is_gone_gives_its_upstream_free() {
    for leaves in [false, true] {
        let (bearward, address, upstream) = begun(TOLD, true, "1s").await;
        let mut application = TcpStream::connect(address).await.unwrap();
        // So many answers fit no buffers.
        application.write_all(&REQUEST.repeat(40)).await.unwrap();
        let mut first = [0; 1000];
        application.read_exact(&mut first).await.unwrap();
        let kept = (!leaves).then_some(application);
        let answered = tokio::time::timeout(PATIENCE + Duration::from_secs(5), upstream).await;
        let answered = answered.expect("the upstream's connection ends").unwrap();
        assert!(answered < 40, "what nobody reads is not asked for");
        drop(kept);
        bearward.stop().await;
    }
}
