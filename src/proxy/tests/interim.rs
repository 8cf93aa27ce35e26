//! Interim (1xx) answers and expectations.

use std::{cell::RefCell, rc::Rc};

use super::{support::*, tokens::*};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn r071_interim_answers_pass_before_the_final_one_and_what_is_for_one_hop_does_not() {
    run(async {
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let finished = RefCell::new(Some(finished));
        let origin = Origin::with(move |_, mut wire| {
            let finished = finished.take();
            async move {
                wire.head().await;
                wire.say("HTTP/1.1 102 Processing\r\n\r\n").await;
                wire.say("HTTP/1.1 100 Continue\r\n\r\n").await;
                wire.say(
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n",
                )
                .await;
                finished.unwrap().await.unwrap();
                wire.say(ok()).await;
            }
        })
        .await;
        let mut app = Proxy::to(&origin).await.connect().await;
        app.say(GET).await;
        assert!(app.head().await.starts_with("HTTP/1.1 102 "));
        let hints = app.head().await;
        assert!(hints.starts_with("HTTP/1.1 103 ") && hints.contains("</a>; rel=preload\r\n"), "{hints}");
        assert!(!hints.to_lowercase().contains("x-hop"), "{hints}");
        finish.send(()).unwrap();
        assert!(app.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(app.octets(2).await, b"ok");
    });
}

#[test]
fn r071_r115_none_reaches_1_0_and_sixteen_are_borne() {
    run(async {
        for (number, status) in [(16, 200), (17, 502)] {
            let origin = Origin::with(move |_, mut wire| async move {
                while !wire.head().await.is_empty() {
                    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(number);
                    wire.say([interim.as_bytes(), &ok()].concat()).await;
                }
            })
            .await;
            let proxy = Proxy::to(&origin).await;
            let got = proxy.ask("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
            assert_eq!(status_of(&got), status, "{got}");
            let got = proxy.ask(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(got.matches("HTTP/1.1 103 ").count(), 16, "{got}");
            assert!(got.contains(&format!("HTTP/1.1 {status} ")), "{got}");
        }
    });
}

const EXPECTS: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// An origin that refuses a POST at its head; connection and method of each request.
async fn refusing() -> (Origin, Rc<RefCell<Vec<(usize, String)>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let origin = Origin::with(move |number, mut wire| {
        let log = Rc::clone(&log);
        async move {
            loop {
                let head = wire.head().await;
                if head.is_empty() {
                    return;
                }
                log.borrow_mut().push((number, head.split(' ').next().unwrap().to_owned()));
                if head.starts_with("POST") {
                    wire.say(answer("403 Forbidden", "", "no")).await;
                    // It comes, or the connection ends.
                    if wire.more().await == 0 {
                        return;
                    }
                    assert_eq!(wire.octets(5).await, b"hello");
                } else {
                    wire.say(ok()).await;
                }
            }
        }
    })
    .await;
    (origin, seen)
}

async fn refused(proxy: &Proxy) -> Wire {
    let mut app = proxy.connect().await;
    app.say(EXPECTS).await;
    let mut head = app.head().await;
    if head.starts_with("HTTP/1.1 100 ") {
        head = app.head().await;
    }
    assert_eq!(status_of(&head), 403, "{head}");
    assert_eq!(app.octets(2).await, b"no");
    app
}

#[test]
fn r069_a_final_answer_before_the_content_was_sent_leaves_both_connections_sane() {
    run(async {
        let (origin, seen) = refusing().await;
        let proxy = Proxy::to(&origin).await;
        // The application sends it after all, one octet after the other, and asks something else.
        let mut app = refused(&proxy).await;
        for octet in b"hello" {
            app.say([*octet]).await;
        }
        app.say(GET).await;
        assert_eq!(status_of(&app.head().await), 200);
        assert_eq!(app.octets(2).await, b"ok");
        // The application goes away instead: that connection to the upstream carries nothing else.
        drop(refused(&proxy).await);
        for _ in 0..3 {
            assert_eq!(status_of(&proxy.get("/").await), 200);
        }
        let seen = seen.borrow();
        let methods: Vec<&str> = seen.iter().map(|(_, method)| method.as_str()).collect();
        assert_eq!(
            methods,
            ["POST", "GET", "POST", "GET", "GET", "GET"],
            "no content is taken for a request"
        );
        assert!(seen[3..].iter().all(|(connection, _)| *connection != seen[2].0), "{seen:?}");
    });
}

#[test]
fn r069_an_expectation_in_1_0_is_ignored() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let proxy = Proxy::to(&origin).await;
        for expectation in ["100-continue", "magic"] {
            let got = proxy
                .ask(format!(
                    "POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nExpect: {expectation}\r\n\r\nhello"
                ))
                .await;
            assert_eq!(status_of(&got), 200, "{got}");
            assert!(!got.contains(" 100 "), "{got}");
        }
        assert_eq!(seen.body(1), b"hello");
    });
}
