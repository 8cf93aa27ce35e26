//! One connection of an application: its limits, and who serves it.
//!
//! Knows how long a connection may idle or take for a head. Does not know what answers a request; HTTP/1.1 is `http1`'s.

use std::time::Duration;

use super::{drain::Drain, http1, http2};
use crate::wire::{Answer, Content, Incoming, Request, Stream};

/// How long a connection that is told to end may still begin a request whose bytes were on their way.
pub(super) const LAST_CALL: Duration = Duration::from_millis(250);

/// What bounds a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request head, in octets; at least 8 KiB.
    pub head_size: usize,
    /// The most fields of a head.
    pub head_fields: usize,
    /// From the first octet of a head to its last.
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests, and before the first.
    pub idle_timeout: Duration,
    /// What else bounds one that speaks HTTP/2.
    pub http2: http2::Limits,
    /// How long an answer may stand still because the application does not read it.
    pub body_timeout: Duration,
    /// A request with a field name that has an underscore is refused.
    pub refuse_underscores: bool,
}

/// Serves one connection until it ends. Once `drain` is cancelled the request under way is finished, one that is
/// arriving is answered, and then the connection is closed.
pub async fn serve_stream<S, F, B>(stream: Stream, limits: &Limits, service: S, drain: Drain)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<B>>,
    B: Content + 'static,
{
    http1::serve(stream, limits, service, drain).await;
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        sync::oneshot,
        task::LocalSet,
        time::Instant,
    };

    use super::*;

    const LIMITS: Limits = Limits {
        head_size: 8 << 10,
        head_fields: 20,
        head_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(300),
        http2: http2::Limits::DEFAULT,
        body_timeout: Duration::from_secs(60),
        refuse_underscores: false,
    };

    /// A connection whose first request is answered when the returned sender fires, the others at once.
    fn begin() -> (DuplexStream, oneshot::Sender<()>, Drain) {
        begin_within(LIMITS)
    }

    fn begin_within(limits: Limits) -> (DuplexStream, oneshot::Sender<()>, Drain) {
        let (ours, theirs) = tokio::io::duplex(128 << 10);
        let (release, held) = oneshot::channel::<()>();
        let held = Rc::new(RefCell::new(Some(held)));
        let drain = Drain::new();
        let told = drain.clone();
        tokio::task::spawn_local(async move {
            let service = |_request: Request<Incoming>| {
                let held = held.clone();
                async move {
                    let held = held.borrow_mut().take();
                    if let Some(held) = held {
                        let _ = held.await;
                    }
                    Answer::new(Full::new(Bytes::from_static(b"done")))
                }
            };
            serve_stream(Stream::Memory(theirs), &limits, service, told).await;
        });
        (ours, release, drain)
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    async fn all(mut stream: DuplexStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn r149_a_request_under_way_is_finished_when_the_connection_drains() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, release, drain) = begin();
                stream.write_all(REQUEST).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
                drain.cancel();
                tokio::time::sleep(Duration::from_secs(20)).await;
                release.send(()).unwrap();
                let answer = all(stream).await;
                assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
                assert!(answer.contains("connection: close"), "{answer}");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r149_a_request_that_was_on_its_way_is_answered_by_a_draining_connection() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, release, drain) = begin();
                release.send(()).unwrap();
                drain.cancel();
                tokio::time::sleep(LAST_CALL / 2).await;
                stream.write_all(REQUEST).await.unwrap();
                assert!(all(stream).await.ends_with("done"));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r149_an_application_that_reads_slowly_gets_the_whole_answer_while_draining() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, theirs) = tokio::io::duplex(1 << 10);
                let drain = Drain::new();
                let told = drain.clone();
                tokio::task::spawn_local(async move {
                    let service = |_| async { Answer::new(Full::new(Bytes::from(vec![b'.'; 30 << 10]))) };
                    serve_stream(Stream::Memory(theirs), &LIMITS, service, told).await;
                });
                stream.write_all(REQUEST).await.unwrap();
                let mut first = [0; 16];
                stream.read_exact(&mut first).await.unwrap();
                drain.cancel();
                tokio::time::sleep(LAST_CALL * 4).await;
                assert!(all(stream).await.len() > 30 << 10, "the answer was cut");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r091_r111_an_upload_that_goes_on_after_its_answer_is_neither_a_slow_head_nor_idleness() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, theirs) = tokio::io::duplex(1 << 10);
                let drain = Drain::new();
                let told = drain.clone();
                tokio::task::spawn_local(async move {
                    let service = |request: Request<Incoming>| async {
                        tokio::task::spawn_local(http_body_util::BodyExt::collect(request.content));
                        Answer::new(Full::new(Bytes::from_static(b"early")))
                    };
                    serve_stream(Stream::Memory(theirs), &LIMITS, service, told).await;
                });
                let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n";
                stream.write_all(head).await.unwrap();
                for sent in 0..50 {
                    tokio::time::sleep(LIMITS.head_timeout / 3).await;
                    stream.write_all(b".").await.expect("the upload was cut");
                    if sent == 40 {
                        drain.cancel();
                    }
                }
                stream.write_all(REQUEST).await.unwrap();
                let answers = all(stream).await;
                assert_eq!(answers.matches("early").count(), 2, "{answers}");
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r149_an_idle_connection_is_closed_when_it_drains() {
        LocalSet::new()
            .run_until(async {
                let (stream, _release, drain) = begin();
                let start = Instant::now();
                drain.cancel();
                assert_eq!(all(stream).await, "");
                assert!(start.elapsed() < LAST_CALL * 2);
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r114_a_head_that_is_too_large_is_refused_and_the_connection_closed() {
        LocalSet::new()
            .run_until(async {
                let within = "a: b\r\n".repeat(LIMITS.head_fields - 1);
                let too_many = "a: b\r\n".repeat(LIMITS.head_fields + 1);
                let too_long = format!("a: {}\r\n", "b".repeat(LIMITS.head_size));
                for (target, fields, status) in [
                    ("/", &*within, "200"),
                    ("/", &*too_many, "431"),
                    ("/", &*too_long, "431"),
                    (&*format!("/{}", "p".repeat(LIMITS.head_size)), "", "414"),
                ] {
                    let (mut stream, release, drain) = begin();
                    release.send(()).unwrap();
                    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    drain.cancel();
                    let answer = all(stream).await;
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r114_a_large_head_is_measured_to_the_octet() {
        let limits = Limits { head_size: 64 << 10, ..LIMITS };
        let fixed = REQUEST.len() + "a: \r\n".len();
        LocalSet::new()
            .run_until(async {
                for (length, status) in [(limits.head_size, "200"), (limits.head_size + 1, "431")] {
                    let (mut stream, release, drain) = begin_within(limits.clone());
                    release.send(()).unwrap();
                    let value = "b".repeat(length - fixed);
                    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\na: {value}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    drain.cancel();
                    let answer = all(stream).await;
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r082_a_head_of_which_no_request_can_be_made_is_answered_with_the_reason() {
        LocalSet::new()
            .run_until(async {
                let too_long = format!("GET / HTTP/1.1\r\na: {}\r\n", "b".repeat(LIMITS.head_size));
                for (head, status) in [("GET / HTTP/1.1\r\na b\r\n\r\n", 400), (&*too_long, 431)] {
                    // Both as the first request and behind one that is answered.
                    for before in [false, true] {
                        let (mut stream, release, _drain) = begin();
                        release.send(()).unwrap();
                        if before {
                            stream.write_all(REQUEST).await.unwrap();
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        stream.write_all(head.as_bytes()).await.unwrap();
                        let answer = all(stream).await;
                        assert_eq!(answer.contains("done"), before, "{answer}");
                        let ours = &answer[answer.rfind("HTTP/1.1 ").unwrap()..];
                        assert!(ours.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
                        assert!(
                            ours.contains("proxy-status: bearward; error=http_request_error\r\n"),
                            "{answer}"
                        );
                        assert_eq!(ours.matches("\r\ndate: ").count(), 1, "{answer}");
                        let content = ours.split_once("\r\n\r\n").unwrap().1;
                        assert!(ours.contains(&format!("content-length: {}\r\n", content.len())), "{answer}");
                        let problem: serde_json::Value = serde_json::from_str(content).unwrap();
                        assert_eq!(problem["status"], status);
                    }
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r111_a_head_that_comes_too_slowly_ends_the_connection() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, _release, _drain) = begin();
                let start = Instant::now();
                let dripping = async {
                    for octet in REQUEST.iter().cycle().take(1000) {
                        if *octet == b'\r' || stream.write_all(&[*octet]).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_secs(3)).await;
                    }
                    all(stream).await
                };
                assert_eq!(dripping.await, "");
                assert!(start.elapsed() < LIMITS.head_timeout * 2 + Duration::from_secs(3));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r111_a_connection_may_idle_longer_than_a_head_may_take_but_not_for_ever() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, release, _drain) = begin();
                release.send(()).unwrap();
                tokio::time::sleep(LIMITS.idle_timeout - Duration::from_secs(1)).await;
                stream.write_all(REQUEST).await.unwrap();
                let answered = Instant::now();
                assert!(all(stream).await.ends_with("done"));
                assert!(answered.elapsed() >= LIMITS.idle_timeout);
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn r111_a_long_exchange_is_not_taken_for_an_idle_connection() {
        LocalSet::new()
            .run_until(async {
                let (mut stream, release, _drain) = begin();
                stream.write_all(REQUEST).await.unwrap();
                tokio::time::sleep(LIMITS.idle_timeout * 3).await;
                release.send(()).unwrap();
                assert!(all(stream).await.ends_with("done"));
            })
            .await;
    }
}
