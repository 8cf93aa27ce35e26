//! HTTP/1.1: our readers beside the strict checker, which shares nothing with them.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, header};

use crate::{
    demo::simulator::strict::{self, Asked, Checker, Ending, Framing as Strict, Message, Start},
    wire::{
        RequestHead,
        chunked::{Reader, Step},
        fields::Name,
        head::{self, Framing, Limits, Read},
        target,
    },
};

const LIMITS: Limits = Limits { size: 64 << 10, fields: 100 };

/// What the checker refuses in a request and our reader leaves to those behind it: what is valid from an application to a proxy
/// and would not be from us to an upstream.
const LEFT_TO_THE_PROXY: &[&str] = &[
    // Skipped, as RFC 9112 section 2.2 asks a server to.
    "an empty line before a request",
    // Fields of one hop end with this hop, whether Connection names them or not.
    "a field of one hop that Connection does not name",
    "a connection option that is no token",
    "a connection option that takes away a field meant for all",
    "a Proxy-Connection",
    // An application's credential is replaced, and where it is not, two are refused there.
    "a field twice that may be there once",
    "an expectation that nobody knows",
    // The target's authority takes Host's place (RFC 9112 section 3.2.2).
    "a Host unlike the target's authority",
];

/// Reads a request's head with both, and again what ours writes of it.
///
/// # Panics
/// They read it differently.
pub fn request_head(octets: &[u8]) {
    let mut buffer = BytesMut::from(octets);
    let ours = head::request(&mut buffer, LIMITS);
    let mut checker = Checker::requests().keeping();
    let theirs = checker.push(octets).map(|()| checker.messages().first().cloned());
    match (ours, theirs) {
        (Ok(Some(ours)), Ok(Some(theirs))) => same_request(&ours, &theirs),
        (Ok(Some(ours)), Err(violation)) if checker.messages().is_empty() => {
            let in_head = violation.offset < (octets.len() - buffer.len()) as u64;
            assert!(
                !in_head || LEFT_TO_THE_PROXY.contains(&violation.found),
                "we take what is refused: {violation}"
            );
            written(&ours);
        }
        // Content that is broken, or is not whole.
        (Ok(Some(ours)), _) => written(&ours),
        (Ok(None) | Err(_), _) => {}
    }
}

fn same_request(ours: &Read<RequestHead>, theirs: &Message) {
    let Start::Request { method, target } = &theirs.start else { panic!("it is a request") };
    let head = &ours.head;
    assert_eq!(head.method.as_str(), method);
    if head.target.authority().is_none() {
        assert_eq!(head.target.to_string(), *target);
    }
    assert_eq!(head.fields.len(), theirs.fields.len());
    for (ours, (name, value)) in head.fields.iter().zip(&theirs.fields) {
        assert!(ours.is(name.as_str()) && ours.value == value, "{name} is another field");
    }
    assert_eq!(framing(ours.framing), theirs.framing);
    assert!(theirs.persists || !ours.persists, "a connection that is over is used again");
    written(ours);
}

fn framing(ours: Framing) -> Strict {
    match ours {
        Framing::Nothing => Strict::Nothing,
        Framing::Length(length) => Strict::Length(length),
        Framing::Chunked => Strict::Chunked,
        Framing::Close => Strict::Close,
    }
}

/// What we write of a head is one head, with our framing, and nothing behind it.
fn written(ours: &Read<RequestHead>) {
    let (Framing::Nothing | Framing::Length(0)) = ours.framing else { return };
    let mut out = Vec::new();
    let mut head = ours.head.clone();
    for name in ["te", "upgrade", "keep-alive", "proxy-connection", "connection", "expect", "authorization"] {
        head.fields.remove(name);
    }
    if let Some(authority) = head.target.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.fields.insert(&header::HOST, &host);
    }
    let Some(host) = head.fields.get(Name::HOST).filter(|host| !host.is_empty()) else { return };
    head::write_request(&*head, ours.framing, &mut out);
    let read =
        strict::requests(&out).unwrap_or_else(|violation| panic!("we write what is refused: {violation}"));
    assert_eq!(read.len(), 1, "we write one head");
    assert_eq!(read[0].end, out.len() as u64);
    let is_told_otherwise = |name: Option<Name>| matches!(name, Some(Name::HOST | Name::CONTENT_LENGTH));
    let kept = head
        .fields
        .iter()
        .filter(|field| !is_told_otherwise(field.known))
        .map(|field| (field.name, field.value));
    let meant: Vec<_> = [(&b"Host"[..], host)].into_iter().chain(kept).collect();
    let fields = read[0].fields.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
    let framed = |name: &[u8]| Name::of(name) == Some(Name::CONTENT_LENGTH);
    let written: Vec<_> = fields.filter(|(name, _)| !framed(name)).collect();
    assert_eq!(written, meant, "fields go on in their order, as they were spelled");
}

