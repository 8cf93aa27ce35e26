//! What an upstream may answer, and what becomes of it.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::support::*;
use crate::proxy::Entry;

async fn answer_to_get(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let (origin, _) = Origin::answering(move |_, _| answer.clone()).await;
    Proxy::to(&origin).await.get("/").await
}

/// An origin that answers once and closes the connection.
async fn answer_and_close(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let origin = Origin::with(move |_, mut wire| {
        let answer = answer.clone();
        async move {
            wire.request().await;
            wire.say(answer).await;
        }
    })
    .await;
    Proxy::to(&origin).await.get("/").await
}

#[test]
fn r079_r081_r083_an_answer_passes_as_it_came() {
    run(async {
        let answer = "HTTP/1.1 200 Fine Indeed\r\nX-First: 1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                      set-COOKIE: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nset-COOKIE: b=2\r\n\
                      Content-Encoding: gzip\r\nCache-Control: no-transform\r\nContent-Length: 4\r\nETag: \"x\"\r\n\
                      \r\n\x1f\x00\x01z";
        let got = answer_to_get(answer).await;
        let expected = answer.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.split("\r\n").map(str::to_lowercase).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&got), sorted(&expected), "nothing is lost, changed or added");
        let order = ["X-First", "Date", "set-COOKIE: a", "set-COOKIE: b", "Content-Encoding", "ETag"];
        let at: Vec<_> =
            order.iter().map(|name| got.find(name).unwrap_or_else(|| panic!("{name}: {got}"))).collect();
        assert!(at.is_sorted(), "r073, r074: order and spelling are kept: {got}");
        assert!(got.starts_with("HTTP/1.1 200 Fine Indeed\r\n"));
    });
}

#[test]
fn r083_a_missing_date_is_added() {
    run(async {
        let got = answer_to_get(ok()).await.to_lowercase();
        assert_eq!(got.matches("\r\ndate: ").count(), 1, "{got}");
    });
}

#[test]
fn r063_hop_by_hop_fields_of_an_answer_and_ways_past_us_stay_behind() {
    run(async {
        let got = answer_to_get(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nAlt-Svc: h3=\":443\"\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok",
        )
        .await
        .to_lowercase();
        for gone in ["alt-svc", "x-hop", "keep-alive", "proxy-connection", "upgrade"] {
            assert!(!got.contains(gone), "{gone} passed: {got}");
        }
        assert!(got.contains("x-end: 2") && got.ends_with("\r\n\r\nok"), "{got}");
    });
}

