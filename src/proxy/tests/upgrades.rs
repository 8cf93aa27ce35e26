//! Upgrades over HTTP/1.1 on both sides: no tunnel before the upstream's 101, and none that nobody asked for.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{support::*, tokens::*};
use crate::proxy::{Entry, Settings};

const HANDSHAKE: &str = "GET /live?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Protocol: chat\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nX-Api: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An origin that answers a handshake with `answer` and then echoes; the heads that it saw.
async fn echo(answer: &'static str) -> (Origin, Rc<RefCell<Vec<String>>>) {
    let heads = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&heads);
    let origin = Origin::with(move |_, mut wire| {
        let seen = Rc::clone(&seen);
        async move {
            loop {
                let head = wire.head().await;
                if head.is_empty() {
                    return;
                }
                if head.starts_with("GET /warm ") {
                    wire.say(ok()).await;
                    continue;
                }
                seen.borrow_mut().push(head);
                wire.say(answer).await;
                if answer.starts_with("HTTP/1.1 101") {
                    break;
                }
            }
            let said = wire.rest().await;
            wire.say([b"you said: ", &*said].concat()).await;
        }
    });
    (origin.await, heads)
}

#[test]
fn r067_r108_a_websocket_passes_with_its_fields_and_its_token_and_each_end_by_itself() {
    run(async {
        let (origin, heads) = echo(SWITCHED).await;
        let bench = Bench::new();
        let mut app = bench.proxy(&origin, |_| {}).await.connect().await;
        app.say(HANDSHAKE).await;
        let answer = app.head().await;
        let lower = answer.to_lowercase();
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        for line in [
            "\r\nconnection: upgrade\r\n",
            "\r\nupgrade: websocket\r\n",
            "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
            "\r\nx-api: 1\r\n",
        ] {
            assert_eq!(lower.matches(line).count(), 1, "{line}: {answer}");
        }
        assert!(!lower.contains("content-length") && !lower.contains("transfer-encoding"), "{answer}");
        app.say("\x01\x02 not HTTP \r\n\r\n").await;
        app.end().await;
        assert_eq!(app.rest().await, b"you said: \x01\x02 not HTTP \r\n\r\n");
        let head = &heads.borrow()[0].to_lowercase();
        assert!(head.starts_with("get /live?x=1 http/1.1\r\nhost: 127.0.0.1:"), "{head}");
        for line in [
            "\r\nconnection: upgrade\r\n",
            "\r\nupgrade: websocket\r\n",
            "\r\nsec-websocket-version: 13\r\n",
            "\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n",
            "\r\nsec-websocket-protocol: chat\r\n",
            "\r\nauthorization: bearer t1\r\n",
            "\r\nvia: 1.1 bearward-",
        ] {
            assert_eq!(head.matches(line).count(), 1, "{line}: {head}");
        }
    });
}

#[test]
fn r067_nothing_passes_before_the_upstream_has_switched() {
    run(async {
        let (agree, agreed) = tokio::sync::oneshot::channel::<()>();
        let agreed = RefCell::new(Some(agreed));
        let (told, mut early) = tokio::sync::mpsc::unbounded_channel();
        let origin = Origin::with(move |_, mut wire| {
            let (agreed, told) = (agreed.take(), told.clone());
            async move {
                wire.head().await;
                tokio::select! {
                    _ = wire.more() => told.send("octets before the 101").unwrap(),
                    _ = agreed.unwrap() => {}
                }
                wire.say(SWITCHED).await;
                assert_eq!(wire.octets(5).await, b"early");
                told.send("after it").unwrap();
            }
        })
        .await;
        let mut app = Proxy::to(&origin).await.connect().await;
        app.say(format!("{HANDSHAKE}early")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(early.try_recv().is_err());
        agree.send(()).unwrap();
        assert!(app.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(early.recv().await, Some("after it"));
    });
}

#[test]
fn r067_a_101_to_what_was_not_asked_for_is_a_502_and_no_tunnel() {
    run(async {
        let switches = |to: &str| -> &'static str {
            Box::leak(SWITCHED.replace("Upgrade: websocket\r\n", to).into_boxed_str())
        };
        for (to, request) in [
            ("Upgrade: h2c\r\n", HANDSHAKE.to_owned()),
            ("Upgrade: websocket, TLS/1.3\r\n", HANDSHAKE.to_owned()),
            ("", HANDSHAKE.to_owned()),
            ("Upgrade: websocket\r\n", HANDSHAKE.replace("Upgrade: WebSocket\r\n", "")),
            ("Upgrade: h2c\r\n", HANDSHAKE.replace("Upgrade: WebSocket\r\n", "Upgrade: h2c\r\n")),
        ] {
            let (origin, _) = echo(switches(to)).await;
            let mut app = Proxy::to(&origin).await.connect().await;
            app.say(&request).await;
            let got = app.head().await;
            assert_eq!(status_of(&got), 502, "{to}: {got}");
            assert!(got.contains("bearward; error=http_protocol_error"), "{got}");
        }
    });
}

#[test]
fn r067_any_other_answer_is_an_answer_like_others_and_the_connections_stay() {
    run(async {
        let (origin, heads) =
            echo("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno")
                .await;
        let mut app = Proxy::to(&origin).await.connect().await;
        for number in 1..=3 {
            app.say(HANDSHAKE).await;
            let got = app.head().await;
            assert_eq!(status_of(&got), 426, "{got}");
            assert_eq!(app.octets(2).await, b"no");
            assert_eq!(heads.borrow().len(), number);
        }
    });
}

#[test]
fn r117_a_rejected_handshake_is_sent_once_more_with_a_new_token() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let heads = Rc::clone(&seen);
        let origin = Origin::with(move |_, mut wire| {
            let heads = Rc::clone(&heads);
            async move {
                loop {
                    let head = wire.head().await;
                    if head.starts_with("GET /warm ") {
                        wire.say(ok()).await;
                        continue;
                    }
                    heads.borrow_mut().push(token_of(&head));
                    if heads.borrow().len() == 2 {
                        wire.say(SWITCHED).await;
                        return wire.say(b"welcome").await;
                    }
                    wire.say(answer("401 Unauthorized", "", INVENTORUM)).await;
                }
            }
        })
        .await;
        let bench = Bench::new();
        let mut app = bench.proxy(&origin, |_| {}).await.connect().await;
        app.say(HANDSHAKE).await;
        let got = app.head().await;
        assert_eq!(status_of(&got), 101, "{got}");
        assert_eq!(app.rest().await, b"welcome");
        assert_eq!(*seen.borrow(), [1, 2]);
    });
}

