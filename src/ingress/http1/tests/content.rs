//! A request's content: when it is asked for, when it is read, and when it is thrown away.

use super::*;

#[test]
fn r038_r040_r058_content_that_breaks_its_framing_is_an_error_and_ends_the_connection() {
    local(async {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for content in [
            "x\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\na\r\n0\r\n\r\n",
            "0\r\na b\r\n\r\n",
            "ffffffffffffffffff\r\n",
        ] {
            let answers = said(format!("{head}{content}{GET}")).await;
            assert!(answers.starts_with("HTTP/1.1 400 "), "{content}: {answers}");
            assert!(answers.contains("connection: close\r\n"), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{content}: {answers}");
        }
        for cut in ["3\r\nab", "3\r\nabc\r\n", "0\r\n"] {
            assert!(said(format!("{head}{cut}")).await.starts_with("HTTP/1.1 400 "), "{cut}");
        }
        let short = said("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc").await;
        assert!(
            short.starts_with("HTTP/1.1 400 ") && short.contains("x-error: the connection ended"),
            "{short}"
        );
    });
}

#[test]
fn r069_a_100_is_sent_when_the_content_is_wanted_and_not_before() {
    local(async {
        let wanted = Rc::new(Notify::new());
        let wants = wanted.clone();
        let mut stream = serving(move |request| {
            let wants = wants.clone();
            async move {
                wants.notified().await;
                echo(request).await
            }
        });
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            .await
            .unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let mut none = [0; 1];
        assert!(futures_util::FutureExt::now_or_never(stream.read(&mut none)).is_none(), "too early");
        wanted.notify_one();
        assert_eq!(until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"abc").await.unwrap();
        assert!(until(&mut stream, "</ abc>").await.starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn r069_r076_no_100_goes_to_who_sends_its_content_at_once_or_speaks_http_1_0() {
    local(async {
        for (version, persists) in [("1.1", true), ("1.0", false)] {
            let head = format!(
                "POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
            );
            let answers = said(format!("{head}abc{GET}")).await;
            assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("</ abc>"), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), if persists { 2 } else { 1 }, "{answers}");
        }
    });
}

#[test]
fn r069_a_final_answer_instead_of_a_100_ends_the_connection() {
    local(async {
        let mut stream = serving(|_| async { Answer::new(Any::whole("no")) });
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            .await
            .unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
    });
}

#[test]
fn r056_a_little_content_that_nobody_read_is_thrown_away_and_much_ends_the_connection() {
    local(async {
        for (length, answered) in [(64 << 10, 2), ((64 << 10) + 1, 1)] {
            let mut stream = serving(|_| async { Answer::new(Any::whole("read not")) });
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &vec![b'.'; length], GET.as_bytes()].concat()).await.unwrap();
            stream.shutdown().await.unwrap();
            let answers = rest(&mut stream).await;
            assert_eq!(answers.matches("HTTP/1.1 200").count(), answered, "{length}: {answers}");
        }
        let mut stream = serving(|_| async { Answer::new(Any::whole("read not")) });
        let chunk = format!("1000\r\n{}\r\n", ".".repeat(0x1000));
        let chunks = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(18)
        );
        stream.write_all(format!("{chunks}{GET}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await.matches("HTTP/1.1 200").count(), 1);
    });
}

#[test]
fn r111_content_that_nobody_wants_must_come_in_time() {
    paused(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        let done = spawn_local(async move {
            let service = |_| async { Answer::new(Any::whole("read not")) };
            serve(Stream::Memory(theirs), &LIMITS, service, Drain::new()).await;
        });
        ours.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        done.await.unwrap();
    });
}

#[test]
fn content_that_outlives_its_request_is_nobody_elses() {
    local(async {
        let kept = Rc::new(Cell::new(None));
        let keep = kept.clone();
        let mut stream = serving(move |request: Request<Incoming>| {
            let keep = keep.clone();
            async move {
                let mut content = request.content;
                while let Some(Ok(_)) = content.frame().await {}
                keep.set(Some(content));
                Answer::new(Any::whole("done"))
            }
        });
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
        until(&mut stream, "done").await;
        let mut first = kept.take().unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n").await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(first.frame().await.is_none() && first.is_end_stream());
        drop(first);
        stream.write_all(b"def").await.unwrap();
        until(&mut stream, "done").await;
    });
}

/// Answers at once, and keeps what still comes of the content without reading on.
async fn answered_at_once(answer: &'static str, kept: Rc<Cell<Option<Incoming>>>) -> DuplexStream {
    let mut stream = serving(move |request: Request<Incoming>| {
        let kept = kept.clone();
        async move {
            kept.set(Some(request.content));
            Answer::new(match answer {
                "" => Any::pieces(vec![data("in pieces")]),
                whole => Any::whole(whole),
            })
        }
    });
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await
        .unwrap();
    stream
}

#[test]
fn r056_an_answer_that_overtakes_its_requests_content_is_the_last_one_and_the_content_is_read_on() {
    local(async {
        let kept = Rc::new(Cell::new(None));
        let mut stream = answered_at_once("early", kept.clone()).await;
        let answer = until(&mut stream, "early").await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        stream.write_all(b"2\r\nbc\r\n0\r\n\r\n").await.unwrap();
        let content = kept.take().unwrap().collect().await.unwrap().to_bytes();
        assert_eq!(content, "abc");
        assert_eq!(rest(&mut stream).await, "");
        // What streams both ways may go on with the next request.
        let kept = Rc::new(Cell::new(None));
        let mut stream = answered_at_once("", kept).await;
        let answer = until(&mut stream, "0\r\n\r\n").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    });
}

#[test]
fn r111_content_behind_an_answer_that_nobody_reads_on_ends_the_connection_in_time() {
    paused(async {
        for answer in ["early", ""] {
            let kept = Rc::new(Cell::new(None));
            let mut stream = answered_at_once(answer, kept.clone()).await;
            let begun = Instant::now();
            assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "));
            let stood = begun.elapsed();
            assert!(stood >= LIMITS.body_timeout && stood < LIMITS.body_timeout * 2, "{stood:?}");
            drop(kept.take());
        }
    });
}
