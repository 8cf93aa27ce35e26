//! What the HTTP/1.1 client writes and reads on one connection, octet by octet.

mod cuts;
mod uploads;

use std::{cell::Cell, convert::Infallible, future::poll_fn, io};

use bytes::Bytes;
use futures_util::stream::poll_fn as stream_of;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

use super::{exchange::Left, *};
use crate::{
    demo::simulator::strict::{Tally, Watched},
    upstream::client::SendError,
    wire::{AnswerHead, BodyError, Request, Stream},
};

type Piece = Result<Frame<Bytes>, io::Error>;

/// Content that a test gives bit by bit.
fn content() -> (mpsc::UnboundedSender<Piece>, impl Body<Data = Bytes, Error = io::Error> + Unpin) {
    let (give, mut given) = mpsc::unbounded_channel::<Piece>();
    (give, StreamBody::new(stream_of(move |cx| given.poll_recv(cx))))
}

fn data(octets: impl Into<Bytes>) -> Piece {
    Ok(Frame::data(octets.into()))
}

/// An exchange, and its upstream's end: reading there fails where what is read is invalid (r060).
fn begun<B>(request: Request<B>) -> (Box<Exchange<B>>, Watched<DuplexStream>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let Request { head, content } = request;
    let mut connection = Connection::new(Stream::Memory(ours));
    let memory = connection.memory();
    let theirs = Watched::new(theirs, Tally::default());
    (Exchange::new(connection, Sending::new(&*head, content, memory)), theirs)
}

async fn answer<B>(mut exchange: Box<Exchange<B>>) -> Result<(Box<AnswerHead>, Box<Exchange<B>>), Unanswered>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let head = poll_fn(|cx| exchange.poll_answer(&|_| (), cx)).await?;
    Ok((head, exchange))
}

fn get() -> Request<Full<Bytes>> {
    http::Request::get("/").header("host", "h").body(Full::default()).unwrap().into()
}

fn post<B>(content: B) -> Request<B> {
    http::Request::post("/").header("host", "h").body(content).unwrap().into()
}

/// What a GET gets where the upstream says `answer` and then nothing more.
async fn answered(text: &[u8]) -> Result<(Box<AnswerHead>, Box<Exchange<Full<Bytes>>>), SendError> {
    let (exchange, mut upstream) = begun(get());
    upstream.write_all(text).await.unwrap();
    upstream.shutdown().await.unwrap();
    answer(exchange).await.map_err(|unanswered| match unanswered {
        Unanswered::NotSent(error) => panic!("{error}"),
        Unanswered::Failed(error) => error,
    })
}