async fn passed_on(request: String, change: impl FnOnce(&mut Settings)) -> (u16, Option<String>) {
    let (origin, seen) = Origin::answering(|_, _| ok()).await;
    let mut settings = settings();
    change(&mut settings);
    let got = Proxy::at(Entry::One(route_to(origin.port, settings, None))).await.ask(request).await;
    (status_of(&got), (seen.count() > 0).then(|| seen.head(0).to_lowercase()))
}

#[test]
fn r062_r068_an_upgrade_that_cannot_be_meant_or_carried_is_ignored() {
    run(async {
        let asks = |version: &str, upgrade: &str, rest: &str| {
            format!(
                "GET / HTTP/{version}\r\nHost: h\r\nConnection: upgrade, close\r\nUpgrade: {upgrade}\r\n{rest}"
            )
        };
        for (request, passes) in [
            (asks("1.0", "websocket", "\r\n"), None),
            (asks("1.1", "h2c", "\r\n"), None),
            (asks("1.1", "HTTP/2.0, TLS/1.2", "\r\n"), None),
            (asks("1.1", "not a protocol", "\r\n"), None),
            (asks("1.1", "websocket", "Content-Length: 1\r\n\r\na"), None),
            (asks("1.1", "websocket", "\r\n").replace("upgrade, close", "close"), None),
            (asks("1.1", "h2c, SPDY/3.1, tls/1.3, irc", "\r\n"), Some("upgrade: spdy/3.1, irc")),
            (asks("1.1", "websocket", "TE: trailers\r\n\r\n"), Some("connection: te, upgrade")),
        ] {
            let (status, head) = passed_on(request.clone(), |_| {}).await;
            let head = head.unwrap();
            assert_eq!(status, 200, "{request}");
            match passes {
                Some(line) => assert!(head.contains(&format!("\r\n{line}\r\n")), "{request} became {head}"),
                None => assert!(!head.contains("upgrade"), "{request} became {head}"),
            }
        }
    });
}

#[test]
fn where_upgrades_are_off_a_websocket_is_refused_aloud_and_others_are_ignored() {
    run(async {
        let close = HANDSHAKE.replace("keep-alive", "close");
        let (status, head) = passed_on(close.clone(), |settings| settings.upgrades = false).await;
        assert_eq!((status, head), (501, None));
        let other = close.replace("WebSocket", "irc");
        let (status, head) = passed_on(other, |settings| settings.upgrades = false).await;
        assert!(status == 200 && !head.unwrap().contains("upgrade"));
    });
}

#[test]
fn a_silent_tunnel_ends_after_its_limit() {
    run(async {
        let (origin, _) = echo(SWITCHED).await;
        let mut hasty = settings();
        hasty.tunnel_idle_timeout = Some(Duration::from_millis(50));
        let mut app = Proxy::at(Entry::One(route_to(origin.port, hasty, None))).await.connect().await;
        app.say(HANDSHAKE).await;
        assert_eq!(status_of(&app.head().await), 101);
        assert_eq!(app.rest().await, b"");
    });
}
