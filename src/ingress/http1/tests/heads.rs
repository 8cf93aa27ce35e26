//! Heads: what is answered to a good and to a bad one.

use super::*;

#[test]
fn r055_pipelined_requests_are_answered_in_order_and_none_behind_an_error() {
    local(async {
        let one = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let two = "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n";
        let bad = "GET /3 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
        let answers = said(format!("{one}{two}{GET}{bad}{GET}")).await;
        let places: Vec<_> = ["</1 abc>", "</2 de>", "</ >", "HTTP/1.1 400 "]
            .iter()
            .map(|text| answers.find(text).expect(text))
            .collect();
        assert!(places.is_sorted(), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 4, "{answers}");
        assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    });
}

#[test]
fn r031_r044_r051_r052_r114_a_head_of_which_no_request_can_be_made_is_answered_and_ends_the_connection() {
    local(async {
        for (head, status) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            (&*format!("GET /{} HTTP/1.1\r\n", "a".repeat(LIMITS.head_size)), 414),
            (&*format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(LIMITS.head_fields)), 431),
        ] {
            let answers = said(format!("{head}{GET}")).await;
            assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answers}");
            assert_eq!(answers.matches("\r\n\r\n").count(), 1, "{head}: {answers}");
            assert!(answers.contains("connection: close\r\n"), "{answers}");
            assert!(answers.contains("content-type: application/problem+json"), "{answers}");
        }
    });
}

#[test]
fn r030_names_with_underscores_can_be_refused() {
    local(async {
        for (refuse_underscores, status) in [(false, 200), (true, 400)] {
            let (mut ours, theirs) = tokio::io::duplex(1 << 10);
            let limits = Limits { refuse_underscores, ..LIMITS };
            spawn_local(async move { serve(Stream::Memory(theirs), &limits, echo, Drain::new()).await });
            ours.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let answer = rest(&mut ours).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    });
}

#[test]
fn r072_a_refused_head_is_answered_without_content() {
    local(async {
        for request in ["HEAD / HTTP/1.1\r\n\r\n", "HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let answer = said(request).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        }
    });
}
