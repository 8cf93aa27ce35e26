//! What goes on of an application's request, and what its body may do.

use std::{cell::RefCell, rc::Rc, time::Duration};

use http::{HeaderName, HeaderValue, header};

use super::{support::*, tokens::*};
use crate::proxy::{Entry, Settings};

async fn seen_of(request: impl AsRef<[u8]>, change: impl FnOnce(&mut Settings)) -> (String, Vec<u8>, String) {
    let (origin, seen) = Origin::answering(|_, _| ok()).await;
    let mut settings = settings();
    change(&mut settings);
    let proxy = Proxy::at(Entry::One(route_to(origin.port, settings, None))).await;
    let answer = proxy.ask(request).await;
    assert_eq!(seen.count(), 1, "{answer}");
    (seen.head(0), seen.body(0), answer)
}

#[test]
fn r061_what_connection_names_stays_behind_beside_octets_that_are_no_text() {
    run(async {
        let request =
            "GET / HTTP/1.1\r\nHost: localhost:1\r\nConnection: close, \u{e9}, x-hop\r\nX-Hop: 1\r\n\r\n";
        let (head, _, _) = seen_of(request, |_| {}).await;
        assert!(!head.to_lowercase().contains("x-hop"), "{head}");
    });
}

#[test]
fn r061_r062_r073_fields_pass_in_order_and_hop_by_hop_ones_do_not() {
    run(async {
        let (head, _, _) = seen_of(
            "GET /a%2Fb/../c?x=%20;y HTTP/1.1\r\nHost: localhost:1\r\nX-One: 1\r\nConnection: close, x-hop, TE\r\n\
             X-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAA\r\nProxy-Authorization: Basic eDp5\r\nExpect: 100-continue\r\nx-TWO: 2\r\n\
             Accept-Encoding: gzip, br\r\nX-One: 3\r\nX-Unknown-Field: y\r\n\r\n",
            |_| {},
        )
        .await;
        assert!(
            head.starts_with("GET /a%2Fb/../c?x=%20;y HTTP/1.1\r\nHost: 127.0.0.1:"),
            "r013, r080: {head}"
        );
        let lower = head.to_lowercase();
        for gone in
            ["x-hop", "keep-alive", "proxy-", "\r\nte:", "upgrade", "http2-settings", "expect", "connection:"]
        {
            assert!(!lower.contains(gone), "{gone} passed: {head}");
        }
        assert!(lower.contains("\r\nvia: 1.1 bearward-"), "r064: {head}");
        let order = ["X-One: 1\r\n", "x-TWO: 2\r\n", "Accept-Encoding: gzip, br\r\n", "X-One: 3\r\n"];
        let at: Vec<_> =
            order.iter().map(|line| head.find(line).unwrap_or_else(|| panic!("{line}: {head}"))).collect();
        assert!(at.is_sorted(), "{head}");
    });
}

#[test]
fn r014_the_applications_credential_goes_on_only_where_that_is_configured() {
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eDp5\r\nConnection: close\r\n\r\n";
        let (head, _, _) = seen_of(request, |_| {}).await;
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
        let (head, _, _) = seen_of(request, |settings| settings.keep_authorization = true).await;
        assert_eq!(head.matches("Authorization: Basic eDp5\r\n").count(), 1, "{head}");
        let twice = request.replace("Connection", "Authorization: Bearer stolen\r\nConnection");
        let (head, _, _) = seen_of(twice, |settings| settings.keep_authorization = true).await;
        assert_eq!(head.to_lowercase().matches("authorization").count(), 1, "{head}");
    });
}

#[test]
fn r014_there_is_one_credential_whatever_is_configured_and_whatever_connection_names() {
    run(async {
        let configured = |settings: &mut Settings| {
            settings.headers = vec![(header::AUTHORIZATION, HeaderValue::from_static("Basic configured"))];
        };
        let ask = |fields: &str| {
            format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}Connection: close, authorization\r\n\r\n")
        };
        let own = ask("authorization: Basic own\r\nX-After: 1\r\n");
        for (request, keeps, expected) in [
            (&ask(""), false, "Basic configured"),
            (&ask(""), true, "Basic configured"),
            (&own, false, "Basic configured"),
            (&own, true, "Basic own"),
        ] {
            let change = |settings: &mut Settings| {
                configured(settings);
                settings.keep_authorization = keeps;
            };
            let (head, _, _) = seen_of(request, change).await;
            let head = head.to_lowercase();
            assert_eq!(head.matches("authorization:").count(), 1, "{head}");
            assert!(head.contains(&format!("\r\nauthorization: {}\r\n", expected.to_lowercase())), "{head}");
        }
        // A configuration may spell one name in two ways.
        let twice = |settings: &mut Settings| {
            configured(settings);
            settings.headers.push((header::AUTHORIZATION, HeaderValue::from_static("Basic another")));
        };
        let (head, _, _) = seen_of(&ask(""), twice).await;
        assert!(head.contains("authorization: Basic configured\r\n") && !head.contains("another"), "{head}");
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let proxy = Bench::new().proxy(&origin, configured).await;
        proxy.ask(&own).await;
        let head = seen.head(0).to_lowercase();
        assert!(
            head.matches("authorization:").count() == 1 && head.contains("authorization: bearer t1\r\n"),
            "{head}"
        );
    });
}

