//! What an application sees of a connection, octet by octet.

use std::{cell::Cell, convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode, response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{LocalSet, spawn_local},
    time::Instant,
};

use super::*;
use crate::wire::{BodyError, Takeover};

const LIMITS: Limits = Limits {
    head_size: 8 << 10,
    head_fields: 20,
    head_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(300),
    body_timeout: Duration::from_secs(60),
    refuse_underscores: false,
    http2: super::super::http2::Limits::DEFAULT,
};

/// Content of any kind.
struct Any {
    body: Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>,
    takeover: Option<Takeover>,
}

use std::{
    pin::Pin,
    task::{Context, Poll},
};

impl Any {
    fn new(body: impl Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self { body: Box::pin(body), takeover: None }
    }

    fn whole(text: &'static str) -> Self {
        Self::new(Full::new(Bytes::from_static(text.as_bytes())).map_err(|never: Infallible| match never {}))
    }

    fn pieces(pieces: Vec<Result<Frame<Bytes>, BodyError>>) -> Self {
        Self::new(StreamBody::new(stream::iter(pieces)))
    }
}

impl Body for Any {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Content for Any {
    fn take_over(&mut self) -> Option<Takeover> {
        self.takeover.take()
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// A connection that is answered by `service`.
fn serving<F: Future<Output = Response<Any>> + 'static>(
    service: impl Fn(Request<Incoming>) -> F + 'static,
) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    spawn_local(
        async move { serve(Stream::Memory(theirs), &LIMITS, service, CancellationToken::new()).await },
    );
    ours
}

async fn tcp<F: Future<Output = Response<Any>> + 'static>(
    service: impl Fn(Request<Incoming>) -> F + 'static,
) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    spawn_local(async move { serve(Stream::Tcp(theirs), &LIMITS, service, CancellationToken::new()).await });
    ours
}

/// Says the target and the content of each request.
async fn echo(request: Request<Incoming>) -> Response<Any> {
    let target = request.uri().to_string();
    let content = match request.into_body().collect().await {
        Ok(content) => content.to_bytes(),
        Err(error) => {
            let mut refused = Response::new(Any::whole("broken"));
            *refused.status_mut() = StatusCode::BAD_REQUEST;
            refused.headers_mut().insert("x-error", error.to_string().parse().unwrap());
            return refused;
        }
    };
    let text = format!("<{target} {}>", String::from_utf8_lossy(&content));
    Response::new(Any::new(Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {})))
}

fn local<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(
        LocalSet::new().run_until(async {
            tokio::time::timeout(Duration::from_secs(20), test).await.expect("it hangs")
        }),
    )
}

async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let _cut = stream.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

async fn said(sent: impl AsRef<[u8]>) -> String {
    let mut stream = serving(echo);
    stream.write_all(sent.as_ref()).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await
}

