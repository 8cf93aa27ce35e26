//! The head of an answer as it is read, and of a request as it is written: the side of an HTTP/1.1 connection that asks.
//!
//! Knows the status line (RFC 9112 section 4), where an answer's content ends (section 6.3) and whether its connection persists
//! (section 9.3). Does not read or write sockets.

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::ext::Protocol;

use super::{
    fields::{self, BeforeColon, Field, Fields, Name, Onward},
    head::{self, Framing, HeadError, Limits, Read, write_fields},
    message::{AnswerHead, Reason},
};

/// Takes the head of an answer to a request of `method` off the front of `buffer`; `None` if it is not whole yet. Interim (1xx) heads
/// are heads like others, without content.
///
/// # Errors
/// What stands there is no valid answer; the connection ends.
pub fn answer(
    buffer: &mut BytesMut,
    method: &Method,
    limits: Limits,
) -> Result<Option<Read<AnswerHead>>, HeadError> {
    let known = buffer.len().min(NAME.len());
    if buffer[..known] != NAME[..known] {
        return Err(HeadError::Malformed("the answer does not begin with HTTP/"));
    }
    let section = match fields::first_line(buffer)? {
        Some(line) => {
            let section = fields::section(buffer, line + 2, BeforeColon::Removed, limits.fields)?;
            section.map(|section| (line, section))
        }
        None => None,
    };
    let Some((line, section)) = section else {
        return fields::end(buffer, limits.size, limits.fields + 1).map(|_| None);
    };
    if section.end > limits.size {
        return Err(HeadError::TooLarge);
    }
    let head = buffer.split_to(section.end).freeze();
    let StatusLine { version, status, reason } = StatusLine::of(&head[..line])?;
    let reason = match status.canonical_reason() {
        Some(usual) if usual.as_bytes() == reason => None,
        _ => Some(
            Reason::new(head.slice_ref(reason))
                .ok_or(HeadError::Malformed("the reason phrase has a CR or another control character"))?,
        ),
    };
    let fields = section.of(head);
    let framing = framing(method, version, status, &fields)?;
    let persists = framing != Framing::Close && persists(version, &fields);
    let head = AnswerHead { status, reason, version, fields };
    Ok(Some(Read { head: Box::new(head), framing, persists, underscored: false }))
}

const NAME: &[u8] = b"HTTP/";

struct StatusLine<'a> {
    version: Version,
    status: StatusCode,
    reason: &'a [u8],
}

impl<'a> StatusLine<'a> {
    /// RFC 9112 section 4, but for the space in front of a reason that is not there: many servers leave it out too.
    fn of(line: &'a [u8]) -> Result<Self, HeadError> {
        let (version, rest) = match line.strip_prefix(NAME) {
            Some([b'1', b'.', b'1', b' ', rest @ ..]) => (Version::HTTP_11, rest),
            Some([b'1', b'.', b'0', b' ', rest @ ..]) => (Version::HTTP_10, rest),
            Some([b'0'..=b'9', b'.', b'0'..=b'9', b' ', ..]) => return Err(HeadError::Version),
            _ => return Err(HeadError::Malformed("the status line names no version")),
        };
        let (status, reason) = match rest {
            [first, second, third] => ([*first, *second, *third], &[][..]),
            [first, second, third, b' ', reason @ ..] => ([*first, *second, *third], reason),
            _ => return Err(HeadError::Malformed("the status line has no status of three digits")),
        };
        let status = StatusCode::from_bytes(&status)
            .map_err(|_| HeadError::Malformed("the status line has no status of three digits"))?;
        Ok(Self { version, status, reason })
    }
}

/// Where the content ends (RFC 9112 section 6.3). Fields that contradict each other are refused also where there is no content:
/// somebody behind us may see some.
fn framing(
    method: &Method,
    version: Version,
    status: StatusCode,
    fields: &Fields,
) -> Result<Framing, HeadError> {
    let chunked = fields.contains(Name::TRANSFER_ENCODING) && is_chunked(version, fields)?;
    let length = content_length(fields)?;
    if chunked && length.is_some() {
        return Err(HeadError::Malformed("the answer has both Content-Length and Transfer-Encoding"));
    }
    let has_none = *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || (*method == Method::CONNECT && status.is_success());
    Ok(match length {
        _ if has_none => Framing::Nothing,
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    })
}