/// What the checker refuses in an answer and we take: what many origin servers do, and nobody can read differently once it is
/// written anew.
const FORGIVEN: &[&str] = &[
    "a status line that is none",
    "white space before the colon",
    "a field of one hop that Connection does not name",
    "a connection option that is no token",
    "a connection option that takes away a field meant for all",
    "a Proxy-Connection",
    "a field twice that may be there once",
    "more than one Content-Length",
    "a Content-Length that is no number",
    "framing in an answer that has no content",
    "content in an answer that resets it",
    "content up to the connection's end, which was not announced",
    "a change of protocols that nobody has asked for",
];

/// Reads an answer's head with both; the first octet tells the request's method.
///
/// # Panics
/// They read it differently.
pub fn answer_head(octets: &[u8]) {
    let Some((first, octets)) = octets.split_first() else { return };
    let method = match first % 3 {
        0 => Method::HEAD,
        1 => Method::CONNECT,
        _ => Method::GET,
    };
    let mut buffer = BytesMut::from(octets);
    let Ok(Some(ours)) = head::answer(&mut buffer, &method, LIMITS) else { return };
    let head = octets.len() - buffer.len();
    let mut checker = Checker::answers().keeping();
    checker.expect(Asked { upgrade: true, ..Asked::by(method.as_str()) });
    if let Err(violation) = checker.push(&octets[..head]) {
        assert!(FORGIVEN.contains(&violation.found), "we take what is refused: {violation}");
        return;
    }
    // Without content it is a message by now; with the connection's end it is one if it ends so.
    let close = checker.messages().is_empty() && checker.end() == Ok(Ending::Whole);
    let none = !checker.messages().is_empty() && !close;
    assert_eq!(ours.framing == Framing::Close, close);
    assert_eq!(matches!(ours.framing, Framing::Nothing | Framing::Length(0)), none);
    if let Some(theirs) = checker.messages().first() {
        assert_eq!(Some(ours.head.status.as_u16()), theirs.status());
        assert_eq!(ours.head.fields.len(), theirs.fields.len());
    }
}

/// Reads chunked content with both, ours in pieces whose size the first octet tells.
///
/// # Panics
/// They read it differently.
pub fn chunked(octets: &[u8]) {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let Some((size, octets)) = octets.split_first() else { return };
    let mut checker = Checker::requests().keeping();
    let theirs = checker.push(&[HEAD, octets].concat());
    let whole = checker.messages().first();
    match in_pieces(usize::from(*size).max(1), octets) {
        Ok(Some((content, read))) => {
            let Some(theirs) = whole else {
                let violation = theirs.expect_err("it is whole for us and cut for the checker");
                // Trailers that do not belong there are left behind, not refused.
                assert_eq!(violation.found, "a field among the trailers that belongs into a head");
                return;
            };
            assert_eq!(content, theirs.content);
            assert_eq!((HEAD.len() + read) as u64, theirs.end);
        }
        Ok(None) => assert!(whole.is_none(), "we wait for more than there is"),
        // Ours has limits that the checker has not.
        Err(()) => {}
    }
}

/// The content and how many octets it was written in; `None` if it is cut.
fn in_pieces(size: usize, octets: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let (mut reader, mut buffer, mut content) = (Reader::default(), BytesMut::new(), Vec::new());
    let mut given = 0;
    for piece in octets.chunks(size) {
        buffer.extend_from_slice(piece);
        given += piece.len();
        loop {
            match reader.step(&mut buffer).map_err(drop)? {
                Step::Data(data) => {
                    assert!(!data.is_empty(), "data is never empty");
                    content.extend_from_slice(&data);
                }
                Step::End(_) => return Ok(Some((content, given - buffer.len()))),
                Step::More => break,
            }
        }
    }
    Ok(None)
}

/// Reads a target for three methods, and a Host; what is taken has to be valid for the checker too.
///
/// # Panics
/// It is not.
pub fn target_and_host(octets: &[u8]) {
    for method in [Method::GET, Method::OPTIONS, Method::CONNECT] {
        let Ok(uri) = target::read(&method, Bytes::copy_from_slice(octets)) else { continue };
        let host = uri.authority().map_or("a", |authority| authority.as_str());
        let request =
            [method.as_str().as_bytes(), b" ", octets, b" HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\n\r\n"];
        let read = strict::requests(&request.concat());
        assert!(read.is_ok(), "we take what is refused: {read:?}");
    }
    if let Some((name, _)) = target::host_and_port(octets)
        && !name.is_empty()
    {
        let read = strict::requests(&[b"GET / HTTP/1.1\r\nHost: ", octets, b"\r\n\r\n"].concat());
        assert!(read.is_ok(), "we take what is refused: {read:?}");
    }
}

/// Reads a value as a Content-Length, a Transfer-Encoding and a Connection of a request with both.
///
/// # Panics
/// They read it differently.
pub fn field_values(octets: &[u8]) {
    for name in ["Content-Length", "Transfer-Encoding", "Connection", "Host"] {
        let host = if name == "Host" { "" } else { "Host: a\r\n" };
        request_head(
            &[b"POST / HTTP/1.1\r\n", host.as_bytes(), name.as_bytes(), b": ", octets, b"\r\n\r\n"].concat(),
        );
    }
}
