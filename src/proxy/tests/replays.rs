//! The second sending: what is the same, what is not held, and where it cannot come.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::Notify, task::spawn_local};

use super::{support::*, tokens::*};

#[test]
fn r117_a_rejected_request_goes_out_once_more_with_a_newer_token_and_is_otherwise_the_same() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(2))).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let long = "a".repeat(60_000);
        assert_eq!(status_of(&proxy.ask(post(&long)).await), 200);
        assert_eq!((token_of(&seen.head(0)), token_of(&seen.head(1))), (1, 2));
        assert_eq!(seen.head(0).replace("t1", "t2"), seen.head(1));
        assert_eq!((seen.body(0).len(), seen.body(0)), (60_000, seen.body(1)));
        assert_eq!((seen.count(), bench.token_requests()), (2, 2));
        assert_eq!(proxy.budget.left(), 1 << 20, "r113: what was held is given back");
        assert_eq!(seen.connections.get(), 1, "the first answer was read, its connection is used again");
    });
}

#[test]
fn r117_a_chunked_body_is_replayed_in_chunks() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(2))).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        assert_eq!(status_of(&proxy.ask(chunked("hello")).await), 200);
        assert_eq!(seen.body(1), b"5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(seen.head(1).to_lowercase().matches("transfer-encoding: chunked").count(), 1);
    });
}

#[test]
fn r113_r117_what_is_not_held_is_not_replayed_but_the_token_is_dropped() {
    run(async {
        let long = "b".repeat(3_000_000);
        for (request, budget) in [(post(&long), 1 << 20), (chunked(&long), 1 << 20), (post("short"), 3)] {
            let bench = Bench::new();
            let (origin, seen) = api(Rc::new(Cell::new(2))).await;
            let proxy = bench.proxy_with_budget(&origin, settings(), budget).await;
            let got = proxy.ask(request).await;
            assert!(got.ends_with(INVENTORUM) && status_of(&got) == 401, "{got}");
            assert_eq!(seen.count(), 1);
            assert_eq!(proxy.budget.left(), budget);
            assert_eq!(status_of(&proxy.get("/").await), 200);
            assert_eq!((token_of(&seen.head(1)), bench.token_requests()), (2, 2));
        }
    });
}

#[test]
fn r020_where_no_new_token_can_be_had_the_answer_is_ours_and_nothing_goes_out_bare() {
    run(async {
        let bench = Bench::failing_after(1);
        let (origin, seen) = api(Rc::new(Cell::new(2))).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        for sendings in [1, 1] {
            let got = proxy.ask(post("abc")).await;
            assert_eq!(status_of(&got), 503, "{got}");
            assert!(got.contains("\r\nretry-after: ") && got.contains("\"token\":\"shop\""), "{got}");
            assert!(got.contains("proxy-status: bearward; error="), "{got}");
            assert_eq!(seen.count(), sendings);
        }
        let bench = Bench::failing_after(0);
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let got = bench.proxy(&origin, |_| {}).await.get("/").await;
        assert_eq!((status_of(&got), seen.count()), (503, 0), "{got}");
    });
}

#[test]
fn an_application_that_hangs_up_leaves_no_connection_and_no_memory_behind() {
    run(async {
        let bench = Bench::new();
        let closed = Rc::new(Notify::new());
        let notify = Rc::clone(&closed);
        let origin = Origin::with(move |_, mut wire| {
            let notify = Rc::clone(&notify);
            async move {
                wire.request().await;
                wire.say(ok()).await;
                wire.request().await;
                wire.rest().await;
                notify.notify_one();
            }
        })
        .await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let mut wire = proxy.connect().await;
        wire.say(post("abc").replace("Connection: close\r\n", "")).await;
        spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(wire);
        });
        closed.notified().await;
        assert_eq!(proxy.budget.left(), 1 << 20);
    });
}

#[test]
fn r122_a_hundred_rejections_at_once_cost_one_token_request() {
    run(async {
        let bench = Bench::new();
        let valid = Rc::new(Cell::new(1));
        let (origin, seen) = api(Rc::clone(&valid)).await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        assert_eq!(status_of(&proxy.get("/").await), 200);
        valid.set(2);
        let answers = join_all((0..100).map(|_| proxy.get("/"))).await;
        assert!(answers.iter().all(|answer| status_of(answer) == 200));
        assert_eq!(bench.token_requests(), 2);
        assert!(seen.count() <= 201);
    });
}