#[test]
fn r014_r073_a_credential_of_its_own_goes_on_as_it_came() {
    run(async {
        let request = "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nAUTHORIZATION: Basic own\r\nB: 2\r\nConnection: close\r\n\r\n";
        let (head, _, _) = seen_of(request, |settings| settings.keep_authorization = true).await;
        assert!(head.contains("\r\nA: 1\r\nAUTHORIZATION: Basic own\r\nB: 2\r\n"), "{head}");
    });
}

#[test]
fn configured_fields_are_added_where_the_application_sent_none_and_its_host_is_kept_on_demand() {
    run(async {
        let change = |settings: &mut Settings| {
            settings.headers = vec![
                (HeaderName::from_static("accept"), HeaderValue::from_static("application/json")),
                (HeaderName::from_static("x-extra"), HeaderValue::from_static("1")),
            ];
            settings.base = "/v3".to_owned();
            settings.preserve_host = true;
        };
        let request = "GET /x?q HTTP/1.1\r\nHost: own.example\r\nAccept: */*\r\nConnection: close\r\n\r\n";
        let (head, _, _) = seen_of(request, change).await;
        assert!(head.starts_with("GET /v3/x?q HTTP/1.1\r\nHost: own.example\r\n"), "{head}");
        assert!(head.contains("Accept: */*\r\n") && !head.contains("application/json"), "{head}");
        assert!(head.contains("x-extra: 1\r\n"), "{head}");
    });
}

#[test]
fn r064_an_earlier_via_is_kept_and_1_0_is_named() {
    run(async {
        let (head, _, _) = seen_of("GET / HTTP/1.0\r\nHost: h\r\nVia: 1.1 first\r\n\r\n", |_| {}).await;
        let lower = head.to_lowercase();
        assert!(lower.find("via: 1.1 first").unwrap() < lower.find("via: 1.0 bearward").unwrap(), "{head}");
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "r075: its own version per hop: {head}");
    });
}

#[test]
fn r059_bodies_keep_their_framing_whatever_the_method() {
    run(async {
        for method in ["GET", "DELETE", "OPTIONS", "POST"] {
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
            );
            let (head, body, _) = seen_of(request, |_| {}).await;
            assert!(head.contains("Content-Length: 3\r\n") && body == b"abc", "{head}");
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            );
            let (head, body, _) = seen_of(request, |_| {}).await;
            assert_eq!(head.to_lowercase().matches("transfer-encoding: chunked\r\n").count(), 1, "{head}");
            assert_eq!(body, b"3\r\nabc\r\n0\r\n\r\n");
        }
        let (head, _, _) =
            seen_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", |_| {})
                .await;
        assert!(head.contains("Content-Length: 0\r\n") && !head.to_lowercase().contains("chunked"), "{head}");
    });
}

#[test]
fn r018_trailers_pass_but_not_those_that_decide_anything() {
    run(async {
        let origin = Origin::with(|_, mut wire| async move {
            wire.head().await;
            let mut body = String::new();
            while !body.ends_with("\r\n\r\n") {
                body.push_str(&String::from_utf8(wire.octets(1).await).unwrap());
            }
            wire.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        })
        .await;
        let got = Proxy::to(&origin)
            .await
            .ask(
                "POST / HTTP/1.1\r\nHost: h\r\nTrailer: x-sum, authorization, host\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\nAuthorization: Bearer mine\r\nHost: evil\r\n\r\n",
            )
            .await
            .to_lowercase();
        assert!(got.contains("x-sum: 7"), "{got}");
        assert!(!got.contains("bearer mine") && !got.contains("host: evil"), "{got}");
    });
}