/// The content to its end, and how it ended.
async fn read<B>(exchange: &mut Exchange<B>) -> (Vec<u8>, Option<HeaderMap>, Option<BodyError>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut content, mut trailers) = (Vec::new(), None);
    while !exchange.is_over() {
        match poll_fn(|cx| exchange.poll_frame(cx)).await {
            None => break,
            Some(Err(error)) => return (content, trailers, Some(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => content.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
    (content, trailers, None)
}

fn is_free<B>(left: Left<B>) -> bool {
    matches!(left, Left::Free(_))
}

async fn received(upstream: &mut Watched<DuplexStream>, length: usize) -> String {
    let mut octets = vec![0; length];
    upstream.read_exact(&mut octets).await.unwrap();
    String::from_utf8(octets).unwrap()
}

#[tokio::test]
async fn r060_head_and_short_content_go_out_together() {
    let pieces =
        [b"abc".as_slice(), b"defgh"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    let content = StreamBody::new(futures_util::stream::iter(pieces));
    let (exchange, mut upstream) = begun(post(content));
    let reading = async {
        let mut at_once = vec![0; 4096];
        let length = upstream.read(&mut at_once).await.unwrap();
        upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(at_once[..length].to_vec()).unwrap()
    };
    let (outcome, seen) = tokio::join!(answer(exchange), reading);
    assert_eq!(
        seen,
        "POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"
    );
    let Ok((_, exchange)) = outcome else { panic!() };
    assert!(exchange.is_over() && is_free(exchange.leave()));
}

#[tokio::test]
async fn r060_what_frames_a_content() {
    let none = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let told = "GET / HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\n\r\n";
    let empty_post = "POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\n\r\n";
    let sized = "POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 2\r\n\r\nok";
    let mut get_told = get();
    get_told.head.fields.append(&header::CONTENT_LENGTH, &HeaderValue::from_static("0"));
    for (request, wanted) in [
        (get(), none),
        (get_told, told),
        (post(Full::default()), empty_post),
        (post(Full::from("ok")), sized),
    ] {
        let (exchange, mut upstream) = begun(request);
        let nothing_more = async {
            assert_eq!(received(&mut upstream, wanted.len()).await, wanted);
            upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            let mut rest = Vec::new();
            upstream.read_to_end(&mut rest).await.unwrap();
            assert!(rest.is_empty(), "{rest:?}");
        };
        let whole = async {
            let Ok((_, exchange)) = answer(exchange).await else { panic!() };
            assert!(is_free(exchange.leave()));
        };
        tokio::join!(whole, nothing_more);
    }
}

#[tokio::test]
async fn long_pieces_and_trailers_pass_whole() {
    let long: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let frames = vec![data(long.clone()), data("tail"), Ok(Frame::trailers(trailers))];
    let (exchange, mut upstream) = begun(post(StreamBody::new(futures_util::stream::iter(frames))));
    let reading = async {
        let head = "POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(received(&mut upstream, head.len()).await, head);
        let mut buffer = bytes::BytesMut::new();
        let (mut reader, mut seen) = (crate::wire::chunked::Reader::default(), Vec::new());
        let trailers = loop {
            match reader.step(&mut buffer).unwrap() {
                crate::wire::chunked::Step::Data(data) => seen.extend_from_slice(&data),
                crate::wire::chunked::Step::End(trailers) => break trailers,
                crate::wire::chunked::Step::More => {
                    assert_ne!(upstream.read_buf(&mut buffer).await.unwrap(), 0);
                }
            }
        };
        assert!(seen == [&long[..], b"tail"].concat());
        assert_eq!(trailers.unwrap()["x-sum"], "7");
        upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(answer(exchange), reading);
    assert!(outcome.is_ok());
}

#[tokio::test]
async fn r057_a_request_whose_content_fails_is_never_completed() {
    for (length, pieces) in [
        (None, vec![data("abc"), Err(io::Error::other("cut"))]),
        (Some("5"), vec![data("abc"), Err(io::Error::other("cut"))]),
        (Some("5"), vec![data("abc")]),
        (Some("2"), vec![data("abc")]),
    ] {
        let (give, content) = content();
        let exact = Exactly(content, length.map(|length| length.parse().unwrap()));
        pieces.into_iter().for_each(|piece| give.send(piece).unwrap());
        drop(give);
        let (exchange, mut upstream) = begun(post(exact));
        let outcome = answer(exchange).await;
        assert!(matches!(outcome, Err(Unanswered::Failed(SendError::Body(_)))), "{length:?}");
        drop(outcome);
        let mut seen = String::new();
        upstream.read_to_string(&mut seen).await.unwrap();
        let (_, content) = seen.split_once("\r\n\r\n").unwrap();
        let wanted = match length {
            None => "3\r\nabc\r\n",
            Some("5") => "abc",
            _ => "",
        };
        assert_eq!(content, wanted);
    }
}

/// Content that says how long it is.
struct Exactly<B>(B, Option<u64>);

impl<B: Body + Unpin> Body for Exactly<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.1.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

#[tokio::test]
async fn r091_an_answer_during_the_upload_is_had_at_once_and_the_upload_goes_on() {
    let (give, content) = content();
    let (exchange, mut upstream) = begun(post(content));
    give.send(data("abc")).unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    let Ok((_, mut exchange)) = answer(exchange).await else { panic!() };
    assert_eq!(read(&mut exchange).await.0, b"ok");
    let Left::Writing(exchange) = exchange.leave() else { panic!("the upload is under way") };
    give.send(data("def")).unwrap();
    drop(give);
    assert!(is_free(exchange.finish().await));
    let mut seen = String::new();
    upstream.read_to_string(&mut seen).await.unwrap();
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn r057_r091_an_upload_that_fails_after_its_answer_ends_the_connection() {
    let (give, content) = content();
    let (exchange, mut upstream) = begun(post(content));
    give.send(data("abc")).unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await.unwrap();
    let Ok((_, mut exchange)) = answer(exchange).await else { panic!() };
    give.send(Err(io::Error::other("cut"))).unwrap();
    let (content, _, error) = read(&mut exchange).await;
    assert!(content.is_empty() && matches!(error, Some(BodyError::Cut)), "{content:?} {error:?}");
    drop(exchange);
    let mut seen = String::new();
    upstream.read_to_string(&mut seen).await.unwrap();
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n"), "{seen}");
}

#[tokio::test]
async fn r118_a_request_of_which_nothing_was_taken_goes_out_elsewhere_as_it_was() {
    let (exchange, upstream) = begun(post(Full::from("abc")));
    drop(upstream);
    let mut exchange = exchange;
    let unsent = poll_fn(|cx| exchange.poll_answer(&|_| (), cx)).await;
    assert!(matches!(unsent, Err(Unanswered::NotSent(_))));
    let Some(sending) = exchange.into_unsent() else { panic!() };
    let (ours, mut upstream) = tokio::io::duplex(4096);
    let exchange = Exchange::new(Connection::new(Stream::Memory(ours)), sending);
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    let Ok((_, exchange)) = answer(exchange).await else { panic!() };
    drop(exchange);
    let mut seen = String::new();
    upstream.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, "POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 3\r\n\r\nabc");
}

#[tokio::test]
async fn r088_r089_where_a_content_ends_and_where_it_is_cut() {
    for (framing, content) in [
        ("Content-Length: 4\r\n\r\nwhole", "whol"),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n", "ok"),
        ("\r\nto the end", "to the end"),
    ] {
        let (_, mut exchange) = answered(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes()).await.unwrap();
        let (read, trailers, error) = read(&mut exchange).await;
        assert_eq!(String::from_utf8(read).unwrap(), content);
        assert!(error.is_none(), "{framing}: {error:?}");
        assert_eq!(trailers.is_some(), framing.contains("X-Sum"));
    }
    for (framing, content) in [
        ("Content-Length: 10\r\n\r\nhalf", "half"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "half"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", "half"),
        ("Transfer-Encoding: chunked\r\n\r\n9\r\nhalf", "half"),
    ] {
        let (_, mut exchange) = answered(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes()).await.unwrap();
        let (read, _, error) = read(&mut exchange).await;
        assert_eq!(String::from_utf8(read).unwrap(), content);
        assert!(matches!(error, Some(BodyError::Cut)), "{framing}: {error:?}");
    }
    let broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n";
    let (_, mut exchange) = answered(broken).await.unwrap();
    assert!(matches!(read(&mut exchange).await.2, Some(BodyError::Malformed(_))));
}

#[tokio::test]
async fn r090_a_connection_that_brought_more_than_its_answer_or_ends_with_it_is_not_used_again() {
    for (answer, free) in [
        ("200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("204 No Content\r\n\r\n", true),
        ("200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", false),
        ("200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", false),
        ("204 No Content\r\nContent-Length: 2\r\n\r\nok", false),
        ("200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        ("200 OK\r\n\r\nok", false),
    ] {
        let (_, mut exchange) = answered(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
        read(&mut exchange).await;
        assert_eq!(is_free(exchange.leave()), free, "{answer:?}");
    }
}

#[tokio::test]
async fn r093_a_connection_that_ended_or_speaks_unasked_is_not_quiet() {
    let idle = || {
        let (ours, theirs) = tokio::io::duplex(64);
        (Connection::new(Stream::Memory(ours)), theirs)
    };
    let (mut connection, upstream) = idle();
    assert!(connection.is_quiet());
    drop(upstream);
    assert!(!connection.is_quiet());
    let (mut connection, mut upstream) = idle();
    upstream.write_all(b"HTTP/1.1 408 Request Timeout\r\n").await.unwrap();
    assert!(!connection.is_quiet());
}

#[tokio::test]
async fn r115_interim_answers_are_shown_and_counted() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (count, fine) in [(16, true), (17, false)] {
        let (mut exchange, mut upstream) = begun(get());
        let answer = format!("{}HTTP/1.1 204 No Content\r\n\r\n", hints.repeat(count));
        upstream.write_all(answer.as_bytes()).await.unwrap();
        let seen = Cell::new(0);
        let shown = |head: Box<AnswerHead>| {
            seen.set(seen.get() + usize::from(head.fields.get("link") == Some(b"</a>")));
        };
        let outcome = poll_fn(|cx| exchange.poll_answer(&shown, cx)).await;
        assert_eq!((outcome.is_ok(), seen.get()), (fine, 16));
    }
}

#[tokio::test]
async fn r067_after_a_101_that_was_asked_for_the_connection_is_handed_over_with_what_came() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nalready";
    assert!(matches!(answered(switch).await, Err(SendError::NotHttp(_))), "nobody asked");
    let mut request = get();
    request.head.fields.append(&header::UPGRADE, &HeaderValue::from_static("x"));
    request.head.fields.append(&header::CONNECTION, &HeaderValue::from_static("upgrade"));
    let (exchange, mut upstream) = begun(request);
    upstream.write_all(switch).await.unwrap();
    let Ok((head, exchange)) = answer(exchange).await else { panic!() };
    assert!(head.status == 101 && exchange.has_switched() && exchange.is_over());
    let mut stream = exchange.into_switched().unwrap();
    upstream.write_all(b" and later").await.unwrap();
    upstream.shutdown().await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "already and later");
}

#[tokio::test]
async fn r086_a_head_that_drips_is_read_and_rubbish_is_told_before_its_end() {
    let (exchange, mut upstream) = begun(get());
    let dripping = async {
        for octet in b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok" {
            upstream.write_all(&[*octet]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (outcome, ()) = tokio::join!(answer(exchange), dripping);
    let Ok((head, mut exchange)) = outcome else { panic!() };
    assert_eq!(head.fields.get("a"), Some(&b"b"[..]));
    assert_eq!(read(&mut exchange).await.0, b"ok");

    let (exchange, mut upstream) = begun(get());
    upstream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
    let outcome = answer(exchange).await;
    assert!(matches!(outcome, Err(Unanswered::Failed(SendError::NotHttp(_)))));
}

#[tokio::test]
async fn r093_how_long_an_upstream_says_that_a_connection_may_idle_is_kept_to() {
    for (value, seconds) in [("timeout=5, max=100", Some(4)), ("max=3,timeout=60", Some(59)), ("max=3", None)]
    {
        let answer = format!("HTTP/1.1 204 No Content\r\nKeep-Alive: {value}\r\n\r\n");
        let (_, exchange) = answered(answer.as_bytes()).await.unwrap();
        let Left::Free(connection) = exchange.leave() else { panic!() };
        assert_eq!(connection.may_idle().map(|span| span.as_secs()), seconds, "{value}");
    }
}

#[tokio::test]
async fn r124_long_content_is_read_in_long_steps_and_leaves_no_long_buffer() {
    const LENGTH: usize = 8 << 20;
    let (ours, mut upstream) = tokio::io::duplex(1 << 20);
    let Request { head, content } = get();
    let sending = Sending::new(&*head, content, Vec::new());
    let exchange = Exchange::new(Connection::new(Stream::Memory(ours)), sending);
    let writing = async {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        upstream.write_all(head.as_bytes()).await.unwrap();
        upstream.write_all(&vec![b'x'; LENGTH]).await.unwrap();
        upstream
    };
    let reading = async {
        let Ok((_, mut exchange)) = answer(exchange).await else { panic!() };
        let (mut length, mut longest) = (0, 0);
        while !exchange.is_over() {
            let frame = poll_fn(|cx| exchange.poll_frame(cx)).await.unwrap().unwrap();
            let data = frame.into_data().unwrap();
            length += data.len();
            longest = longest.max(data.len());
        }
        (length, longest, exchange.leave())
    };
    let ((length, longest, left), _upstream) = tokio::join!(reading, writing);
    assert_eq!(length, LENGTH);
    assert!((256 << 10..=512 << 10).contains(&longest), "{longest}");
    let Left::Free(connection) = left else { panic!() };
    assert_eq!(connection.read.capacity(), 0);
}