fn is_chunked(version: Version, fields: &Fields) -> Result<bool, HeadError> {
    let mut codings = fields.get_all(Name::TRANSFER_ENCODING);
    let Some(coding) = codings.next() else { return Ok(false) };
    if version == Version::HTTP_10 {
        return Err(HeadError::Malformed("the answer has a transfer coding in HTTP/1.0"));
    }
    if codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
        return Err(HeadError::Coding);
    }
    Ok(true)
}

/// Equal repetitions count as one (RFC 9112 section 6.3).
fn content_length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    if let Some(length) = fields.get_only(Name::CONTENT_LENGTH).and_then(head::content_length) {
        return Ok(Some(length));
    }
    let mut length = None;
    for value in fields.get_all(Name::CONTENT_LENGTH) {
        for item in value.split(|octet| *octet == b',') {
            let item = head::content_length(item.trim_ascii()).ok_or(HeadError::Malformed(
                "the answer's Content-Length is no number, or too large a one",
            ))?;
            if length.replace(item).is_some_and(|other| other != item) {
                return Err(HeadError::Malformed("the answer has different Content-Lengths"));
            }
        }
    }
    Ok(length)
}

fn persists(version: Version, fields: &Fields) -> bool {
    let said = fields.connection();
    !said.close && (version == Version::HTTP_11 || said.keep_alive)
}

/// A request's head as it goes out: what the application sent, what of it stays behind, and what is added. Both versions of HTTP write
/// it from here, each in its own way; nothing is copied before.
pub trait Outgoing {
    /// The method.
    fn method(&self) -> &Method;
    /// The target as it stands in the first line: path and query, or what CONNECT and OPTIONS have.
    fn target(&self) -> &str;
    /// The value of Host.
    fn host(&self) -> &[u8];
    /// The value of Connection, if there is one.
    fn connection(&self) -> Option<&str>;
    /// What an extended CONNECT asks for (RFC 8441).
    fn protocol(&self) -> Option<&Protocol>;
    /// Whether it asks for another protocol by Upgrade (RFC 9110 section 7.8).
    fn asks_to_switch(&self) -> bool;
    /// The fields that the application sent.
    fn came(&self) -> &Fields;
    /// Whether one of them stays behind. Host, Connection, Transfer-Encoding and Content-Length are not asked for.
    fn stays_behind(&self, field: &Field<'_>) -> bool;
    /// Shows the fields that come behind those. Asked once for each writing.
    fn added(&self, show: &mut dyn FnMut(&HeaderName, &HeaderValue));
}

/// Writes a request's head to `out`: HTTP/1.1, `Host` first, then the fields in their order, and `framing`.
pub fn write_request(request: &dyn Outgoing, framing: Framing, out: &mut Vec<u8>) {
    let target = request.target();
    out.reserve(target.len() + 256);
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields::write(b"Host", request.host(), out);
    if let Some(connection) = request.connection() {
        fields::write(b"Connection", connection.as_bytes(), out);
    }
    let onward = |field: &Field<'_>| {
        let stays = field.known == Some(Name::HOST) || request.stays_behind(field);
        if stays { Onward::Stays } else { Onward::Goes }
    };
    write_fields(request.came(), onward, framing, out);
    request.added(&mut |name, value| fields::write(name.as_str().as_bytes(), value.as_bytes(), out));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { size: 64 << 10, fields: 100 };

    fn read_for(method: &Method, text: impl AsRef<[u8]>) -> Result<Option<Read<AnswerHead>>, HeadError> {
        answer(&mut BytesMut::from(text.as_ref()), method, LIMITS)
    }

    fn read(text: impl AsRef<[u8]>) -> Result<Option<Read<AnswerHead>>, HeadError> {
        read_for(&Method::GET, text)
    }