#[test]
fn r069_an_expectation_is_answered_and_another_one_refused() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let proxy = Proxy::to(&origin).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n").await;
        assert!(wire.head().await.starts_with("HTTP/1.1 100"));
        wire.say("abc").await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
        assert_eq!(seen.body(0), b"abc");
        let got = proxy.ask("GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\nConnection: close\r\n\r\n").await;
        assert_eq!((status_of(&got), seen.count()), (417, 1), "r070");
    });
}

#[test]
fn r057_r058_a_body_that_is_cut_or_broken_is_the_applications_fault() {
    run(async {
        let received = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&received);
        let origin = Origin::with(move |_, mut wire| {
            let log = Rc::clone(&log);
            async move {
                wire.head().await;
                let rest = wire.rest().await;
                log.borrow_mut().push(rest);
            }
        })
        .await;
        let proxy = Proxy::to(&origin).await;
        let broken = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZ\r\n";
        let got = proxy.ask(broken).await;
        assert_eq!(status_of(&got), 400, "{got}");
        assert!(got.contains("bearward; error=http_request_error"), "{got}");
        while received.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*received.borrow(), [b"3\r\nabc\r\n"], "r057: the upstream must not see it completed");
    });
}

/// Whatever went on behind it would be read as what is missing.
#[test]
fn r057_a_body_that_ends_early_ends_the_upstreams_connection_too() {
    run(async {
        let received = Rc::new(RefCell::new(None));
        let begun = Rc::new(tokio::sync::Notify::new());
        let (log, tell) = (Rc::clone(&received), Rc::clone(&begun));
        let origin = Origin::with(move |_, mut wire| {
            let (log, tell) = (Rc::clone(&log), Rc::clone(&tell));
            async move {
                if wire.head().await.starts_with("GET") {
                    wire.say(ok()).await;
                    return;
                }
                tell.notify_one();
                *log.borrow_mut() = Some(wire.rest().await);
            }
        })
        .await;
        let proxy = Proxy::to(&origin).await;
        let mut wire = proxy.connect().await;
        wire.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70\r\n\r\nabc").await;
        begun.notified().await;
        drop(wire);
        assert_eq!(status_of(&proxy.get("/next").await), 200);
        while received.borrow().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(received.take().as_deref(), Some(&b"abc"[..]));
    });
}

#[test]
fn r111_a_body_that_stands_still_is_a_408() {
    run(async {
        let origin = Origin::with(|_, mut wire| async move {
            wire.rest().await;
        })
        .await;
        let mut hasty = settings();
        hasty.body_timeout = Duration::from_millis(200);
        hasty.response_timeout = Duration::from_millis(50);
        let proxy = Proxy::at(Entry::One(route_to(origin.port, hasty, None))).await;
        let got =
            proxy.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\na").await;
        assert_eq!(status_of(&got), 408, "an application that sends slowly is not a slow upstream: {got}");
    });
}

#[test]
fn r016_what_this_version_does_not_do_is_refused_aloud() {
    run(async {
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let proxy = Proxy::to(&origin).await;
        for request in [
            "TRACE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nConnection: close\r\n\r\n",
        ] {
            let got = proxy.ask(request).await;
            assert_eq!(status_of(&got), 501, "{got}");
            assert!(got.contains("application/problem+json"));
        }
        assert_eq!(seen.count(), 0);
    });
}

#[test]
fn r124_a_long_body_streams_both_ways_and_is_not_kept() {
    run(async {
        const LEN: usize = 20 << 20;
        let origin = Origin::with(|_, mut wire| async move {
            wire.head().await;
            wire.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n")).await;
            for _ in 0..LEN / (64 << 10) {
                let piece = wire.octets(64 << 10).await;
                wire.say(piece).await;
            }
        })
        .await;
        let proxy = Proxy::to(&origin).await;
        let mut wire = proxy.connect().await;
        wire.say(format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {LEN}\r\n\r\n")).await;
        let mut head = String::new();
        for number in 0..LEN / (64 << 10) {
            let piece = vec![number as u8; 64 << 10];
            wire.say(&piece).await;
            if head.is_empty() {
                head = wire.head().await;
            }
            assert_eq!(wire.octets(64 << 10).await, piece, "the echo comes while the upload is under way");
        }
        assert_eq!(proxy.budget.left(), 1 << 20);
    });
}

#[test]
fn r001_r003_a_target_that_names_another_host_still_goes_to_the_configured_origin() {
    run(async {
        let request = "GET http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
        let (head, _, _) = seen_of(request, |_| {}).await;
        assert!(head.starts_with("GET /x HTTP/1.1\r\nHost: 127.0.0.1:"), "{head}");
        assert!(!head.contains("evil"), "{head}");
    });
}
