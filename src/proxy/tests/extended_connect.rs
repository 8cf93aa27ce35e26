//! WebSockets where one side, or both, speak HTTP/2 (RFC 8441).

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2, ext::Protocol as Extended, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::spawn_local,
};

use super::support::*;
use crate::{proxy::Entry, upstream::Protocol};

/// A handshake of an HTTP/2 application.
async fn handshake(proxy: &Proxy, protocol: &'static str) -> Response<Incoming> {
    let socket = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let (mut sender, connection) = http2::handshake(Here, TokioIo::new(socket)).await.unwrap();
    while !connection.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    spawn_local(async move { drop(connection.await) });
    let mut request = Request::connect(format!("http://localhost:{}/live?x=1", proxy.port))
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_PROTOCOL, "chat")
        .body(Empty::<Bytes>::new())
        .unwrap();
    request.extensions_mut().insert(Extended::from_static(protocol));
    sender.send_request(request).await.unwrap()
}

/// Says something in the tunnel, ends its side, and hears the rest.
async fn talk(mut answer: Response<Incoming>) -> Vec<u8> {
    let mut tunnel = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    tunnel.write_all(b"hello").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    tunnel.read_to_end(&mut heard).await.unwrap();
    heard
}

fn accepts(key: &str) -> String {
    let hashed = [key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let hashed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, hashed.as_bytes());
    STANDARD.encode(hashed)
}

/// An HTTP/1.1 origin that answers what `answer` makes of its proof, and echoes.
async fn http1_origin(answer: fn(String) -> String) -> (Rc<crate::proxy::Route>, Rc<RefCell<String>>) {
    let seen = Rc::new(RefCell::new(String::new()));
    let log = Rc::clone(&seen);
    let origin = Origin::with(move |_, mut wire| {
        let log = Rc::clone(&log);
        async move {
            let head = wire.head().await;
            let at = head.to_lowercase().find("sec-websocket-key: ").expect("a key") + 19;
            let proof = accepts(head[at..].split("\r\n").next().unwrap());
            log.replace(head);
            wire.say(answer(proof)).await;
            let said = wire.rest().await;
            wire.say([b"heard ", &*said].concat()).await;
        }
    })
    .await;
    (route_to(origin.port, settings(), None), seen)
}

fn switched(proof: String) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
    )
}

#[test]
fn r108_r110_an_extended_connect_becomes_a_handshake_with_a_nonce_of_ours() {
    run(async {
        let (route, seen) = http1_origin(switched).await;
        let proxy = Proxy::http2(Entry::One(route)).await;
        let mut keys = Vec::new();
        for _ in 0..2 {
            let answer = handshake(&proxy, "websocket").await;
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
            for gone in ["sec-websocket-accept", "upgrade", "connection"] {
                assert!(!answer.headers().contains_key(gone), "{gone}");
            }
            assert_eq!(talk(answer).await, b"heard hello");
            let head = seen.borrow().to_lowercase();
            assert!(head.starts_with("get /live?x=1 http/1.1\r\nhost: 127.0.0.1:"), "{head}");
            for line in [
                "connection: upgrade",
                "upgrade: websocket",
                "sec-websocket-version: 13",
                "via: 2.0 bearward-",
            ] {
                let line =
                    if line.ends_with('-') { format!("\r\n{line}") } else { format!("\r\n{line}\r\n") };
                assert_eq!(head.matches(&line).count(), 1, "{line}: {head}");
            }
            let key = head.split("\r\nsec-websocket-key: ").nth(1).unwrap().split("\r\n").next().unwrap();
            keys.push(key.to_owned());
        }
        assert_ne!(keys[0], keys[1], "a nonce is for one connection");
    });
}

