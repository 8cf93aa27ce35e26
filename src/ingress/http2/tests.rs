//! A connection of HTTP/2 as hyper's own client sees it: requests, streams that are taken over, idleness and ends.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2 as client;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::LocalSet,
    time::Instant,
};

use super::*;
use crate::{ingress::connection::Limits as Bounds, proxy::ResponseBody, wire::LocalExecutor};

const BOUNDS: Bounds = Bounds {
    head_size: 8 << 10,
    head_fields: 20,
    head_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(300),
    body_timeout: Duration::from_secs(60),
    refuse_underscores: false,
    http2: Limits { extended_connect: true, ..Limits::DEFAULT },
};

/// A connection that is served so.
fn served<F>(bounds: Bounds, service: impl Fn(Request<Incoming>) -> F + 'static) -> (DuplexStream, Drain)
where
    F: Future<Output = Answer<ResponseBody>> + 'static,
{
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    let drain = Drain::new();
    let told = drain.clone();
    tokio::task::spawn_local(async move { serve(Stream::Memory(theirs), &bounds, service, told).await });
    (ours, drain)
}

async fn spoken(stream: DuplexStream) -> client::SendRequest<Empty<Bytes>> {
    let (sender, connection) =
        client::Builder::new(LocalExecutor).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::task::spawn_local(connection);
    sender
}

fn connect(protocol: Option<&'static str>, uri: &'static str) -> http::Request<Empty<Bytes>> {
    let mut request = http::Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::from_static(uri);
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
    }
    request
}

/// Says what it hears twice, until nothing more comes.
fn echo_twice() -> ResponseBody {
    ResponseBody::taken_over(Box::new(|mut stream| {
        Box::pin(async move {
            let mut heard = Vec::new();
            while stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {
                let said = heard.repeat(2);
                heard.clear();
                stream.write_all(&said).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        })
    }))
}

#[tokio::test]
async fn r110_a_tunnel_takes_its_stream_over_and_other_streams_go_on() {
    LocalSet::new()
        .run_until(async {
            let seen = Rc::new(RefCell::new(Vec::new()));
            let kept = seen.clone();
            let (stream, drain) = served(BOUNDS, move |request: Request<Incoming>| {
                let head = request.head;
                let protocol = head.protocol.map(|one| one.as_str().to_owned());
                kept.borrow_mut().push((head.method.clone(), protocol, head.target.to_string()));
                let body = if head.method == Method::CONNECT {
                    echo_twice()
                } else {
                    ResponseBody::whole("ok".into())
                };
                async { Answer::new(body) }
            });
            let mut sender = spoken(stream).await;
            sender.ready().await.unwrap();
            for request in
                [connect(Some("websocket"), "https://localhost/chat?a"), connect(None, "localhost:443")]
            {
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                let mut tunnel = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
                tunnel.write_all(b"one").await.unwrap();
                let mut heard = [0; 6];
                tunnel.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"oneone");
                let get = http::Request::get("http://localhost/").body(Empty::new()).unwrap();
                let answer = sender.send_request(get).await.unwrap();
                assert_eq!(answer.collect().await.unwrap().to_bytes(), "ok");
                // A drain waits for whoever still speaks.
                if seen.borrow().len() == 4 {
                    drain.cancel();
                    tokio::time::sleep(LAST_CALL * 2).await;
                }
                tunnel.write_all(b"x").await.unwrap();
                tunnel.read_exact(&mut heard[..2]).await.unwrap();
                tunnel.shutdown().await.unwrap();
                assert_eq!(tunnel.read(&mut heard).await.unwrap(), 0, "its end is passed on");
            }
            let seen = seen.borrow();
            assert_eq!(
                seen[0],
                (Method::CONNECT, Some("websocket".into()), "https://localhost/chat?a".into())
            );
            assert_eq!(seen[2], (Method::CONNECT, None, "localhost:443".into()));
        })
        .await;
}

#[tokio::test]
async fn r110_extended_connect_is_refused_where_it_is_not_offered() {
    LocalSet::new()
        .run_until(async {
            let bounds = Bounds { http2: Limits::DEFAULT, ..BOUNDS };
            let (mut stream, _drain) =
                served(bounds, |_| async { Answer::new(ResponseBody::whole("ok".into())) });
            // Without asking whether it is offered: literals, never indexed.
            let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
            let mut block = Vec::new();
            for (name, value) in [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", "/"),
            ] {
                block.extend([0x10, name.len() as u8]);
                block.extend(name.as_bytes());
                block.push(value.len() as u8);
                block.extend(value.as_bytes());
            }
            octets.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
            octets.extend(block);
            stream.write_all(&octets).await.unwrap();
            let mut heard = Vec::new();
            let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 1];
            while !heard.windows(reset.len()).any(|some| some == reset) {
                assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "{heard:?}");
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn r111_a_connection_may_idle_between_requests_but_not_for_ever() {
    LocalSet::new()
        .run_until(async {
            let (stream, _drain) = served(BOUNDS, |request: Request<Incoming>| async move {
                // Answered at once; what is uploaded is read on.
                tokio::task::spawn_local(request.content.collect());
                Answer::new(ResponseBody::whole("early".into()))
            });
            let (mut sender, connection) = client::Builder::new(LocalExecutor)
                .handshake::<_, http_body_util::combinators::BoxBody<Bytes, Infallible>>(TokioIo::new(stream))
                .await
                .unwrap();
            let ended = tokio::task::spawn_local(connection);
            let get = || {
                http::Request::post("http://localhost/").body(Full::new(Bytes::from("x")).boxed()).unwrap()
            };
            let begun = Instant::now();
            for _ in 0..3 {
                let answer = sender.send_request(get()).await.unwrap();
                assert_eq!(answer.collect().await.unwrap().to_bytes(), "early");
                tokio::time::sleep(BOUNDS.idle_timeout - Duration::from_secs(1)).await;
                sender.ready().await.expect("it is still open");
            }
            ended.await.unwrap().unwrap();
            let took = begun.elapsed();
            assert!(took >= BOUNDS.idle_timeout * 3 - Duration::from_secs(3), "{took:?}");
            assert!(took <= BOUNDS.idle_timeout * 4, "{took:?}");
        })
        .await;
}