async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        assert_ne!(
            stream.read_buf(&mut all).await.unwrap(),
            0,
            "it ended: {}",
            String::from_utf8_lossy(&all)
        );
    }
    String::from_utf8(all).unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

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
            spawn_local(async move {
                serve(Stream::Memory(theirs), &limits, echo, CancellationToken::new()).await
            });
            ours.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let answer = rest(&mut ours).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    });
}

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
        let mut stream = serving(|_| async { Response::new(Any::whole("no")) });
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
            let mut stream = serving(|_| async { Response::new(Any::whole("read not")) });
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &vec![b'.'; length], GET.as_bytes()].concat()).await.unwrap();
            stream.shutdown().await.unwrap();
            let answers = rest(&mut stream).await;
            assert_eq!(answers.matches("HTTP/1.1 200").count(), answered, "{length}: {answers}");
        }
        let mut stream = serving(|_| async { Response::new(Any::whole("read not")) });
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
fn r072_head_204_and_304_have_no_content_and_the_next_answer_is_found() {
    local(async {
        let mut stream = serving(|request: Request<Incoming>| async move {
            let mut answer = Response::new(Any::whole("content"));
            if let Ok(status) = request.uri().path()[1..].parse() {
                *answer.status_mut() = status;
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
            Response::new(Any::pieces(vec![
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
                        Response::new(Any::new(whole))
                    } else {
                        Response::new(Any::new(StreamBody::new(
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
fn r088_a_cut_content_looks_cut() {
    local(async {
        let failing = |length: Option<u64>| {
            move |_: Request<Incoming>| async move {
                let mut answer = Response::new(Any::pieces(vec![data("abc"), Err(BodyError::Cut)]));
                if let Some(length) = length {
                    let content = StreamBody::new(stream::iter(vec![data("abc"), Err(BodyError::Cut)]));
                    answer = Response::new(Any::new(Sized { content, length }));
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
struct Sized<B> {
    content: B,
    length: u64,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Sized<B> {
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
                Response::new(Any::new(Sized { content, length }))
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
        let mut early = response::Parts::clone(&Response::new(()).into_parts().0);
        early.status = StatusCode::from_u16(103).unwrap();
        early.headers.insert("link", "</a>; rel=preload".parse().unwrap());
        let service = move |request: Request<Incoming>| {
            let early = early.clone();
            async move {
                let interim = request.body().interim();
                if let Some(interim) = &interim {
                    interim.send(&early);
                    tokio::task::yield_now().await;
                    interim.send(&early);
                }
                if request.version() == http::Version::HTTP_10 {
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
                Response::new(Any::whole("final"))
            }
        };
        let mut stream = serving(service.clone());
        stream.write_all(GET.as_bytes()).await.unwrap();
        let answers = until(&mut stream, "final").await;
        let one = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
        assert!(answers.starts_with(&one.repeat(2)), "{answers}");
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "nothing behind the final answer");
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
                let mut answer = Response::new(Any { takeover: Some(takeover), ..Any::whole("") });
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                if status == 101 {
                    answer.headers_mut().insert("upgrade", "x".parse().unwrap());
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
            let mut answer = Response::new(Any::whole(""));
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer
        });
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
    });
}

#[test]
fn a_reset_gives_the_exchange_up_and_a_half_close_does_not() {
    local(async {
        struct Dropped(Rc<Notify>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (begun, dropped, go) = <(Rc<Notify>, Rc<Notify>, Rc<Notify>)>::default();
        let told = (begun.clone(), dropped.clone(), go.clone());
        let service = move |_| {
            let (begun, dropped, go) = told.clone();
            async move {
                let _dropped = Dropped(dropped);
                begun.notify_one();
                go.notified().await;
                Response::new(Any::whole("late"))
            }
        };
        let mut stream = tcp(service.clone()).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        begun.notified().await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        dropped.notified().await;
        let mut stream = tcp(service).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        begun.notified().await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert!(rest(&mut stream).await.ends_with("late"));
    });
}

#[test]
fn a_stream_of_events_ends_with_a_reset_although_nothing_is_written() {
    local(async {
        let dropped = Rc::new(Notify::new());
        let told = dropped.clone();
        let mut stream = tcp(move |_| {
            let told = told.clone();
            async move {
                let guard = scopeguard(told);
                let events = stream::iter([data("event")]).chain(stream::once(async move {
                    let _guard = guard;
                    std::future::pending().await
                }));
                Response::new(Any::new(StreamBody::new(events)))
            }
        })
        .await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        until(&mut stream, "event\r\n").await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        dropped.notified().await;
    });
}

fn scopeguard(told: Rc<Notify>) -> impl std::any::Any {
    struct Guard(Rc<Notify>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    Guard(told)
}

#[test]
fn r078_the_last_answer_is_not_lost_to_what_the_application_still_sends() {
    local(async {
        let mut stream = tcp(echo).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\na b\r\n\r\n").await.unwrap();
        // It goes on writing, and would be reset by a connection that was closed with these unread.
        for _ in 0..20 {
            stream.write_all(&[b'.'; 4096]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("no reset");
        assert!(answer.starts_with(b"HTTP/1.1 400 "));
    });
}

fn paused(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

#[test]
fn r106_r111_an_application_that_does_not_read_its_answer_is_given_up() {
    paused(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        let start = Instant::now();
        let done = spawn_local(async move {
            let service =
                |_| async { Response::new(Any::new(StreamBody::new(stream::repeat_with(|| data("....."))))) };
            serve(Stream::Memory(theirs), &LIMITS, service, CancellationToken::new()).await;
        });
        ours.write_all(GET.as_bytes()).await.unwrap();
        // For a while it reads, slowly.
        for _ in 0..10 {
            tokio::time::sleep(LIMITS.body_timeout / 2).await;
            ours.read_exact(&mut [0; 500]).await.unwrap();
        }
        assert!(!done.is_finished());
        done.await.unwrap();
        assert!(start.elapsed() < LIMITS.body_timeout * 8, "{:?}", start.elapsed());
    });
}

#[test]
fn r111_an_answer_that_stands_still_is_given_up_half_a_minute_after_the_application_ended() {
    paused(async {
        for ends in [true, false] {
            let (mut ours, theirs) = tokio::io::duplex(1 << 10);
            let done = spawn_local(async move {
                let service = |_| async {
                    let events = stream::iter([data("event")]).chain(stream::pending());
                    Response::new(Any::new(StreamBody::new(events)))
                };
                serve(Stream::Memory(theirs), &LIMITS, service, CancellationToken::new()).await;
            });
            ours.write_all(GET.as_bytes()).await.unwrap();
            until(&mut ours, "event\r\n").await;
            if ends {
                ours.shutdown().await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(29)).await;
            assert!(!done.is_finished());
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(done.is_finished(), ends, "a stream may be silent for as long as it likes");
        }
    });
}

#[test]
fn r111_content_that_nobody_wants_must_come_in_time() {
    paused(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        let done = spawn_local(async move {
            let service = |_| async { Response::new(Any::whole("read not")) };
            serve(Stream::Memory(theirs), &LIMITS, service, CancellationToken::new()).await;
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
                let mut content = request.into_body();
                while let Some(Ok(_)) = content.frame().await {}
                keep.set(Some(content));
                Response::new(Any::whole("done"))
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