#[test]
fn r067_an_upstream_that_does_not_switch_or_proves_nothing_gives_an_extended_connect_no_tunnel() {
    run(async {
        type Answers = fn(String) -> String;
        let wrong: [(Answers, u16); 4] = [
            (|_| switched("AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()), 502),
            (|proof| switched(proof).replace("Sec-WebSocket-Accept", "X"), 502),
            (|_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(), 502),
            (|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned(), 403),
        ];
        for (answer, status) in wrong {
            let (route, _) = http1_origin(answer).await;
            let got = handshake(&Proxy::http2(Entry::One(route)).await, "websocket").await;
            assert_eq!(got.status(), status);
            let own = got.headers().contains_key("proxy-status");
            let content = got.into_body().collect().await.unwrap().to_bytes();
            assert!(if status == 403 { content == "no" } else { own });
        }
    });
}

/// An HTTP/2 origin that takes extended CONNECT if `enabled`, and echoes.
async fn http2_origin(enabled: bool) -> Rc<crate::proxy::Route> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn_local(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service_fn(|mut request: Request<Incoming>| async move {
                let asked = request.extensions().get::<Extended>().map(|protocol| protocol.as_ref().to_vec());
                assert_eq!(asked.as_deref(), Some(&b"websocket"[..]));
                assert_eq!((request.method().as_str(), request.uri().path()), ("CONNECT", "/live"));
                for gone in ["upgrade", "connection", "sec-websocket-key"] {
                    assert!(!request.headers().contains_key(gone), "{gone}");
                }
                assert_eq!(request.headers()["sec-websocket-version"], "13");
                let tunnel = hyper::upgrade::on(&mut request);
                spawn_local(async move {
                    let mut tunnel = TokioIo::new(tunnel.await.unwrap());
                    let mut said = Vec::new();
                    tunnel.read_to_end(&mut said).await.unwrap();
                    tunnel.write_all(&[b"heard ", &*said].concat()).await.unwrap();
                    tunnel.shutdown().await.unwrap();
                });
                let mut answer = Response::new(Empty::<Bytes>::new());
                answer.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
                Ok::<_, Infallible>(answer)
            });
            let mut http = hyper::server::conn::http2::Builder::new(Here);
            if enabled {
                http.enable_connect_protocol();
            }
            spawn_local(http.serve_connection(TokioIo::new(socket), service));
        }
    });
    route_with(port, Protocol::Http2, settings(), None)
}

const HANDSHAKE: &str = "GET /live?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn r108_r110_an_upstream_with_http_2_is_asked_by_extended_connect() {
    run(async {
        let route = http2_origin(true).await;
        let answer = handshake(&Proxy::http2(Entry::One(Rc::clone(&route))).await, "websocket").await;
        assert_eq!(
            (answer.status(), &answer.headers()["sec-websocket-protocol"]),
            (StatusCode::OK, &"chat".parse().unwrap())
        );
        assert_eq!(talk(answer).await, b"heard hello");

        // The version is told also where the application says that its own is for this hop alone.
        for connection in ["Connection: ", "Connection: Sec-WebSocket-Version, "] {
            let mut app = Proxy::at(Entry::One(Rc::clone(&route))).await.connect().await;
            app.say(HANDSHAKE.replace("Connection: ", connection)).await;
            let head = app.head().await.to_lowercase();
            assert!(head.starts_with("http/1.1 101 "), "{head}");
            for line in [
                "connection: upgrade",
                "upgrade: websocket",
                "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
            ] {
                assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {head}");
            }
            app.say("hello").await;
            app.end().await;
            assert_eq!(app.rest().await, b"heard hello");
        }
    });
}

#[test]
fn r110_where_the_upstream_has_not_enabled_it_a_websocket_is_refused_aloud() {
    run(async {
        let proxy = Proxy::at(Entry::One(http2_origin(false).await)).await;
        let got = proxy.ask(HANDSHAKE.replace("Connection: ", "Connection: close, ")).await;
        assert!(status_of(&got) == 501 && got.contains("RFC 8441"), "{got}");
        let unkeyed = HANDSHAKE.replace("Connection: ", "Connection: close, ").replace("dGhl", "dGh");
        assert_eq!(status_of(&proxy.ask(unkeyed).await), 400, "no nonce, nothing to prove");
    });
}

#[test]
fn r110_no_other_protocol_is_asked_for_by_connect() {
    run(async {
        let (route, seen) = http1_origin(switched).await;
        let got = handshake(&Proxy::http2(Entry::One(route)).await, "connect-udp").await;
        assert_eq!(got.status(), 501);
        assert!(seen.borrow().is_empty());
    });
}
