//! How far a request may go, and how many may be under way.

use std::cell::RefCell;

use http::{HeaderValue, header};

use super::support::*;
use crate::{
    clock::Clock,
    proxy::{Budget, Entry, Room, Worker},
};

fn options(fields: &str) -> String {
    format!("OPTIONS * HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n")
}

#[test]
fn r052_r065_options_goes_as_far_as_it_may_and_the_last_hop_answers() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let proxy = Proxy::to(&origin).await;
        for (sent, left) in [
            ("", None),
            ("Max-Forwards: 1\r\n", Some("0")),
            ("Max-Forwards: 010\r\n", Some("9")),
            ("Max-Forwards: 99999999999999999999\r\n", Some("4294967294")),
        ] {
            assert_eq!(status_of(&proxy.ask(options(sent)).await), 200);
            let head = seen.head(seen.count() - 1).to_lowercase();
            assert!(head.starts_with("options * http/1.1\r\n"), "{head}");
            let line = left.map(|left| format!("\r\nmax-forwards: {left}\r\n"));
            assert!(line.is_none_or(|line| head.matches(&line).count() == 1), "{sent}: {head}");
            assert_eq!(head.contains("max-forwards"), left.is_some(), "{head}");
        }
        let before = seen.count();
        let got = proxy.ask(options("Max-Forwards: 0\r\n")).await;
        assert!(status_of(&got) == 200 && got.to_lowercase().contains("content-length: 0\r\n"), "{got}");
        for wrong in ["-1", "1.5", "", "x", "1\r\nMax-Forwards: 2"] {
            let got = proxy.ask(options(&format!("Max-Forwards: {wrong}\r\n"))).await;
            assert_eq!(status_of(&got), 400, "{wrong}: {got}");
        }
        assert_eq!(seen.count(), before, "none of them goes on");
        let get = "GET / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(status_of(&proxy.ask(get).await), 200);
        assert!(seen.head(before).contains("Max-Forwards: 0\r\n"), "of other methods it says nothing to us");
        let mut configured = settings();
        configured.headers = vec![(header::MAX_FORWARDS, HeaderValue::from_static("7"))];
        let proxy = Proxy::at(Entry::One(route_to(origin.port, configured, None))).await;
        for (sent, left) in [("", "7"), ("Max-Forwards: 2\r\n", "1")] {
            assert_eq!(status_of(&proxy.ask(options(sent)).await), 200);
            let head = seen.head(seen.count() - 1).to_lowercase();
            assert_eq!(head.matches("max-forwards").count(), 1, "{head}");
            assert!(head.contains(&format!("max-forwards: {left}\r\n")), "{head}");
        }
    });
}

#[test]
fn r112_one_request_more_than_may_be_under_way_is_told_to_come_again() {
    run(async {
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let finished = RefCell::new(Some(finished));
        let origin = Origin::with(move |_, mut wire| {
            let finished = finished.take();
            async move {
                wire.head().await;
                wire.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
                if let Some(finished) = finished {
                    finished.await.unwrap();
                }
                wire.say("k").await;
            }
        })
        .await;
        let entry = Entry::One(route_to(origin.port, settings(), None));
        let (clock, budget) = (Clock::system(), Budget::new(0));
        let proxy = Proxy::with_worker(entry, Worker { clock, budget, room: Room::new(1), seen: None }).await;
        let mut first = proxy.connect().await;
        first.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        first.head().await;
        let got = proxy.get("/").await;
        assert_eq!(status_of(&got), 503, "the first one's answer has not ended: {got}");
        assert!(got.contains("retry-after: 1\r\n") && got.contains("proxy-status: bearward"), "{got}");
        finish.send(()).unwrap();
        assert_eq!(first.rest().await, b"ok");
        assert_eq!(status_of(&proxy.get("/").await), 200);
    });
}
