//! What rejects a token, and what only looks like it.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures_util::future::join_all;
use http::StatusCode;

use super::{support::*, tokens::*};
use crate::proxy::{Entry, rejection::Rule};

#[test]
fn r119_r121_a_second_rejection_reaches_the_application_and_hammers_nobody() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(usize::MAX))).await;
        let proxy =
            bench.proxy(&origin, |settings| settings.token_timeout = Duration::from_millis(300)).await;
        let got = proxy.ask(post("abc")).await;
        assert!(
            got.starts_with("HTTP/1.1 401 Unauthorized\r\n") && got.contains("X-Api: inventorum\r\n"),
            "{got}"
        );
        assert!(got.ends_with(INVENTORUM), "{got}");
        assert_eq!((seen.count(), bench.token_requests()), (2, 2));
        for answer in join_all((0..50).map(|_| proxy.get("/"))).await {
            assert!(matches!(status_of(&answer), 401 | 503 | 504), "{answer}");
        }
        assert!(bench.token_requests() <= 5, "{} token requests", bench.token_requests());
        let later = seen.requests.borrow()[2..].iter().map(|(head, _)| token_of(head)).min();
        assert!(later.is_none_or(|token| token > 2), "the second token was dropped too");
    });
}

#[test]
fn json_that_does_not_say_so_rejects_a_token_too() {
    run(async {
        let (origin, seen) = Origin::answering(|request, _| match request {
            0 => answer("401 Unauthorized", "", INVENTORUM),
            _ => answer("200 OK", "", "done"),
        })
        .await;
        let bench = Bench::new();
        let got = bench.proxy(&origin, |_| {}).await.get("/").await;
        assert_eq!((status_of(&got), seen.count(), bench.token_requests()), (200, 2, 2), "{got}");
    });
}

