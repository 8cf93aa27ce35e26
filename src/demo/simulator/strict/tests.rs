//! What the checker refuses, by the number of the requirement; what it must let pass; and that it shows no value.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::demo::simulator::AuthorizationServer;

const HEAD: &str = "GET / HTTP/1.1\r\nHost: a\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

fn refused(octets: impl AsRef<[u8]>) -> String {
    let octets = octets.as_ref();
    let whole = requests(octets).expect_err(&octets.escape_ascii().to_string());
    // Octet by octet it is the same.
    let mut checker = Checker::requests();
    let first = octets.iter().find_map(|octet| checker.push(&[*octet]).err()).expect("the same violation");
    assert_eq!((first.section, first.found), (whole.section, whole.found));
    whole.section.trim_start_matches("RFC ").replace("section ", "")
}

fn read(octets: impl AsRef<[u8]>) -> Vec<Message> {
    requests(octets.as_ref()).unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn r060_every_violation_of_the_grammar_is_seen() {
    let table: &[(&str, &str)] = &[
        // r003, r004: Host
        ("GET / HTTP/1.1\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "9112 3.2"),
        ("GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", "9112 3.2"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2"),
        // r006, r052, r053: targets
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "9110 4.2.4"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.4"),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.2"),
        ("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2"),
        ("GET /<x> HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.1"),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.3"),
        ("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3.2.3"),
        // r050, r051, r054: the request line
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "9112 2.2"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "9112 3"),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3"),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3"),
        ("GET /\r\n\r\n", "9112 3"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "9110 9.1"),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "9112 2.3"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "9112 2.3"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "9112 2.3"),
        // r043, r044: line ends
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "9112 2.2"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "9112 2.2"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "9112 2.2"),
        ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "9112 2.2"),
        // r045-r049: fields
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "9110 5.5"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", "9110 5.5"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", "9112 5.1"),
        ("GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", "9112 5.2"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tX: a\r\n\r\n", "9112 5.2"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "9112 5"),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "9110 5.1"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n", "9110 5.1"),
    ];
    for (octets, section) in table {
        assert_eq!(refused(octets), *section, "{octets:?}");
    }
}

#[test]
fn r060_every_violation_of_the_framing_is_seen() {
    let table: &[(&str, &str)] = &[
        // r031-r037
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "9112 6.1"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "9112 6.3"),
        ("Content-Length: 3, 3\r\n\r\nabc", "9110 8.6"),
        ("Content-Length: +3\r\n\r\nabc", "9110 8.6"),
        ("Content-Length:\r\n\r\n", "9110 8.6"),
        ("Content-Length: 18446744073709551616\r\n\r\n", "9110 8.6"),
        ("Transfer-Encoding: gzip\r\n\r\n", "9112 6.1"),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "9112 6.1"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "9112 6.1"),
        // r038-r042
        ("Transfer-Encoding: chunked\r\n\r\nx\r\n", "9112 7.1"),
        ("Transfer-Encoding: chunked\r\n\r\n0x3\r\n", "9112 7.1.1"),
        ("Transfer-Encoding: chunked\r\n\r\n-1\r\n", "9112 7.1"),
        ("Transfer-Encoding: chunked\r\n\r\n 3\r\n", "9112 7.1"),
        ("Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", "9112 7.1.1"),
        ("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", "9112 7.1"),
        ("Transfer-Encoding: chunked\r\n\r\n3;=a\r\nabc\r\n", "9112 7.1.1"),
        ("Transfer-Encoding: chunked\r\n\r\n3;a=\"b\r\nabc\r\n", "9112 7.1.1"),
        ("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n", "9112 2.2"),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "9112 7.1"),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", "9112 2.2"),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\nX : a\r\n\r\n", "9112 5.1"),
        // r018
        ("Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n", "9110 6.5.1"),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n", "9110 6.5.1"),
        // r014, r062, r066, r070
        ("Authorization: a\r\nAuthorization: b\r\n\r\n", "9110 5.3"),
        ("TE: trailers\r\n\r\n", "9110 7.6.1"),
        ("Upgrade: websocket\r\n\r\n", "9110 7.6.1"),
        ("Proxy-Connection: close\r\n\r\n", "9112 appendix C.2.2"),
        ("Connection: host\r\n\r\n", "9110 7.6.1"),
        ("Connection: a b\r\n\r\n", "9110 7.6.1"),
        ("Expect: a-miracle\r\n\r\n", "9110 10.1.1"),
        // r055, r077
        ("Connection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "9112 9.6"),
        ("Content-Length: 3\r\n\r\nabcd / HTTP/1.1\r\n\r\n", "9112 3.2"),
    ];
    for (octets, section) in table {
        assert_eq!(refused(format!("{POST}{octets}")), *section, "{octets:?}");
    }
    assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), "9112 6.1");
}

