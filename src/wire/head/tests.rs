//! Requests as they may and may not stand on a connection, and heads as we write them.

use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::wire::message::Reason;

const LIMITS: Limits = Limits { size: 4096, fields: 20 };

fn read(text: &[u8]) -> Result<Option<Read<RequestHead>>, HeadError> {
    request(&mut BytesMut::from(text), LIMITS)
}

fn with(fields: &str) -> Result<Read<RequestHead>, HeadError> {
    read(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
        .map(|head| head.expect("it is whole"))
}

fn framing(fields: &str) -> Framing {
    with(fields).unwrap_or_else(|error| panic!("{fields:?}: {error:?}")).framing
}

fn is_malformed(text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let outcome = read(text);
    assert!(matches!(outcome, Err(HeadError::Malformed(_))), "{}: {outcome:?}", text.escape_ascii());
}

#[test]
fn a_head_is_taken_off_the_front_and_the_rest_stays() {
    let mut buffer =
        BytesMut::from(&b"\r\n\r\nGET /a?b HTTP/1.1\r\nHost: a.example\r\nX-Y: z\r\n\r\nrest"[..]);
    let read = request(&mut buffer, LIMITS).unwrap().unwrap();
    assert_eq!(&buffer[..], b"rest");
    assert_eq!((read.framing, read.persists, read.underscored), (Framing::Nothing, true, false));
    let head = read.head;
    assert_eq!((head.method, head.target), (Method::GET, "/a?b".parse().unwrap()));
    assert_eq!((head.version, head.protocol.is_none()), (Version::HTTP_11, true));
    let fields: Vec<_> = head.fields.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(fields, [(&b"Host"[..], &b"a.example"[..]), (b"X-Y", b"z")]);
}

#[test]
fn octets_that_come_one_by_one_make_the_same_head() {
    let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut buffer = BytesMut::new();
    for (at, octet) in whole.iter().enumerate() {
        buffer.extend_from_slice(&[*octet]);
        assert_eq!(request(&mut buffer, LIMITS).unwrap().is_some(), at + 1 == whole.len(), "{at}");
    }
}

#[test]
fn r050_the_request_line_is_exactly_three_parts() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET",
        "",
        "GET / / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/11",
        "GET / HTTP/1",
        "GET / HTTP/a.b",
        "/ HTTP/1.1",
        "GET / HTTP/1.1\r",
        "G\rET / HTTP/1.1",
        "GET /\r HTTP/1.1",
        "GET / HTTPS/1.1",
        "GET /\0 HTTP/1.1",
    ] {
        is_malformed(format!("{line}\r\nHost: a\r\n\r\n").trim_start_matches("\r\n"));
    }
    is_malformed("GET / HTTP/1.1\nHost: a\n\n");
    is_malformed("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn r051_other_versions_are_refused_as_such() {
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0"] {
        let outcome = read(format!("GET / {version}\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(outcome.map(|_| ()), Err(HeadError::Version), "{version}");
    }
    let old = read(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").unwrap().unwrap();
    assert_eq!((old.head.version, old.persists), (Version::HTTP_10, false));
}

#[test]
fn r054_a_method_is_a_token_and_keeps_its_case() {
    for method in ["get", "Get", "M-SEARCH", "!#$%&'*+-.^_`|~", "X"] {
        let read = read(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!(read.head.method.as_str(), method);
    }
    for method in ["G(T", "G\"T", "G{T", "G:T", "G/T", "G\u{e9}T", "G\0T", "G,T", "G=T", "G@T", "G\\T", "G[T"]
    {
        is_malformed(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn r004_one_valid_host_in_every_request() {
    is_malformed("GET / HTTP/1.1\r\n\r\n");
    is_malformed("GET http://a/ HTTP/1.1\r\n\r\n");
    is_malformed("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    is_malformed("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n");
    for host in ["", "a b", "user@a", "a:0", "a:99999", "a:x", "a/b", "a,b/", "[::1", "http://a", "a\u{e9}"] {
        is_malformed(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    assert!(read(b"GET / HTTP/1.0\r\n\r\n").unwrap().is_some());
}

#[test]
fn r032_r033_r034_a_content_length_is_one_number() {
    assert_eq!(framing(""), Framing::Nothing);
    for (value, length) in [("0", 0), ("5", 5), ("  7\t", 7), ("18446744073709551615", u64::MAX), ("007", 7)]
    {
        assert_eq!(framing(&format!("Content-Length: {value}\r\n")), Framing::Length(length));
    }
    for value in [
        "",
        "+5",
        "-1",
        "5 5",
        "5, 5",
        "5,5",
        "5,6",
        "0x5",
        "5.0",
        "5e0",
        "five",
        "18446744073709551616",
        "99999999999999999999999",
        "5;",
        "\"5\"",
        "٥",
    ] {
        let outcome = with(&format!("Content-Length: {value}\r\n"));
        assert!(matches!(outcome, Err(HeadError::Malformed(_))), "{value}: {outcome:?}");
    }
    for fields in ["Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\ncontent-length: 5\r\n"]
    {
        assert!(matches!(with(fields), Err(HeadError::Malformed(_))), "{fields}");
    }
}

#[test]
fn r031_r035_r036_r037_a_transfer_coding_is_one_chunked() {
    for value in ["chunked", "Chunked", "\t chunked "] {
        assert_eq!(framing(&format!("Transfer-Encoding: {value}\r\n")), Framing::Chunked);
    }
    for value in ["gzip, chunked", "x-own,chunked", "identity, chunked"] {
        let outcome = with(&format!("Transfer-Encoding: {value}\r\n"));
        assert_eq!(outcome.map(|_| ()), Err(HeadError::Coding), "{value}");
    }
    for value in [
        "",
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;a=b",
        "chunked,",
        ",chunked",
        " , chunked",
        "xchunked",
        "chunked x",
        "\"chunked\"",
        "chunked\x0b",
        "chunked, identity",
        "chun\u{212a}ed",
    ] {
        let outcome = with(&format!("Transfer-Encoding: {value}\r\n"));
        assert!(matches!(outcome, Err(HeadError::Malformed(_))), "{value}: {outcome:?}");
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        assert!(matches!(with(fields), Err(HeadError::Malformed(_))), "{fields}");
    }
    is_malformed("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn r009_a_connect_has_no_content() {
    assert!(read(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").unwrap().is_some());
    assert!(read(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 0\r\n\r\n").unwrap().is_some());
    is_malformed("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 1\r\n\r\n");
    is_malformed("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn r030_a_look_alike_of_what_frames_a_message_is_refused_and_others_are_told() {
    for name in
        ["Content_Length", "transfer_encoding", "Transfer_encoding", "proxy_authorization", "keep_alive"]
    {
        assert!(matches!(with(&format!("{name}: 5\r\n")), Err(HeadError::Malformed(_))), "{name}");
    }
    assert!(with("X_Own: 5\r\n").unwrap().underscored);
    assert!(!with("X-Own: a_b\r\n").unwrap().underscored);
}

#[test]
fn r077_close_is_heard() {
    for (fields, persists) in [
        ("", true),
        ("Connection: keep-alive\r\n", true),
        ("Connection: close\r\n", false),
        ("Connection: te, CLOSE\r\n", false),
        ("Connection: te\r\nConnection: ,close\r\n", false),
        ("Connection: closed\r\n", true),
    ] {
        assert_eq!(with(fields).unwrap().persists, persists, "{fields}");
    }
}

#[test]
fn r114_what_is_too_large_is_told_apart() {
    let long = "b".repeat(LIMITS.size);
    let many = "a: b\r\n".repeat(LIMITS.fields + 1);
    for (text, error) in [
        (format!("GET /{long} HTTP/1.1\r\n"), HeadError::TargetTooLong),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::TargetTooLong),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n"), HeadError::TooLarge),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nA: {long}"), HeadError::TooLarge),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), HeadError::TooLarge),
    ] {
        assert_eq!(read(text.as_bytes()).map(|_| ()), Err(error));
    }
    let enough = "a: b\r\n".repeat(LIMITS.fields - 1);
    assert!(read(format!("GET / HTTP/1.1\r\nHost: a\r\n{enough}\r\n").as_bytes()).unwrap().is_some());
}

fn written(fields: &[(&'static str, &'static str)], framing: Framing, connection: Option<&str>) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    let head = AnswerHead { fields: Fields::from(&map), ..AnswerHead::new(StatusCode::NOT_FOUND) };
    let mut out = Vec::new();
    write_answer(&head, framing, connection, Some(b"now"), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_answers_framing_is_ours() {
    let fields = [
        ("a", "b"),
        ("content-length", "9"),
        ("connection", "x"),
        ("transfer-encoding", "gzip"),
        ("set-cookie", "c"),
        ("set-cookie", "d"),
    ];
    assert_eq!(
        written(&fields, Framing::Length(18446744073709551615), None),
        "HTTP/1.1 404 Not Found\r\na: b\r\ncontent-length: 18446744073709551615\r\nset-cookie: c\r\nset-cookie: d\r\ndate: now\r\n\r\n"
    );
    assert_eq!(
        written(&fields, Framing::Chunked, Some("close")),
        "HTTP/1.1 404 Not Found\r\na: b\r\nset-cookie: c\r\nset-cookie: d\r\ntransfer-encoding: chunked\r\ndate: now\r\nconnection: close\r\n\r\n"
    );
    for framing in [Framing::Nothing, Framing::Close] {
        assert_eq!(
            written(&[("content-length", "1")], framing, None),
            "HTTP/1.1 404 Not Found\r\ndate: now\r\n\r\n"
        );
    }
    assert_eq!(
        written(&[], Framing::Length(0), None),
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\ndate: now\r\n\r\n"
    );
}

#[test]
fn a_reason_goes_on_if_it_is_one() {
    let reason = Reason::new(Bytes::from_static(b"Fine, thanks"));
    let head = AnswerHead { reason, ..AnswerHead::new(StatusCode::OK) };
    let mut out = Vec::new();
    write_answer(&head, Framing::Nothing, None, None, &mut out);
    assert_eq!(out, b"HTTP/1.1 200 Fine, thanks\r\n\r\n");
    assert_eq!(Reason::new(Bytes::from_static(b"a\r\nb: c")), None);
}

#[test]
fn r033_a_length_is_told_once_in_its_place_and_in_one_way() {
    for (told, length, said) in [
        ("Content-Length: 5", 5, "Content-Length: 5\r\n"),
        ("content-LENGTH:5", 5, "content-LENGTH: 5\r\n"),
        ("Content-Length: 005", 5, "Content-Length: 5\r\n"),
        ("Content-Length: 0", 0, "Content-Length: 0\r\n"),
        ("Content-Length: 00", 0, "Content-Length: 0\r\n"),
        ("Content-Length: 5, 5\r\nC: d\r\ncontent-length: 5", 5, "Content-Length: 5\r\nC: d\r\n"),
        ("Content-Length: 7", 5, "Content-Length: 5\r\n"),
    ] {
        let text = format!("A: b\r\n{told}\r\nE: f\r\n\r\n");
        let fields = fields::read(&Bytes::from(text), 0, fields::BeforeColon::Refused, 100).unwrap();
        let mut out = Vec::new();
        write_fields(&fields, |_| Onward::Goes, Framing::Length(length), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("A: b\r\n{said}E: f\r\n"), "{told}");
    }
}

/// What of these lines goes on with this framing, one by one.
fn naively(lines: &[(String, String, String)], stays: &[bool], framing: Framing) -> String {
    let mut out = String::new();
    let mut framed = false;
    for (at, (name, _, value)) in lines.iter().enumerate() {
        match (&*name.to_ascii_lowercase(), framing) {
            ("connection" | "transfer-encoding", _) => {}
            ("content-length", Framing::Length(length)) if !framed => {
                framed = true;
                out.push_str(&format!("{name}: {length}\r\n"));
            }
            ("content-length", _) => {}
            _ if stays[at % stays.len()] => {}
            _ => out.push_str(&format!("{name}: {value}\r\n")),
        }
    }
    match framing {
        Framing::Length(length) if !framed => out.push_str(&format!("content-length: {length}\r\n")),
        Framing::Chunked => out.push_str("transfer-encoding: chunked\r\n"),
        _ => {}
    }
    out
}

proptest! {
    #[test]
    fn whatever_framed_a_message_it_is_framed_once_and_as_we_say(
        lines in prop::collection::vec(
            ("(A|Set-Cookie|Host|Connection|Transfer-Encoding|(C|c)ontent-(L|l)ength)", " {0,2}", "(5|05|17|5, 5|chunked|x)"),
            0..10
        ),
        stays in prop::collection::vec(any::<bool>(), 1..10),
        framing in prop_oneof![
            Just(Framing::Nothing), Just(Framing::Length(5)), Just(Framing::Length(17)), Just(Framing::Chunked), Just(Framing::Close),
        ],
    ) {
        let text = lines.iter().map(|(name, space, value)| format!("{name}:{space}{value}\r\n")).collect::<String>();
        let fields = fields::read(&Bytes::from(format!("{text}\r\n")), 0, fields::BeforeColon::Refused, 100).unwrap();
        let (mut out, mut at) = (Vec::new(), 0);
        let numbered: Vec<_> = fields.iter().map(|field| field.value.as_ptr()).collect();
        let onward = |field: &Field<'_>| {
            // Those that frame are not asked for.
            at = numbered.iter().position(|own| *own == field.value.as_ptr()).unwrap();
            if stays[at % stays.len()] { Onward::Stays } else { Onward::Goes }
        };
        write_fields(&fields, onward, framing, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), naively(&lines, &stays, framing));
    }

    /// Whatever is let through has one reading: written out plainly, it is read as the same request.
    #[test]
    fn what_is_read_can_be_written_and_read_again(
        line in "(GET|POST|get) (/[!-~]{0,8}|http://a[!-~]{0,8}|\\*) HTTP/1\\.[01]",
        fields in proptest::collection::vec("(Host: a|Content-Length: [0-9]{1,3}|Transfer-Encoding: chunked|[a-zA-Z_-]{1,5}[ :]{1,2}[ -~]{0,5})\r\n", 0..5)
    ) {
        let text = format!("{line}\r\n{}\r\n", fields.concat());
        if let Ok(Some(first)) = read(text.as_bytes()) {
            let mut again = format!("{} {} HTTP/1.1\r\n", first.head.method, line.split(' ').nth(1).unwrap()).into_bytes();
            let mut fields = first.head.fields.clone();
            if !fields.contains(Name::HOST) {
                fields.append(&http::header::HOST, &HeaderValue::from_static("a"));
            }
            write_fields(&fields, |_| Onward::Goes, first.framing, &mut again);
            again.extend_from_slice(b"\r\n");
            let second = read(&again).unwrap().unwrap();
            prop_assert_eq!(second.framing, first.framing);
            prop_assert_eq!(second.head.target, first.head.target);
            let told = |fields: &Fields| -> Vec<_> {
                let framing = |field: &Field<'_>| matches!(field.known, Some(Name::TRANSFER_ENCODING | Name::CONTENT_LENGTH));
                let others = fields.iter().filter(|field| !framing(field));
                others.map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
            };
            prop_assert_eq!(told(&second.head.fields), told(&fields));
        }
    }

    #[test]
    fn no_octets_make_it_panic(octets: Vec<u8>, text in "(GET|[!-~]{0,3}) [ -~]{0,9} HTTP/1.1\r\n([ -~\r\n]{0,40})\r\n\r\n") {
        let _ = read(&octets);
        let _ = read(text.as_bytes());
    }
}
