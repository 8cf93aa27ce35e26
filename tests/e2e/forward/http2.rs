//! HTTP/2 inside a tunnel to an upstream, and towards the proxy itself.

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::world::{TOKEN, World, fields, tls_offering};
use crate::support::PATIENCE;

async fn speaks(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> SendRequest<Empty<Bytes>> {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2 is spoken");
    tokio::spawn(async move {
        // How it ends is what the requests on it say.
        let _ = connection.await;
    });
    sender
}

async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> (Response<()>, Value) {
    let answered = async {
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let content = body.collect().await.expect("all of it").to_bytes();
        (Response::from_parts(head, ()), serde_json::from_slice(&content).unwrap_or(Value::Null))
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("an answer in time")
}

fn get(url: &str, further: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::get(url).version(Version::HTTP_2);
    for (name, value) in further {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

#[tokio::test]
async fn r010_requests_of_http_2_inside_get_the_token_and_are_for_the_host_of_the_tunnel() {
    let world = World::with("unmatched = \"tunnel\"").await;
    let roots = [world.authority.certificate().clone()];
    let stream = world.tunnel(&world.api()).await;
    let stream = tls_offering(stream, "api.localhost", &roots, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut inside = speaks(stream).await;
    let url = format!("https://{}/orders?page=1", world.api());
    for _ in 0..3 {
        let (head, echo) = ask(&mut inside, get(&url, &[("authorization", "Bearer own")])).await;
        assert_eq!((head.status().as_u16(), &echo["target"]), (200, &"/orders?page=1".into()));
        assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
        assert!(fields(&echo, "via")[0].starts_with("2.0 bearward-"), "r064, r075: {echo}");
        let via = head.headers()["via"].to_str().unwrap();
        assert!(via.starts_with("1.1 bearward-"), "r064: the upstream spoke 1.1: {via}");
    }
    for other in [
        "https://api.localhost/",
        &format!("https://{}/", world.plain()),
        &format!("http://{}/", world.api()),
    ] {
        assert_eq!(ask(&mut inside, get(other, &[])).await.0.status(), 421, "{other}");
    }
    let (head, _) = ask(&mut inside, get(&url, &[("origin", "https://evil.example")])).await;
    assert_eq!(head.status(), 403, "r023");
    assert_eq!(ask(&mut inside, get(&url, &[])).await.0.status(), 200, "the connection is as good as before");
}

#[tokio::test]
async fn r003_towards_the_proxy_the_authority_is_what_counts() {
    let world = World::with("").await;
    let mut proxy = speaks(TcpStream::connect(world.proxy).await.unwrap()).await;
    let (head, echo) = ask(&mut proxy, get(&format!("http://{}/x", world.plain()), &[])).await;
    assert_eq!((head.status().as_u16(), &echo["host"]), (200, &world.plain().into()));
    assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
    for (url, expected) in [
        (format!("http://other.localhost:{}/", world.other.port()), 403),
        (format!("http://{}/", world.proxy), 508),
    ] {
        assert_eq!(ask(&mut proxy, get(&url, &[])).await.0.status(), expected, "{url}");
    }
    let connect = Request::connect("other.localhost:443").version(Version::HTTP_2);
    let (head, _) = ask(&mut proxy, connect.body(Empty::new()).unwrap()).await;
    assert_eq!(head.status(), 403, "r009");
}

#[tokio::test]
async fn a_tunnel_may_be_a_stream_of_http_2() {
    let world = World::with("").await;
    let mut proxy = speaks(TcpStream::connect(world.proxy).await.unwrap()).await;
    let connect = Request::connect(world.plain()).version(Version::HTTP_2).body(Empty::new()).unwrap();
    let answer = proxy.send_request(connect).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut inside = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let request = super::world::get("/feed", &world.plain(), "");
    let (status, head, echo) = super::world::ask(&mut inside, &request).await;
    assert_eq!((status, &echo["target"]), (200, &"/feed".into()), "{head}");
    assert_eq!(fields(&echo, "authorization"), [format!("Bearer {TOKEN}")]);
}