#[test]
fn r085_an_answer_whose_end_is_ambiguous_is_a_502() {
    run(async {
        for framing in [
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "Content-Length: two\r\n\r\nok",
            "Content-Length: -2\r\n\r\nok",
            "Content-Length: 99999999999999999999\r\n\r\nok",
            "Transfer-Encoding: gzip\r\n\r\nok",
            "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ] {
            let got = answer_to_get(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
            assert_eq!(status_of(&got), 502, "{framing:?} gave {got}");
            assert!(got.contains("bearward; error=http_protocol_error"), "{got}");
        }
        let got =
            answer_to_get("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(got.to_lowercase().matches("content-length: 2\r\n").count(), 1, "{got}");
        assert_eq!(got.to_lowercase().matches("content-length").count(), 1, "{got}");
    });
}

#[test]
fn r086_r087_broken_heads_never_reach_the_application() {
    run(async {
        for line in ["X-Fold: a\r\n b", "X-Nul: a\0b", "X-Cr: a\rb: c", "no colon", ": no name", "X Space: 1"]
        {
            let got =
                answer_to_get(format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 2\r\n\r\nok")).await;
            assert_eq!(status_of(&got), 502, "{line:?} gave {got:?}");
        }
        let got = answer_to_get("HTTP/1.1 200 OK\r\nX-Spaced : 1\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(got.contains("X-Spaced: 1\r\n"), "white space before the colon is taken off: {got}");
        for rubbish in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 OK\r\n\r\n"] {
            assert_eq!(status_of(&answer_to_get(rubbish).await), 502, "{rubbish:?}");
        }
    });
}

#[test]
fn r088_a_cut_body_is_visible_as_cut() {
    run(async {
        let got = answer_and_close("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        assert!(got.to_lowercase().contains("content-length: 10") && got.ends_with("\r\n\r\nhalf"), "{got}");
        let got =
            answer_and_close("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        assert!(got.contains("half") && !got.ends_with("0\r\n\r\n"), "{got}");
    });
}

#[test]
fn r089_what_ends_with_the_connection_is_sent_on_in_chunks() {
    run(async {
        for version in ["1.0", "1.1"] {
            let got = answer_and_close(format!("HTTP/{version} 200 OK\r\n\r\nto the end")).await;
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "r075: {got}");
            assert!(got.contains("transfer-encoding: chunked") && got.ends_with("\r\n0\r\n\r\n"), "{got}");
        }
    });
}

#[test]
fn r090_octets_after_an_answer_are_never_taken_for_the_next_one() {
    run(async {
        let extra =
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
        let (origin, seen) =
            Origin::answering(move |number, _| if number == 0 { extra.into() } else { ok() }).await;
        let proxy = Proxy::to(&origin).await;
        for _ in 0..3 {
            assert!(proxy.get("/").await.ends_with("\r\n\r\nok"));
        }
        assert_eq!(
            seen.connections.get(),
            2,
            "the connection with the extra octets was dropped, the next one kept"
        );
    });
}

#[test]
fn r072_answers_without_content_have_none() {
    run(async {
        for head in
            ["204 No Content\r\n", "304 Not Modified\r\nETag: \"1\"\r\n", "200 OK\r\nContent-Length: 0\r\n"]
        {
            let got = answer_to_get(format!("HTTP/1.1 {head}\r\n")).await;
            assert!(got.ends_with("\r\n\r\n"), "{got}");
        }
        let (origin, seen) =
            Origin::answering(|_, _| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()).await;
        let proxy = Proxy::to(&origin).await;
        for _ in 0..2 {
            let got = proxy.ask("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
            assert!(got.contains("Content-Length: 5\r\n") && got.ends_with("\r\n\r\n"), "{got}");
        }
        assert_eq!(seen.connections.get(), 1, "nothing was waited for, the connection is used again");
    });
}

#[test]
fn r092_a_huge_head_is_a_502() {
    run(async {
        let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
        let long = format!("X-Long: {}\r\n", "a".repeat(100_000));
        for fields in [many, long] {
            let got = answer_to_get(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n")).await;
            assert_eq!(status_of(&got), 502, "{}", &got[..got.len().min(300)]);
            assert!(got.contains("http_response_header_section_size"));
        }
    });
}

#[test]
fn r071_r115_interim_answers_go_on_but_not_for_ever() {
    run(async {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
        let (origin, _) = Origin::answering(move |_, _| [hint.repeat(16).into_bytes(), ok()].concat()).await;
        let proxy = Proxy::to(&origin).await;
        let got = proxy.get("/").await;
        let passed = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(16);
        let answer = got.strip_prefix(&*passed).unwrap_or_else(|| panic!("{got}"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{got}");
        let got = proxy.ask("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "1.0 knows none: {got}");

        let origin = Origin::with(|_, mut wire| async move {
            wire.request().await;
            for _ in 0..40 {
                wire.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            wire.rest().await;
        })
        .await;
        let got = Proxy::to(&origin).await.get("/").await;
        assert!(got.contains("HTTP/1.1 502 ") && got.contains("more than 16 interim answers"), "{got}");
    });
}

#[test]
fn a_switch_of_protocols_nobody_asked_for_is_a_502() {
    run(async {
        let got =
            answer_to_get("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
                .await;
        assert_eq!(status_of(&got), 502, "{got}");
    });
}

#[test]
fn r093_a_connection_that_was_closed_meanwhile_costs_nothing_but_another_one() {
    run(async {
        let served = Rc::new(Cell::new(0));
        let count = Rc::clone(&served);
        let origin = Origin::with(move |_, mut wire| {
            let count = Rc::clone(&count);
            async move {
                if wire.request().await.is_some() {
                    count.set(count.get() + 1);
                    wire.say(ok()).await;
                }
            }
        })
        .await;
        let proxy = Proxy::to(&origin).await;
        for _ in 0..5 {
            let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
            assert_eq!(status_of(&proxy.ask(post).await), 200);
        }
        assert_eq!(served.get(), 5, "each request was served once");
    });
}

#[test]
fn r093_an_idle_connection_is_closed_in_time() {
    run(async {
        let closed = Rc::new(tokio::sync::Notify::new());
        let notify = Rc::clone(&closed);
        let origin = Origin::with(move |_, mut wire| {
            let notify = Rc::clone(&notify);
            async move {
                wire.request().await;
                wire.say(ok()).await;
                wire.rest().await;
                notify.notify_one();
            }
        })
        .await;
        let mut short = settings();
        short.connections.idle_timeout = Duration::from_millis(100);
        let proxy = Proxy::at(Entry::One(route_to(origin.port, short, None))).await;
        assert_eq!(status_of(&proxy.get("/").await), 200);
        closed.notified().await;
    });
}

#[test]
fn r094_a_connection_that_is_too_old_is_not_used_again() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let mut short = settings();
        short.connections.greatest_age = Duration::ZERO;
        let proxy = Proxy::at(Entry::One(route_to(origin.port, short, None))).await;
        proxy.get("/").await;
        proxy.get("/").await;
        assert_eq!(seen.connections.get(), 2);
    });
}

#[test]
fn connections_are_used_again_one_after_the_other() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let proxy = Proxy::to(&origin).await;
        for _ in 0..10 {
            proxy.get("/").await;
        }
        assert_eq!((seen.count(), seen.connections.get()), (10, 1));
    });
}

#[test]
fn r091_an_early_final_answer_reaches_the_application_during_its_upload() {
    run(async {
        let origin = Origin::with(|_, mut wire| async move {
            wire.head().await;
            wire.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
                .await;
            // The connection is closed with octets unread: the upload meets a reset.
        })
        .await;
        let proxy = Proxy::to(&origin).await;
        for _ in 0..5 {
            let mut wire = proxy.connect().await;
            wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n").await;
            wire.say(vec![b'x'; 200_000]).await;
            let head = wire.head().await;
            assert!(head.starts_with("HTTP/1.1 413"), "{head}");
            assert_eq!(wire.octets(4).await, b"much");
        }
    });
}

#[test]
fn r082_nobody_there_is_a_502_and_slowness_a_504() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let got = Proxy::at(Entry::One(route_to(port, settings(), None))).await.get("/").await;
        assert_eq!(status_of(&got), 502);
        assert!(
            got.contains("bearward; error=connection_refused") && got.contains("\"upstream\":\"api\""),
            "{got}"
        );

        let origin = Origin::with(|_, mut wire| async move {
            wire.rest().await;
        })
        .await;
        let mut hasty = settings();
        hasty.response_timeout = Duration::from_millis(100);
        let got = Proxy::at(Entry::One(route_to(origin.port, hasty, None))).await.get("/").await;
        assert_eq!(status_of(&got), 504);
        assert!(got.contains("bearward; error=http_response_timeout"), "{got}");
    });
}

#[test]
fn r111_an_answer_that_stands_still_is_cut() {
    run(async {
        let origin = Origin::with(|_, mut wire| async move {
            wire.request().await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            wire.rest().await;
        })
        .await;
        let mut hasty = settings();
        hasty.body_timeout = Duration::from_millis(100);
        let got = Proxy::at(Entry::One(route_to(origin.port, hasty, None))).await.get("/").await;
        assert!(got.ends_with("\r\n\r\nhalf"), "{got}");
    });
}

#[test]
fn a_stream_of_unknown_length_may_be_silent_for_as_long_as_it_likes() {
    run(async {
        let origin = Origin::with(|_, mut wire| async move {
            wire.request().await;
            wire.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwait\r\n").await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            wire.say("3\r\nfor\r\n0\r\n\r\n").await;
            wire.rest().await;
        })
        .await;
        let mut hasty = settings();
        hasty.body_timeout = Duration::from_millis(50);
        let got = Proxy::at(Entry::One(route_to(origin.port, hasty, None))).await.get("/").await;
        assert!(got.ends_with("3\r\nfor\r\n0\r\n\r\n"), "{got}");
    });
}

#[test]
fn r007_a_redirect_is_the_applications_to_follow() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| {
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n".to_vec()
        })
        .await;
        let got = Proxy::to(&origin).await.get("/").await;
        assert!(
            got.starts_with("HTTP/1.1 302") && got.contains("Location: http://elsewhere.example/"),
            "{got}"
        );
        assert_eq!(seen.count(), 1);
    });
}