#[test]
fn r060_what_is_valid_passes_and_is_read_as_it_stands() {
    let one = format!("{HEAD}X-Empty:\r\nX-High: \u{e9}\r\n\r\n");
    let two = format!("{POST}content-length: 5\r\n\r\nhello");
    let three = format!(
        "{POST}Transfer-Encoding: Chunked\r\n\r\n1;a;b=c;d=\"e\\\"\"\r\nx\r\n00a\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\n"
    );
    let four = "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nConnection: TE\r\nTE: trailers\r\n\r\n";
    let five = "GET http://a:1/x?y HTTP/1.1\r\nHost: A:1\r\nConnection: close\r\n\r\n";
    let messages = read(format!("{one}{two}{three}{four}{five}"));
    assert_eq!(messages.len(), 5);
    assert_eq!(messages[0].values("x-empty").next(), Some(&b""[..]));
    assert_eq!((messages[1].framing, &messages[1].content[..]), (Framing::Length(5), &b"hello"[..]));
    assert_eq!((messages[2].framing, messages[2].length, messages[2].extensions), (Framing::Chunked, 11, 1));
    assert_eq!(messages[2].trailers, [("X-Sum".to_owned(), b"7".to_vec())]);
    assert!(messages[3].persists && !messages[4].persists);
    for target in ["/a[1]|b?c[]={d}|e^f`g\\h", "//x", "/%2e%2E/..;a=b", "/?", "/a:b@c!$&'()*+,;="] {
        assert_eq!(read(format!("GET {target} HTTP/1.1\r\nHost: a.b_c~d:\r\n\r\n")).len(), 1, "{target}");
    }
}

#[test]
fn r057_a_cut_message_is_no_message() {
    for cut in ["POST", "POST / HTTP/1.1\r", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"] {
        let mut checker = Checker::requests().keeping();
        checker.push(cut.as_bytes()).unwrap();
        assert_eq!(checker.end(), Ok(Ending::Cut), "{cut}");
        assert!(checker.messages().is_empty());
    }
    let mut checker = Checker::requests();
    checker.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((checker.end(), checker.count()), (Ok(Ending::Whole), 1));
}