#[test]
fn r120_what_only_looks_like_a_rejection_passes_byte_for_byte_without_a_second_sending() {
    run(async {
        let json = "Content-Type: application/json\r\n";
        let scope = r#"{"error":{"fields":{},"description":"Scope","key":"scope.wrong"}}"#;
        let megabyte = format!(r#"{{"error":{{"key":"token.invalid"}},"pad":"{}"}}"#, "x".repeat(1 << 20));
        let cases = [
            answer("401 Unauthorized", json, scope),
            answer("403 Forbidden", json, scope),
            answer("403 Forbidden", json, INVENTORUM),
            answer("500 Internal Server Error", json, INVENTORUM),
            answer("200 OK", json, INVENTORUM),
            answer("429 Too Many Requests", json, INVENTORUM),
            answer("401 Unauthorized", "Content-Type: text/html\r\n", "<h1>token.invalid</h1>"),
            answer("401 Unauthorized", "Content-Type: text/plain\r\n", INVENTORUM),
            answer("401 Unauthorized", "", ""),
            answer("401 Unauthorized", json, ""),
            answer("401 Unauthorized", json, &megabyte),
            answer("401 Unauthorized", json, "{\"error\":{\"key\":\"token.invalid\"}"),
            answer("401 Unauthorized", json, r#"{"error":"token.invalid"}"#),
            answer("401 Unauthorized", json, r#"{"error":{"key":["token.invalid"]}}"#),
            answer("401 Unauthorized", &format!("{json}Content-Encoding: gzip\r\n"), INVENTORUM),
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"invalid_token\"\r\n", ""),
            answer("401 Unauthorized", "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n", ""),
            answer("403 Forbidden", "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", ""),
            answer("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"a, error=\\\"invalid_token\\\"\"\r\n", "x"),
            format!("HTTP/1.1 401 Unauthorized\r\n{json}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n3\r\n 1}}\r\n0\r\n\r\n")
                .into_bytes(),
            format!("HTTP/1.1 401 Unauthorized\r\n{json}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        ];
        for sent in cases {
            let bench = Bench::new();
            let expected = sent.clone();
            let (origin, seen) = Origin::answering(move |_, _| sent.clone()).await;
            let proxy = bench.proxy(&origin, |_| {}).await;
            let got = proxy.ask(post("abc")).await;
            assert_unchanged(&expected, &got);
            assert_eq!((seen.count(), bench.token_requests()), (1, 1), "{}", &got[..got.len().min(400)]);
        }
    });
}

#[test]
fn r117_challenges_that_reject_the_token_in_every_spelling() {
    run(async {
        for challenge in [
            r#"Bearer error="invalid_token""#,
            r#"bearer realm="a, b", error=invalid_token, error_description="x""#,
            r#"Basic realm="x", Bearer realm="y" , ERROR = "invalid_token""#,
            r#"Digest nonce="a\", b", Bearer error="invalid\_token""#,
            "Negotiate abc==, Bearer error=\"invalid_token\"",
            "Basic realm=x\r\nWWW-Authenticate: BEARER error=\"invalid_token\"",
        ] {
            let bench = Bench::new();
            let fields = format!("WWW-Authenticate: {challenge}\r\n");
            let (origin, seen) = Origin::answering(move |_, head| {
                if token_of(head) == 1 { answer("401 Unauthorized", &fields, &"y".repeat(100)) } else { ok() }
            })
            .await;
            let proxy = bench.proxy(&origin, |_| {}).await;
            assert_eq!((status_of(&proxy.get("/").await), seen.count()), (200, 2), "{challenge}");
            assert_eq!(seen.connections.get(), 1, "a connection whose answer nobody wanted is used again");
        }
    });
}

#[test]
fn a_head_request_is_judged_by_its_challenge_alone() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = Origin::answering(|_, head| {
            let fields =
                if head.contains("/c") { "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n" } else { "" };
            let status = if token_of(head) == 1 { "401 Unauthorized" } else { "200 OK" };
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: 80\r\n\r\n"
            )
            .into()
        })
        .await;
        let proxy = bench.proxy(&origin, |_| {}).await;
        let head = |path: &str| format!("HEAD {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!((status_of(&proxy.ask(head("/b")).await), seen.count()), (401, 1));
        assert_eq!((status_of(&proxy.ask(head("/c")).await), seen.count()), (200, 3));
    });
}

#[test]
fn rules_are_per_upstream_and_never_means_never() {
    run(async {
        let any = vec![Rule::Any401];
        let forbidden = vec![Rule::Body {
            status: StatusCode::FORBIDDEN,
            pointer: "/code".to_owned(),
            equals: "dead".to_owned(),
        }];
        let dead = answer(
            "403 Forbidden",
            "Content-Type: application/problem+json; charset=utf-8\r\n",
            r#"{"code":"dead"}"#,
        );
        for (rules, sent, sendings) in [
            (any.clone(), answer("401 Unauthorized", "", "<p>"), 2),
            (any, answer("401 Unauthorized", "WWW-Authenticate: Bearer error=insufficient_scope\r\n", ""), 1),
            (forbidden, dead, 2),
            (Vec::new(), rejection(), 1),
        ] {
            let bench = Bench::new();
            let (origin, seen) =
                Origin::answering(move |_, head| if token_of(head) == 1 { sent.clone() } else { ok() }).await;
            let proxy = bench.proxy(&origin, |settings| settings.token_invalid = rules).await;
            proxy.get("/").await;
            assert_eq!(seen.count(), sendings);
        }
    });
}

#[test]
fn r014_r015_r017_exactly_one_credential_goes_out_and_only_in_its_field() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = api(Rc::new(Cell::new(1))).await;
        let proxy = bench.proxy(&origin, |settings| settings.keep_authorization = true).await;
        let request = "GET /x HTTP/1.1\r\nHost: h\r\nauthorization: Bearer mine\r\nConnection: close, authorization\r\n\
                       Authorization: Basic eDp5\r\n\r\n";
        assert_eq!(status_of(&proxy.ask(request).await), 200);
        let head = seen.head(0);
        assert_eq!(head.to_lowercase().matches("authorization").count(), 1, "{head}");
        assert_eq!(head.matches("t1").count(), 1, "{head}");
        assert!(!head.contains("mine") && !head.contains("eDp5"), "{head}");
    });
}

#[test]
fn a_subject_gets_its_own_token_and_its_field_stays_behind() {
    run(async {
        let bench = Bench::new();
        let (origin, seen) = Origin::answering(|_, _| ok()).await;
        let route = route_to(origin.port, settings(), Some(bench.subjects()));
        let proxy = Proxy::at(Entry::One(route)).await;
        let ask = |fields: String| {
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n");
            proxy.ask(request)
        };
        for subject in ["anna", "bert", "anna"] {
            assert_eq!(status_of(&ask(format!("X-Bearward-Subject: {subject}\r\n")).await), 200);
        }
        assert_eq!([0, 1, 2].map(|number| token_of(&seen.head(number))), [1, 2, 1]);
        assert_eq!(*bench.grant.subjects.lock().unwrap(), ["anna", "bert"]);
        assert!(!seen.head(0).to_lowercase().contains("subject"));
        for wrong in [
            String::new(),
            "X-Bearward-Subject:\r\n".to_owned(),
            "X-Bearward-Subject: a b\r\n".to_owned(),
            "X-Bearward-Subject: \u{e9}\r\n".to_owned(),
            "X-Bearward-Subject: a\r\nX-Bearward-Subject: a\r\n".to_owned(),
            format!("X-Bearward-Subject: {}\r\n", "a".repeat(257)),
        ] {
            let got = ask(wrong.clone()).await;
            assert_eq!(status_of(&got), 400, "{wrong}: {got}");
        }
        assert_eq!(seen.count(), 3);
    });
}
