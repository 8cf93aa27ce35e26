//! HTTP/2 from an application: by prior knowledge, its requests as HTTP/1.1 upstream, and an end that loses nothing.

use std::time::Duration;

use crate::support::{
    PATIENCE,
    h2::{
        DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PING, PROTOCOL_ERROR, SETTINGS,
        block, number,
    },
    origin::Origin,
    start, until,
};

const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/x")];

fn post<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = GET.to_vec();
    fields[0].1 = "POST";
    fields.extend(more);
    fields
}

#[tokio::test]
async fn prior_knowledge_is_enough_and_one_connection_carries_many_requests() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
    for stream in (1..40).step_by(2) {
        frames.request(stream, END_STREAM, GET).await;
    }
    let mut answered = 0;
    while answered < 20 {
        let frame = frames.next().await.unwrap();
        answered +=
            usize::from(frame.kind == DATA && frame.flags & END_STREAM != 0 && frame.payload == b"ok");
    }
    assert_eq!(origin.text().matches("GET /x HTTP/1.1\r\n").count(), 20);
}

#[tokio::test]
async fn r051_the_preface_may_come_octet_by_octet_and_half_of_one_is_no_request() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let address = bearward.address("api").unwrap();
    let mut frames = Frames::over(tokio::net::TcpStream::connect(address).await.unwrap());
    for octet in crate::support::h2::PREFACE {
        frames.octets(&[*octet]).await;
        tokio::task::yield_now().await;
    }
    frames.send(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]).await;
    frames.request(1, END_STREAM, GET).await;
    assert_eq!(frames.answer(1).await, (200, b"ok".to_vec()));
    // Another end of the same beginning is HTTP/1.1, and malformed.
    let answer = crate::support::raw::exchange(address, "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n").await;
    assert!(matches!(crate::support::raw::status(&answer), 400 | 505));
}

#[tokio::test]
async fn r075_r102_r080_a_request_reaches_an_http_1_upstream_as_one_of_its_own() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
    let fields = post(&[
        ("cookie", "a=1"),
        ("x-one", "1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("cookie", "c"),
        ("x-two", "a  b"),
    ]);
    frames.request(1, 0, &fields).await;
    frames.send(DATA, 0, 1, b"con").await;
    frames.send(DATA, END_STREAM, 1, b"tent").await;
    assert_eq!(frames.answer(1).await, (200, b"ok".to_vec()));
    let seen = origin.text();
    let head = seen.split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase();
    assert!(head.starts_with("post /x http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncookie: a=1; b=2; c\r\n"), "{head}");
    assert_eq!(head.matches("\r\ncookie:").count(), 1, "{head}");
    assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
    assert!(head.contains(&format!("\r\nhost: {}\r\n", origin.address)), "{head}");
    assert!(head.contains("\r\nx-two: a  b") && head.contains("\r\nte: trailers"), "{head}");
    assert!(!head.contains(":scheme") && !head.contains(":authority"), "{head}");
}

#[tokio::test]
async fn r057_r100_content_unlike_its_content_length_completes_no_request_upstream() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    for (length, pieces) in [
        ("5", &[&b"abc"[..]][..]),
        ("5", &[b"abc", b"defg"]),
        ("5", &[b"abcdefghij"]),
        ("0", &[b"a"]),
        ("1", &[b""]),
        ("100000", &[b"abc"]),
    ] {
        let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
        frames.request(1, 0, &post(&[("content-length", length)])).await;
        for (number, piece) in pieces.iter().enumerate() {
            frames.send(DATA, u8::from(number + 1 == pieces.len()), 1, piece).await;
        }
        let outcome = frames.outcome(1).await;
        assert!(
            matches!(outcome, Outcome::Reset(PROTOCOL_ERROR) | Outcome::Status(400)),
            "{length} {pieces:?}: {outcome:?}"
        );
        // What did begin upstream is cut there: no later request follows on the same connection.
        frames.request(3, END_STREAM, GET).await;
        assert_eq!(frames.answer(3).await.0, 200);
    }
    for connection in origin.octets() {
        let text = String::from_utf8_lossy(&connection).into_owned();
        let Some(at) = text.find("POST ") else { continue };
        let (_, content) = text[at..].split_once("\r\n\r\n").unwrap();
        assert!(content.len() < 5 && !content.contains("GET "), "a whole request upstream: {text}");
    }
}