#[test]
fn r118_after_a_connection_error_a_post_is_never_sent_again_and_a_get_once() {
    run(async {
        for (method, sendings) in [("POST", 1), ("PATCH", 1), ("GET", 2), ("PUT", 2), ("DELETE", 2)] {
            let received = Rc::new(Cell::new(0));
            let count = Rc::clone(&received);
            let origin = Origin::with(move |_, mut wire| {
                let count = Rc::clone(&count);
                async move {
                    if wire.request().await.is_some() {
                        count.set(count.get() + 1);
                    }
                }
            })
            .await;
            let proxy = Proxy::to(&origin).await;
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
            );
            let got = proxy.ask(request).await;
            assert_eq!((status_of(&got), received.get()), (502, sendings), "{method}: {got}");
            assert!(got.contains("bearward; error=connection_terminated"), "{got}");
            assert_eq!(proxy.budget.left(), 1 << 20, "r113: what was held is given back");
        }
    });
}

#[test]
fn r111_an_answer_that_is_slow_but_moves_is_not_cut() {
    run(async {
        let origin = Origin::with(|_, mut wire| async move {
            wire.request().await;
            wire.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").await;
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                wire.say("x").await;
            }
        })
        .await;
        let mut hasty = settings();
        hasty.body_timeout = Duration::from_millis(500);
        let got = Proxy::at(Entry::One(route_to(origin.port, hasty, None))).await.get("/").await;
        assert!(got.ends_with("\r\n\r\nxxxxxxxx"), "{got}");
    });
}