/// An API that answers as soon as it has seen a request's head with the first token.
async fn hasty_api() -> (Origin, Seen, Rc<Notify>) {
    let (seen, closed) = (Seen::default(), Rc::new(Notify::new()));
    let (log, notify) = (seen.clone(), Rc::clone(&closed));
    let origin = Origin::with(move |_, mut wire| {
        let (log, notify) = (log.clone(), Rc::clone(&notify));
        async move {
            let mut head = wire.head().await;
            if head.starts_with("GET /warm ") {
                wire.say(ok()).await;
                head = wire.head().await;
            }
            if token_of(&head) == 1 {
                log.requests.borrow_mut().push((head, Vec::new()));
                wire.say(rejection()).await;
                let rest = wire.rest().await;
                let completed = rest.ends_with(b"def") || rest.ends_with(b"0\r\n\r\n");
                assert!(!completed, "the first sending goes on");
                notify.notify_one();
            } else {
                let body = if head.contains("Content-Length: 6") {
                    wire.octets(6).await
                } else {
                    wire.octets(16).await
                };
                log.requests.borrow_mut().push((head, body));
                wire.say(ok()).await;
            }
        }
    })
    .await;
    (origin, seen, closed)
}

#[test]
fn r091_r117_a_rejection_during_the_upload_takes_the_body_over_and_replays_it() {
    run(async {
        for (framing, begin, end, replayed) in [
            ("Content-Length: 6", "abc", "def", "abcdef"),
            (
                "Transfer-Encoding: chunked",
                "3\r\nabc\r\n",
                "3\r\ndef\r\n0\r\n\r\n",
                "6\r\nabcdef\r\n0\r\n\r\n",
            ),
        ] {
            let bench = Bench::new();
            let (origin, seen, closed) = hasty_api().await;
            let proxy = bench.proxy(&origin, |_| {}).await;
            let mut wire = proxy.connect().await;
            wire.say(format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{begin}")).await;
            // The first sending is given up as soon as its answer is known, not only when the body goes on.
            closed.notified().await;
            wire.say(end).await;
            let head = wire.head().await;
            assert_eq!(status_of(&head), 200, "{head}");
            assert_eq!(seen.body(1), replayed.as_bytes());
        }
    });
}

#[test]
fn r091_a_rejection_during_an_upload_that_proves_too_long_is_delivered() {
    run(async {
        let bench = Bench::new();
        let (origin, seen, _) = hasty_api().await;
        let proxy = bench.proxy(&origin, |settings| settings.replay_limit = 8).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        while seen.count() == 0 {
            tokio::task::yield_now().await;
        }
        wire.say("6\r\ndefghi\r\n").await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        assert_eq!(wire.octets(INVENTORUM.len()).await, INVENTORUM.as_bytes());
        assert_eq!(seen.count(), 1);
    });
}

#[test]
fn r091_a_rejection_reaches_an_application_that_streams_and_waits_for_its_answer() {
    run(async {
        let bench = Bench::new();
        let (origin, seen, _) = hasty_api().await;
        let hour = Duration::from_secs(3600);
        let proxy = bench.proxy(&origin, |settings| settings.response_timeout = hour).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        assert_eq!(wire.octets(INVENTORUM.len()).await, INVENTORUM.as_bytes());
        assert_eq!(seen.count(), 1);
    });
}

#[test]
fn r091_a_long_rejection_during_an_upload_is_delivered_because_it_cannot_be_held() {
    run(async {
        let bench = Bench::new();
        let sendings = Rc::new(Cell::new(0));
        let count = Rc::clone(&sendings);
        let origin = Origin::with(move |_, mut wire| {
            let count = Rc::clone(&count);
            async move {
                wire.request().await;
                wire.say(ok()).await;
                wire.head().await;
                count.set(count.get() + 1);
                let fields = "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n";
                wire.say(answer("401 Unauthorized", fields, &"n".repeat(100_000))).await;
                wire.rest().await;
            }
        })
        .await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc").await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        wire.say("def").await;
        assert_eq!(wire.octets(100_000).await, "n".repeat(100_000).as_bytes());
        assert_eq!(sendings.get(), 1);
    });
}

#[test]
fn r118_a_post_with_a_token_is_not_sent_again_after_a_connection_error() {
    run(async {
        let bench = Bench::new();
        let sendings = Rc::new(Cell::new(0));
        let count = Rc::clone(&sendings);
        let origin = Origin::with(move |_, mut wire| {
            let count = Rc::clone(&count);
            async move {
                while let Some((head, _)) = wire.request().await {
                    if !head.starts_with("GET /warm ") {
                        count.set(count.get() + 1);
                        return;
                    }
                    wire.say(ok()).await;
                }
            }
        })
        .await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        for (body, sent) in [("abc", 1), ("", 2)] {
            assert_eq!(status_of(&proxy.ask(post(body)).await), 502);
            assert_eq!(sendings.get(), sent, "once per request");
        }
        assert_eq!(bench.token_requests(), 1);
    });
}