#[tokio::test]
async fn r018_r097_r099_bad_trailers_complete_no_request_upstream() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    for (name, value) in [
        (":path", "/other"),
        (":status", "200"),
        (":foo", "x"),
        ("X-Upper", "x"),
        ("connection", "close"),
        ("x-edge", " x"),
        ("x-edge", "x\t"),
        ("x\"y", "x"),
        ("te", "gzip"),
    ] {
        let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
        frames.request(1, 0, &post(&[])).await;
        frames.send(DATA, 0, 1, b"abc").await;
        frames.request(1, END_STREAM, &[(name, value)]).await;
        let outcome = frames.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Status(200)), "{name}: {value:?} was forwarded");
    }
    // Trailers have to end the stream.
    let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
    frames.request(1, 0, &post(&[])).await;
    frames.request(1, 0, &[("x", "y")]).await;
    assert!(!matches!(frames.outcome(1).await, Outcome::Status(200)));
    for connection in origin.octets() {
        let text = String::from_utf8_lossy(&connection).into_owned();
        assert!(!text.contains("0\r\n\r\n") && !text.contains("x-edge"), "a whole request upstream: {text}");
    }
    let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
    frames.request(1, 0, &post(&[])).await;
    frames.send(DATA, 0, 1, b"abc").await;
    frames.request(1, END_STREAM, &[("x-sum", "1")]).await;
    assert_eq!(frames.answer(1).await.0, 200, "good ones pass");
}

#[tokio::test]
async fn r107_a_connection_ends_in_two_steps_and_what_was_begun_is_answered() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let mut frames = Frames::connect(bearward.address("api").unwrap()).await;
    // A request whose content is not whole: it keeps the connection for as long as it lasts.
    frames.request(1, 0, &post(&[])).await;
    frames.send(DATA, 0, 1, b"a").await;
    until("the request is under way", || origin.text().contains("POST /x")).await;
    let stopping = tokio::spawn(async move { bearward.stop().await });
    let first = frames.until(GOAWAY).await.unwrap();
    assert_eq!(
        (number(&first.payload), number(&first.payload[4..])),
        (0x7fff_ffff, 0),
        "no more, and nothing wrong"
    );
    // One that was on its way when that was said.
    frames.request(3, END_STREAM, GET).await;
    let ping = frames.until(PING).await.unwrap();
    frames.send(PING, 1, 0, &ping.payload).await;
    let (mut last, mut answered) = (None, Vec::new());
    while let Some(frame) = frames.next().await {
        match frame.kind {
            GOAWAY => last = Some(number(&frame.payload)),
            DATA if frame.payload == b"ok" => {
                answered.push(frame.stream);
                if frame.stream == 3 {
                    frames.send(DATA, END_STREAM, 1, b"b").await;
                }
            }
            _ => {}
        }
    }
    assert_eq!(answered, [3, 1], "what was begun is answered");
    assert_eq!(last, Some(3), "the last stream that was taken");
    tokio::time::timeout(PATIENCE, stopping).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn r111_a_slow_preface_a_slow_block_and_idleness_end_a_connection() {
    let origin = Origin::start().await;
    let limits = "limits = { head_timeout = \"200ms\", idle_timeout = \"400ms\" }\n";
    let bearward = start(&(limits.to_owned() + &origin.configuration()));
    let address = bearward.address("api").unwrap();
    let mut slow = Frames::over(tokio::net::TcpStream::connect(address).await.unwrap());
    slow.octets(b"PRI * HT").await;
    assert_eq!(slow.next().await, None, "half a preface");
    let mut slow = Frames::over(tokio::net::TcpStream::connect(address).await.unwrap());
    slow.octets(crate::support::h2::PREFACE).await;
    while slow.next().await.is_some() {}
    let mut slow = Frames::connect(address).await;
    slow.send(HEADERS, END_STREAM, 1, &block(GET)).await;
    while slow.next().await.is_some() {}
    let mut slow = Frames::connect(address).await;
    slow.octets(&[0, 4, 0, HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 1]).await;
    let mut open = true;
    for octet in block(GET).iter().cycle().take(200) {
        open &= slow.octets(&[*octet]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!open, "a block whose octets come one by one");
    let mut idle = Frames::connect(address).await;
    idle.request(1, END_STREAM, GET).await;
    assert_eq!(idle.answer(1).await.0, 200);
    assert!(idle.until(GOAWAY).await.is_some(), "an idle connection is told");
    while idle.next().await.is_some() {}
    assert_eq!(origin.text().matches("GET /x").count(), 1, "of the slow ones nothing went upstream");
}
