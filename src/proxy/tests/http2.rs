//! HTTP/2 towards an upstream, HTTP/1.1 towards the application.

use std::{cell::Cell, convert::Infallible, rc::Rc};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::spawn_local};

use super::support::*;
use crate::{proxy::Entry, upstream::Protocol};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// An HTTP/2 origin with prior knowledge; how many connections it took.
async fn origin<F>(serve: impl Fn(Request<Incoming>) -> F + Copy + 'static) -> (u16, Rc<Cell<usize>>)
where
    F: Future<Output = Answer> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    spawn_local(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            let service = service_fn(move |request| async move { Ok::<_, Infallible>(serve(request).await) });
            let http = hyper::server::conn::http2::Builder::new(Here);
            spawn_local(http.serve_connection(TokioIo::new(socket), service));
        }
    });
    (port, connections)
}

async fn proxy(port: u16) -> Proxy {
    Proxy::at(Entry::One(route_with(port, Protocol::Http2, settings(), None))).await
}

async fn echo(request: Request<Incoming>) -> Answer {
    let head = format!("{:?} {} {:?}\n", request.version(), request.uri(), request.headers());
    let collected = request.into_body().collect().await.unwrap();
    let trailers = format!("\n{:?}", collected.trailers());
    let text = [head.into_bytes(), collected.to_bytes().to_vec(), trailers.into_bytes()].concat();
    Response::new(Full::new(Bytes::from(text)).boxed_unsync())
}

#[test]
fn r066_r098_a_request_takes_the_form_of_http_2_on_its_hop() {
    run(async {
        let (port, _) = origin(echo).await;
        let got = proxy(port)
            .await
            .ask(
                "POST /a?b HTTP/1.1\r\nHost: localhost\r\nConnection: close, x-hop, te\r\nTE: trailers, gzip\r\n\
                 X-Hop: 1\r\nX-One: 1\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\nAuthorization: no\r\n\r\n",
            )
            .await;
        assert!(got.contains(&format!("{:?} http://127.0.0.1:{port}/a?b ", Version::HTTP_2)), "{got}");
        assert!(got.contains("\nabc\n") && got.contains(r#""x-sum": "7""#), "{got}");
        assert!(got.contains(r#""te": "trailers""#) && got.contains(r#""x-one": "1""#), "{got}");
        for gone in [r#""host""#, r#""connection""#, "x-hop", r#""transfer-encoding""#, "authorization"] {
            assert!(!got.contains(gone), "{gone}: {got}");
        }
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "r075: {got}");
    });
}

#[test]
fn requests_share_one_connection() {
    run(async {
        let (port, connections) = origin(echo).await;
        let proxy = proxy(port).await;
        proxy.get("/").await;
        let answers = join_all((0..50).map(|_| proxy.get("/"))).await;
        assert!(answers.iter().all(|answer| status_of(answer) == 200));
        assert_eq!(connections.get(), 1);
    });
}

#[test]
fn requests_that_find_no_connection_open_one_for_all_of_them() {
    run(async {
        let (port, connections) = origin(echo).await;
        let mut short = settings();
        short.connections.idle_timeout = std::time::Duration::from_millis(50);
        let proxy = Proxy::at(Entry::One(route_with(port, Protocol::Http2, short, None))).await;
        proxy.get("/").await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let answers = join_all((0..50).map(|_| proxy.get("/"))).await;
        assert!(answers.iter().all(|answer| status_of(answer) == 200));
        assert_eq!(connections.get(), 2, "the idle one was closed, one new one is shared");
    });
}

#[test]
fn r063_trailers_of_an_answer_reach_an_application_that_asks_for_them() {
    run(async {
        async fn with_trailers(_: Request<Incoming>) -> Answer {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("www-authenticate", HeaderValue::from_static("x"));
            let frames = [Ok(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(trailers))];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let mut response = Response::new(BodyExt::boxed_unsync(body));
            response
                .headers_mut()
                .insert("trailer", HeaderValue::from_static("grpc-status, www-authenticate"));
            response
        }
        let (port, _) = origin(with_trailers).await;
        let got = proxy(port)
            .await
            .ask("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: te, close\r\n\r\n")
            .await;
        assert!(got.contains("grpc-status: 0") && !got.contains("www-authenticate: x"), "{got}");
    });
}

#[test]
fn r058_a_broken_body_is_the_applications_fault_here_too() {
    run(async {
        let seen = Rc::new(Cell::new(None));
        let log: &'static Rc<Cell<Option<bool>>> = Box::leak(Box::new(Rc::clone(&seen)));
        let (port, _) = origin(move |request: Request<Incoming>| async move {
            log.set(Some(request.into_body().collect().await.is_ok()));
            std::future::pending().await
        })
        .await;
        let broken = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZ\r\n";
        let got = proxy(port).await.ask(broken).await;
        assert_eq!(status_of(&got), 400, "{got}");
        while seen.get().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(seen.get(), Some(false), "r057: the upstream must not see it completed");
    });
}