#[test]
fn another_protocol_is_nobodys_business_here() {
    let mut checker = Checker::requests();
    checker.push(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").unwrap();
    assert!(checker.may_leave());
    checker.leave();
    checker.push(b"\0\n\r").unwrap();
    let get = Asked { upgrade: true, ..Asked::by("GET") };
    let switched = b"HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\0\n\r";
    assert_eq!(answers(switched, [get]).unwrap().len(), 1);
    assert_eq!(answers(b"HTTP/1.1 200 OK\r\n\r\n\0\n\r", [Asked::by("CONNECT")]).unwrap().len(), 1);
    assert!(answers(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n\0\n\r", [Asked::by("CONNECT")]).is_err());
}

#[test]
fn r085_r087_every_violation_of_an_answer_is_seen() {
    let table: &[(&str, &str)] = &[
        ("HTTP/1.1 200\r\n\r\n", "9112 4"),
        ("HTTP/1.1  200 OK\r\n\r\n", "9110 15"),
        ("HTTP/1.1 20 OK\r\n\r\n", "9110 15"),
        ("HTTP/1.1 099 OK\r\n\r\n", "9110 15"),
        ("HTTP/1.1 200 O\0K\r\n\r\n", "9112 4"),
        ("HTTP/2 200 OK\r\n\r\n", "9112 2.3"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "9110 8.6"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", "9112 6.1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "9112 6.3"),
        ("HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n", "9112 6.3"),
        ("HTTP/1.1 103 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "9112 6.3"),
        ("HTTP/1.1 205 OK\r\nContent-Length: 1\r\n\r\n", "9110 15.3.6"),
        ("HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "9110 15.2.2"),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "9112 5.2"),
        ("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "9112 5.1"),
        // Who closes says so, or nobody knows a cut from an end.
        ("HTTP/1.1 200 OK\r\n\r\nabc", "9112 9.6"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "9112 9.2"),
    ];
    for (octets, section) in table {
        let violation = answers(octets.as_bytes(), [Asked::by("GET")]).expect_err(octets);
        assert_eq!(
            violation.section.trim_start_matches("RFC ").replace("section ", ""),
            *section,
            "{octets:?}"
        );
    }
    let old = || Asked { old: true, ..Asked::by("GET") };
    assert!(answers(b"HTTP/1.1 100 Continue\r\n\r\n", [old()]).is_err());
    assert!(answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [old()]).is_err());
}

#[test]
fn r072_an_answer_ends_where_its_request_and_status_say() {
    let octets = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
        HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n\
        HTTP/1.1 204 \r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe rest";
    let asked = ["POST", "HEAD", "GET", "DELETE", "GET"].map(Asked::by);
    let messages = answers(octets, asked).unwrap();
    let statuses: Vec<_> = messages.iter().filter_map(Message::status).collect();
    assert_eq!(statuses, [100, 200, 200, 304, 204, 200]);
    assert_eq!(messages[5].content, b"the rest");
}

#[test]
fn r146_a_violation_and_a_message_show_no_value() {
    let secret = "Zm9yYmlkZGVu";
    let broken = [
        format!("{HEAD}Authorization: {secret}\0\r\n\r\n"),
        format!("{HEAD}Authorization {secret}\r\n\r\n"),
        format!("{HEAD}{secret} : x\r\n\r\n"),
        format!("GET /?{secret}# HTTP/1.1\r\n\r\n"),
        format!("{HEAD}Content-Length: {secret}\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n{secret}\r\n"),
    ];
    for octets in broken {
        let violation = requests(octets.as_bytes()).unwrap_err();
        assert!(!format!("{violation} {violation:?}").contains(secret), "{violation}");
    }
    let whole = format!(
        "POST /x?{secret} HTTP/1.1\r\nHost: a\r\nAuthorization: {secret}\r\nContent-Length: 12\r\n\r\n{secret}"
    );
    assert!(!format!("{:?}", read(whole)).contains(secret));
}

#[tokio::test]
async fn a_watched_connection_fails_with_the_first_violation() {
    let tally = Tally::default();
    let mut bad = Watched::new(&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], tally.clone());
    assert!(bad.read_to_end(&mut Vec::new()).await.is_err());
    assert_eq!(tally.forgive().len(), 1);
    let mut good = Watched::new(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], tally.clone());
    good.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(tally.violations().is_empty());
}

#[tokio::test]
#[should_panic(expected = "a bare LF")]
async fn r060_whoever_lets_a_simulator_receive_something_invalid_fails() {
    let server = AuthorizationServer::new().client("app", "secret").start().await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\nHost: a\r\n\r\n").await.unwrap();
    // It ends without having been answered as a request.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    drop(server);
}
