//! Answers: their framing, their cuts, what comes before and behind them.

use super::*;

#[test]
fn r072_head_204_and_304_have_no_content_and_the_next_answer_is_found() {
    local(async {
        let mut stream = serving(|request: Request<Incoming>| async move {
            let mut answer = Answer::new(Any::whole("content"));
            if let Ok(status) = request.head.target.path()[1..].parse() {
                answer.head.status = status;
            }
            answer
        });
        for target in ["HEAD /200", "GET /204", "GET /304", "HEAD /204"] {
            stream.write_all(format!("{target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        }
        stream.write_all(b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let answers = rest(&mut stream).await;
        let heads: Vec<_> = answers.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(heads.len(), 5, "{answers}");
        assert!(heads[..4].iter().all(|head| head.ends_with("\r\n\r\n")), "{answers}");
        assert!(heads[0].contains("content-length: 7"), "{answers}");
        assert!(heads[1..4].iter().all(|head| !head.contains("content-length")), "{answers}");
        assert!(heads[4].ends_with("content"));
    });
}

#[test]
fn r076_r089_content_of_unknown_length_goes_in_chunks_and_to_1_0_until_the_end() {
    local(async {
        let answer = |_| async {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "1".parse().unwrap());
            Answer::new(Any::pieces(vec![
                data("abc"),
                data(""),
                data("defghijklmnop"),
                Ok(Frame::trailers(trailers)),
            ]))
        };
        let mut stream = serving(answer);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let answers = rest(&mut stream).await;
        assert!(answers.contains("transfer-encoding: chunked\r\n"), "{answers}");
        assert!(
            answers.ends_with("\r\n\r\n3\r\nabc\r\nD\r\ndefghijklmnop\r\n0\r\nx-sum: 1\r\n\r\n"),
            "{answers}"
        );
        let mut stream = serving(answer);
        stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
        let answers = rest(&mut stream).await;
        assert!(
            !answers.contains("transfer-encoding") && answers.contains("connection: close\r\n"),
            "{answers}"
        );
        assert!(answers.ends_with("\r\n\r\nabcdefghijklmnop"), "{answers}");
    });
}

#[test]
fn large_content_arrives_whole_however_it_is_framed() {
    local(async {
        for known in [true, false] {
            let content = Bytes::from((0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
            let sent = content.clone();
            let mut stream = tcp(move |_| {
                let sent = sent.clone();
                async move {
                    let whole = Full::new(sent).map_err(|never: Infallible| match never {});
                    if known {
                        Answer::new(Any::new(whole))
                    } else {
                        Answer::new(Any::new(StreamBody::new(
                            whole.into_data_stream().map(|data| data.map(Frame::data)),
                        )))
                    }
                }
            })
            .await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            let begin = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            let body = &all[begin..];
            let body = if known {
                body
            } else {
                body.strip_prefix(b"2DC6C0\r\n").unwrap().strip_suffix(b"\r\n0\r\n\r\n").unwrap()
            };
            assert!(body == content, "known: {known}");
        }
    });
}

#[test]
fn r083_a_date_is_added_where_there_is_none_and_kept_where_there_is() {
    local(async {
        for kept in [true, false] {
            let mut stream = serving(move |_| async move {
                let mut answer = Answer::new(Any::whole(""));
                if kept {
                    answer.head.fields.insert(
                        &http::HeaderName::from_static("date"),
                        &"Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap(),
                    );
                }
                answer
            });
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            let answer = rest(&mut stream).await;
            assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{answer}");
            assert_eq!(answer.contains("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), kept, "{answer}");
        }
    });
}

#[test]
fn r088_a_cut_content_looks_cut() {
    local(async {
        let failing = |length: Option<u64>| {
            move |_: Request<Incoming>| async move {
                let mut answer = Answer::new(Any::pieces(vec![data("abc"), Err(BodyError::Cut)]));
                if let Some(length) = length {
                    let content = StreamBody::new(stream::iter(vec![data("abc"), Err(BodyError::Cut)]));
                    answer = Answer::new(Any::new(OfLength { content, length }));
                }
                answer
            }
        };
        let mut stream = tcp(failing(None)).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert!(rest(&mut stream).await.ends_with("\r\n\r\n3\r\nabc\r\n"), "no last chunk");
        let mut stream = tcp(failing(Some(9))).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.contains("content-length: 9\r\n") && answer.ends_with("\r\n\r\nabc"), "{answer}");
        let mut stream = tcp(failing(None)).await;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").await.unwrap();
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "its end is no end of an answer");
    });
}

/// Content that tells a length.
struct OfLength<B> {
    content: B,
    length: u64,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for OfLength<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[test]
fn content_that_is_not_as_long_as_it_says_ends_the_connection() {
    local(async {
        for length in [2, 4] {
            let mut stream = serving(move |_| async move {
                let content = StreamBody::new(stream::iter(vec![data("abc")]));
                Answer::new(Any::new(OfLength { content, length }))
            });
            stream.write_all(GET.repeat(2).as_bytes()).await.unwrap();
            let answers = rest(&mut stream).await;
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
            let (_, content) = answers.split_once("\r\n\r\n").unwrap();
            assert!(content.len() != length as usize, "it must not look whole: {content}");
        }
    });
}

#[test]
fn r071_interim_answers_go_to_1_1_before_the_final_one_and_never_to_1_0() {
    local(async {
        let mut early = AnswerHead::new(StatusCode::from_u16(103).unwrap());
        early.fields.append(&http::header::LINK, &http::HeaderValue::from_static("</a>; rel=preload"));
        let service = move |request: Request<Incoming>| {
            let early = early.clone();
            async move {
                let interim = request.content.interim();
                if let Some(interim) = &interim {
                    interim.send(&early);
                    tokio::task::yield_now().await;
                    interim.send(&early);
                }
                if request.head.version == http::Version::HTTP_10 {
                    assert!(interim.is_none());
                }
                // Too late: the next request's.
                if let Some(interim) = interim {
                    spawn_local(async move {
                        for _ in 0..20 {
                            tokio::task::yield_now().await;
                        }
                        interim.send(&early);
                    });
                }
                Answer::new(Any::whole("final"))
            }
        };
        let mut stream = serving(service.clone());
        stream.write_all(GET.as_bytes()).await.unwrap();
        let one = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
        for _ in 0..2 {
            let answers = until(&mut stream, "final").await;
            assert!(answers.starts_with(&format!("{one}{one}HTTP/1.1 200 ")), "{answers}");
            for _ in 0..40 {
                tokio::task::yield_now().await;
            }
            // What was sent too late would stand in front of the next answer.
            stream.write_all(GET.as_bytes()).await.unwrap();
        }
        until(&mut stream, "final").await;
        let mut stream = serving(service);
        stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn r009_r067_a_takeover_gets_all_that_was_sent_behind_the_head() {
    local(async {
        for (head, status, expected) in [
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 200, "HTTP/1.1 200 OK\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
                101,
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n",
            ),
        ] {
            let mut stream = serving(move |_| async move {
                let takeover: Takeover = Box::new(|mut stream: Stream| {
                    Box::pin(async move {
                        let mut octets = [0; 9];
                        stream.read_exact(&mut octets).await.unwrap();
                        stream.write_all(&octets).await.unwrap();
                    })
                });
                let mut answer = Answer::new(Any { takeover: Some(takeover), ..Any::whole("") });
                answer.head.status = StatusCode::from_u16(status).unwrap();
                if status == 101 {
                    answer
                        .head
                        .fields
                        .insert(&http::HeaderName::from_static("upgrade"), &"x".parse().unwrap());
                }
                answer
            });
            stream.write_all(format!("{head}early").as_bytes()).await.unwrap();
            let answer = until(&mut stream, "\r\n\r\n").await;
            assert!(answer.starts_with(expected), "{answer}");
            assert_eq!(answer.contains("connection: upgrade\r\n"), status == 101, "{answer}");
            assert!(!answer.contains("content-length") && !answer.contains("chunked"), "{answer}");
            stream.write_all(b"late").await.unwrap();
            assert_eq!(rest(&mut stream).await, "earlylate");
        }
    });
}

#[test]
fn r067_a_101_that_nobody_takes_over_ends_the_connection() {
    local(async {
        let mut stream = serving(|_| async {
            let mut answer = Answer::new(Any::whole(""));
            answer.head.status = StatusCode::SWITCHING_PROTOCOLS;
            answer
        });
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
    });
}
