//! Malformed and borderline answers (r085-r092): what reaches the application is valid, or a 502, or visibly cut; and what an origin
//! sends behind an answer is nobody's answer.

use std::sync::Arc;

use bearward::demo::simulator::strict::{self, Asked, Checker, Ending, Message};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    AT_ONCE, none, shown,
    table::{BAD_FIELDS, GOOD_FIELDS},
};
use crate::support::{PATIENCE, start};

/// What would be taken for the next answer by whoever takes too much or too little for this one.
const BEHIND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";

/// What may become of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A 502, or its content is cut.
    Refused,
    /// Its status arrives.
    Taken,
    Either,
}

struct Answer {
    category: &'static str,
    method: &'static str,
    octets: Vec<u8>,
    expect: Expect,
}

fn answers() -> Vec<Answer> {
    let mut all = Vec::new();
    let mut add = |category, method, head: &[u8], content: &[u8], expect| {
        let octets = [head, b"\r\n\r\n", content].concat();
        all.push(Answer { category, method, octets, expect });
    };
    use Expect::{Either, Refused, Taken};
    for line in [
        &b"HTTP/1.1200 OK"[..],
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 2xx OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 OK",
        b"HTTP/1.1",
        b"ICY 200 OK",
        b"<html>",
        b"GET / HTTP/1.1",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 O\nK",
        b"HTTP/1.1 200 O\x0bK",
        b"HTTP/1.1 200 OK\r",
        b"HTTP/1.1 200 OK\n",
        b"\r\nHTTP/1.1 200 OK",
        b"\nHTTP/1.1 200 OK",
        b"SSH-2.0-x",
        b"220 smtp",
        b"\x15\x03\x01\0\x02\x02\x28",
        b"HTTP/1.1 101 Switching Protocols",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            add("r086 a status line", method, &[line, b"\r\nContent-Length: 2"].concat(), b"ok", Refused);
        }
    }
    for line in [
        &b"HTTP/1.1 200"[..],
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 \x80\xff",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 999 Odd",
        b"HTTP/1.1 200 O K\t",
    ] {
        for method in ["GET", "HEAD"] {
            let content: &[u8] = if method == "HEAD" { b"" } else { b"ok" };
            add("r086 a status line", method, &[line, b"\r\nContent-Length: 2"].concat(), content, Either);
        }
    }
    for (lines, expect) in [(BAD_FIELDS, Either), (GOOD_FIELDS, Taken)] {
        for line in lines {
            for first in [true, false] {
                let head = match first {
                    true => [b"HTTP/1.1 200 OK\r\n", *line, b"\r\nContent-Length: 2"].concat(),
                    false => [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", *line].concat(),
                };
                add("r086-r087 a field", "GET", &head, b"ok", expect);
            }
        }
    }
    let lengths: &[(&[u8], Expect)] = &[
        (b"+2", Refused),
        (b"-2", Refused),
        (b"2 2", Refused),
        (b"2, 3", Refused),
        (b"0x2", Refused),
        (b"2.0", Refused),
        (b"", Refused),
        (b"two", Refused),
        (b"18446744073709551616", Refused),
        (b"2;", Refused),
        (b"\"2\"", Refused),
        (b"2\r\nContent-Length: 3", Refused),
        (b"2\r\nTransfer-Encoding: chunked", Refused),
        (b"2\r\nContent-Length: x", Refused),
        (b"2, 2", Either),
        (b"2\r\nContent-Length: 2", Either),
        (b"02", Either),
        (b"2,", Either),
        (b"99999", Refused),
        (b"2\x0b", Refused),
        (b"2_", Refused),
        (b"\xef\xbc\x92", Refused),
    ];
    for (value, expect) in lengths {
        for method in ["GET", "POST", "DELETE"] {
            let behind = if *value == b"99999" { &b"ok"[..] } else { &[b"ok", BEHIND].concat() };
            add(
                "r085, r090 a Content-Length",
                method,
                &[b"HTTP/1.1 200 OK\r\nContent-Length: ", *value].concat(),
                behind,
                *expect,
            );
        }
    }
    for coding in [
        &b"gzip"[..],
        b"gzip, chunked",
        b"chunked, chunked",
        b"identity",
        b"chunked, identity",
        b"xchunked",
        b"\"chunked\"",
        b"chunked;a=b",
        b"",
        b",",
        b"\x0bchunked",
        b"chunked\0",
        b"chunked x",
        b"chunked\r\nTransfer-Encoding: chunked",
        b"chunked\r\nTransfer-Encoding: gzip",
        b"chunked\r\nContent-Length: 2",
        b"\r\nContent-Length: 2",
    ] {
        for method in ["GET", "POST"] {
            let content = [b"2\r\nok\r\n0\r\n\r\n", BEHIND].concat();
            add(
                "r085 a Transfer-Encoding",
                method,
                &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ", coding].concat(),
                &content,
                Refused,
            );
        }
    }
    let chunks: &[(&[u8], Expect)] = &[
        (b"\r\n0\r\n\r\n", Refused),
        (b" 2\r\nok\r\n0\r\n\r\n", Refused),
        (b"0x2\r\nok\r\n0\r\n\r\n", Refused),
        (b"-2\r\nok\r\n0\r\n\r\n", Refused),
        (b"g\r\n", Refused),
        (b"2\nok\r\n0\r\n\r\n", Refused),
        (b"2\r\nok\n0\r\n\r\n", Refused),
        (b"2\r\nok0\r\n\r\n", Refused),
        (b"2\r\nokk\r\n0\r\n\r\n", Refused),
        (b"3\r\nok\r\n0\r\n\r\n", Refused),
        (b"10000000000000002\r\nok\r\n0\r\n\r\n", Refused),
        (b"2\r\nok\r\n0\r\nX : y\r\n\r\n", Refused),
        (b"2\r\nok\r\n0\r\n X: y\r\n\r\n", Refused),
        (b"2\r\nok\r\n0\r\nX: \0\r\n\r\n", Refused),
        (b"2\r\nok\r\n0\r\nX\r\n\r\n", Refused),
        (b"2\r\nok\r\n0\n\n", Refused),
        (b"2;a\nb\r\nok\r\n0\r\n\r\n", Refused),
        (b"2;a=\"\r\nok\r\n0\r\n\r\n", Either),
        (b"2;a=b\r\nok\r\n0\r\n\r\n", Taken),
        (b"02\r\nok\r\n00\r\n\r\n", Taken),
        (b"2\r\nok\r\n0\r\nX: y\r\n\r\n", Taken),
        (b"2\r\nok\r\n0\r\nContent-Length: 7\r\n\r\n", Either),
        (b"2\r\nok\r\n0\r\nTransfer-Encoding: x\r\n\r\n", Either),
        (b"2\r\nok\r\n", Refused),
        (b"2\r\no", Refused),
        (b"2\r\nok\r\n0\r\n", Refused),
        (b"", Refused),
    ];
    for (content, expect) in chunks {
        for method in ["GET", "POST", "PUT"] {
            let whole = *expect == Taken || content.ends_with(b"\r\n\r\n");
            let content = [*content, if whole { BEHIND } else { b"" }].concat();
            add(
                "r085, r088, r090 chunks",
                method,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
                &content,
                *expect,
            );
        }
    }
    for (method, head) in [
        ("HEAD", &b"HTTP/1.1 200 OK\r\nContent-Length: 2"[..]),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"),
        ("GET", b"HTTP/1.1 204 No Content"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 2"),
        ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked"),
        ("POST", b"HTTP/1.1 205 Reset\r\nContent-Length: 0"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content"),
        ("POST", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0"),
    ] {
        add("r072, r090 no content", method, head, BEHIND, Either);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r085_r092_what_reaches_the_application_is_valid_or_a_502_or_visibly_cut() {
    let answers = Arc::new(answers());
    assert!(answers.len() >= 200, "{}", answers.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let said = answers.clone();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, said.clone()));
        }
    });
    let bearward = start(&format!(
        "store = {{ kind = \"memory\" }}\n[upstreams.api]\nurl = \"http://{origin}\"\nlisten = \"127.0.0.1:0\"\n"
    ));
    let address = bearward.address("api").unwrap();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for number in 0..answers.len() {
        let (slots, answers) = (slots.clone(), answers.clone());
        asking.spawn(async move {
            let _slot = slots.acquire_owned().await.unwrap();
            let answer = &answers[number];
            let mut stream = TcpStream::connect(address).await.unwrap();
            let method = answer.method;
            let content = if method == "POST" { "Content-Length: 2\r\n\r\nhi" } else { "\r\n" };
            let request = format!(
                "{method} /a/{number} HTTP/1.1\r\nHost: localhost\r\n{content}GET /fine HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            );
            let mut came = Vec::new();
            let asked = async {
                stream.write_all(request.as_bytes()).await.unwrap();
                // Cut is what some of them have to be.
                let _ = stream.read_to_end(&mut came).await;
            };
            assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "no end: {}", shown(&answer.octets));
            judged(answer, &came).map_err(|problem| {
                format!(
                    "{}: {problem}\n    {:?} {method}\n    {}\n    came {}",
                    answer.category,
                    answer.expect,
                    shown(&answer.octets),
                    shown(&came)
                )
            })
        });
    }
    let judged = asking.join_all().await;
    serving.abort();
    let taken = judged.iter().filter(|judged| matches!(judged, Ok(true))).count();
    let wrong: Vec<_> = judged.into_iter().filter_map(Result::err).collect();
    none(&wrong, answers.len());
    let refused = answers.len() - taken;
    assert!(taken >= 50 && refused >= 150, "{taken} are taken, {refused} refused: something else is at work");
}

/// Whether the answer was taken.
fn judged(answer: &Answer, came: &[u8]) -> Result<bool, String> {
    let mut checker = Checker::answers().keeping();
    [answer.method, "GET"].map(Asked::by).into_iter().for_each(|asked| checker.expect(asked));
    let valid = checker.push(came).and_then(|()| checker.end());
    let ending = valid.map_err(|violation| format!("ANSWERED: {violation}"))?;
    let last: Vec<_> = checker.messages().iter().filter(|message| !message.is_interim()).collect();
    let status = last.first().and_then(|message| message.status());
    let refused = status == Some(502) || (last.is_empty() && ending == Ending::Cut);
    match answer.expect {
        Expect::Refused if !refused => return Err(format!("it is taken with {status:?}")),
        Expect::Taken if refused || status.is_none() => return Err(format!("it is refused with {status:?}")),
        _ => {}
    }
    if last.iter().any(|message| message.content == b"smuggled") {
        return Err("what came behind an answer is taken for the next one".to_owned());
    }
    match last.get(1) {
        Some(next) if next.content != b"fine" => Err("the next answer is another one's".to_owned()),
        _ => Ok(!refused),
    }
}

/// Gives the numbered answer, and the end of the connection; to anything else a good one.
async fn serve(mut stream: TcpStream, answers: Arc<Vec<Answer>>) {
    let mut octets = Vec::new();
    let mut answered = 0;
    while let Ok(1..) = stream.read_buf(&mut octets).await {
        let requests: Vec<Message> =
            strict::requests(&octets).unwrap_or_else(|violation| panic!("{violation}"));
        for request in &requests[answered..] {
            answered += 1;
            let number =
                super::target(request).strip_prefix("/a/").and_then(|number| number.parse::<usize>().ok());
            let Some(number) = number else {
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await.is_err() {
                    return;
                }
                continue;
            };
            // Whoever does not like it may end the connection.
            let _ = stream.write_all(&answers[number].octets).await;
            return;
        }
    }
}
