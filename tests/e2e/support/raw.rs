//! Octets over a socket, for what an HTTP client of a library would tidy up.

use std::{net::SocketAddr, path::Path};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use super::PATIENCE;

/// Writes `request`, which asks for the connection's end, and reads all that comes until then.
pub async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Vec<u8> {
    talk(TcpStream::connect(address).await.expect("somebody listens"), request.as_ref()).await
}

/// The same over a Unix socket.
pub async fn exchange_unix(path: &Path, request: impl AsRef<[u8]>) -> Vec<u8> {
    talk(UnixStream::connect(path).await.expect("somebody listens"), request.as_ref()).await
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(request).await.expect("the request can be written");
        stream.read_to_end(&mut answer).await.expect("the connection ends in order");
    };
    let ended = tokio::time::timeout(PATIENCE, talk).await.is_ok();
    assert!(ended, "the connection stays open after: {}", String::from_utf8_lossy(&answer));
    answer
}

/// A GET that asks for the connection's end, with these further fields (`Name: value\r\n` each).
pub fn get(path: &str, host: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n")
}

/// The status of an answer.
pub fn status(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    let status =
        text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    status.unwrap_or_else(|| panic!("no HTTP/1.1 answer: {text:?}"))
}

/// Head and content of an answer.
pub fn parts(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer's head ends") + 4;
    (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end..])
}