    fn framed(fields: &str) -> Result<Framing, HeadError> {
        read(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).map(|head| head.unwrap().framing)
    }

    #[test]
    fn an_answer_is_read_and_what_follows_it_stays() {
        let mut buffer = BytesMut::from("HTTP/1.1 200 Fine Indeed\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc");
        let Read { head, framing, persists, .. } =
            answer(&mut buffer, &Method::GET, LIMITS).unwrap().unwrap();
        assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_11));
        assert_eq!((framing, persists), (Framing::Length(3), true));
        assert_eq!(head.reason.unwrap().as_bytes(), b"Fine Indeed");
        assert_eq!(head.fields.get("x-a"), Some(&b"1"[..]));
        assert_eq!(buffer, "abc");
    }

    #[test]
    fn r086_a_head_is_read_when_it_is_whole_and_not_before() {
        let whole = "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n";
        for length in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..length]);
            assert!(answer(&mut buffer, &Method::GET, LIMITS).unwrap().is_none());
            assert_eq!(buffer.len(), length, "nothing is taken");
        }
    }

    #[test]
    fn a_status_line_is_exactly_one() {
        for (line, status) in [
            ("HTTP/1.1 200 OK", 200),
            ("HTTP/1.0 404 ", 404),
            ("HTTP/1.1 500", 500),
            ("HTTP/1.1 200 Gr\u{fc}\u{df}e\tund so", 200),
            ("HTTP/1.1 999 Denied", 999),
        ] {
            assert_eq!(read(format!("{line}\r\n\r\n")).unwrap().unwrap().head.status, status, "{line}");
        }
        for line in [
            "",
            "HTTP/1.1",
            "HTTP/1.1 ",
            "HTTP/1.1 OK",
            "HTTP/1.1 20",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 No",
            "HTTP/1.1 +20 No",
            "HTTP/1.1  200 OK",
            "HTTP/1.1\t200 OK",
            "HTTP/1.1 200\tOK",
            "HTTP/1.1 200 a\rb",
            "HTTP/1.1 200 a\0b",
            "HTTP/1.1 200 a\x7fb",
            "HTTP/1 200 OK",
            "HTTP/11 200 OK",
            "HTTP/1.1.1 200 OK",
            "http/1.1 200 OK",
            " HTTP/1.1 200 OK",
            "ICY 200 OK",
            "SSH-2.0-OpenSSH_9.2",
        ] {
            let outcome = read(format!("{line}\r\n\r\n"));
            assert!(matches!(outcome, Err(HeadError::Malformed(_))), "{line:?}: {outcome:?}");
        }
        for line in ["HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/1.2 200 OK"] {
            assert_eq!(read(format!("{line}\r\n\r\n")).unwrap_err(), HeadError::Version, "{line}");
        }
        assert!(read("\r\nHTTP/1.1 200 OK\r\n\r\n").is_err(), "r090: nothing stands before an answer");
        assert!(read("SS").is_err(), "it is told before it has ended");
    }

    #[test]
    fn r086_r087_a_broken_head_is_none() {
        for head in [
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: c\r\n\r\n",
        ] {
            assert!(matches!(read(head), Err(HeadError::Malformed(_))), "{head:?}");
        }
        let read = read("HTTP/1.1 200 OK\r\nX-Spaced : 1\r\n\r\n").unwrap().unwrap();
        assert_eq!(
            read.head.fields.get("x-spaced"),
            Some(&b"1"[..]),
            "r086: white space before the colon is removed"
        );
    }

    #[test]
    fn r085_two_ways_to_see_the_end_are_none() {
        for fields in [
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2, 3\r\n",
            "Content-Length: \r\n",
            "Content-Length: 2,\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: -2\r\n",
            "Content-Length: 0x2\r\n",
            "Content-Length: 2 2\r\n",
            "Content-Length: 18446744073709551616\r\n",
        ] {
            assert!(matches!(framed(fields), Err(HeadError::Malformed(_))), "{fields}");
        }
        for fields in [
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: \r\n",
        ] {
            assert_eq!(framed(fields), Err(HeadError::Coding), "{fields}");
        }
        assert!(read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        let both = "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(read(both).is_err(), "also without content");
    }

    #[test]
    fn r072_r085_r089_where_the_content_ends() {
        for (fields, framing) in [
            ("Content-Length: 2\r\n", Framing::Length(2)),
            ("Content-Length: 2, 2\r\nContent-Length: 02\r\n", Framing::Length(2)),
            ("Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
            ("Content-Length: 0\r\n", Framing::Length(0)),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
            ("", Framing::Close),
        ] {
            assert_eq!(framed(fields), Ok(framing), "{fields}");
        }
        for (method, status) in [
            (Method::HEAD, 200),
            (Method::GET, 103),
            (Method::GET, 101),
            (Method::GET, 204),
            (Method::GET, 304),
            (Method::CONNECT, 200),
        ] {
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(
                read_for(&method, head).unwrap().unwrap().framing,
                Framing::Nothing,
                "{method} {status}"
            );
        }
        let refused = read_for(&Method::CONNECT, "HTTP/1.1 403 x\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(refused.unwrap().unwrap().framing, Framing::Length(5));
    }

    #[test]
    fn r077_whether_the_connection_persists() {
        for (version, connection, persists) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x-hop, CLOSE\r\n", false),
            ("1.1", "Connection: x\r\nConnection: close\r\n", false),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{connection}\r\n");
            assert_eq!(read(head).unwrap().unwrap().persists, persists, "{version} {connection}");
        }
        assert!(!read("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().persists, "it ends with the connection");
    }

    #[test]
    fn r092_a_head_is_measured() {
        let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(read(fields(100)).unwrap().unwrap().head.fields.len(), 100);
        assert_eq!(read(fields(101)).unwrap_err(), HeadError::TooLarge);
        let long = |length: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(length - 24));
        assert!(read(long(LIMITS.size)).is_ok());
        assert_eq!(read(long(LIMITS.size + 1)).unwrap_err(), HeadError::TooLarge);
        let endless = format!("HTTP/1.1 200 {}", "b".repeat(LIMITS.size));
        assert_eq!(read(endless).unwrap_err(), HeadError::TooLarge);
    }

    fn written(request: Request<()>, framing: Framing) -> String {
        let mut out = Vec::new();
        let head = crate::wire::Request::from(request).head;
        write_request(&*head, framing, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn r060_a_request_is_written_with_host_first_and_one_framing() {
        let request = Request::post("/a?b=%20")
            .header("x-b", "1")
            .header("content-length", "7")
            .header("host", "h:1")
            .header("transfer-encoding", "gzip")
            .header("connection", "te")
            .header("x-a", "2")
            .header("x-b", "3");
        assert_eq!(
            written(request.body(()).unwrap(), Framing::Length(1203)),
            "POST /a?b=%20 HTTP/1.1\r\nHost: h:1\r\nConnection: te\r\nx-b: 1\r\nx-b: 3\r\ncontent-length: 1203\r\nx-a: 2\r\n\r\n"
        );
        let request = |target: &str| Request::options(target).header("host", "h").body(()).unwrap();
        assert_eq!(written(request("*"), Framing::Nothing), "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            written(request("/"), Framing::Chunked),
            "OPTIONS / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let connect = Request::connect("h:443").header("host", "h:443").body(()).unwrap();
        assert_eq!(written(connect, Framing::Nothing), "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
        let longest = written(request("/"), Framing::Length(u64::MAX));
        assert!(longest.contains("content-length: 18446744073709551615\r\n"), "{longest}");
    }

    proptest! {
        #[test]
        fn r087_no_octets_make_it_panic_and_no_control_character_passes(
            tail in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), any::<u8>()], 0..80)
        ) {
            let text = [b"HTTP/1.1 200 OK\r\n", &tail[..], b"\r\n\r\n"].concat();
            if let Ok(Some(head)) = read(text) {
                for field in head.head.fields.iter() {
                    prop_assert!(!field.name.iter().chain(field.value).any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}
