//! Malformed and borderline requests, generated: what is wrong × where it stands × the request it stands in × how it is sent.
//!
//! Knows what the strict reading of RFC 9110 and 9112 makes of each. Does not send anything.

/// What may become of a vector's first request; a plain GET, the probe, follows each in the same octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is invalid: answered with one of these statuses, the connection ends, the probe is never looked at.
    Refused(&'static [u16]),
    /// It and the probe reach the upstream.
    Taken,
    /// It reaches the upstream; the connection ends with it.
    Last,
    /// A recipient may choose: as [`Expect::Taken`], or refused with one of these.
    Either(&'static [u16]),
    /// It is valid and not for here: answered with one of these, and the probe may be taken.
    Turned(&'static [u16]),
    /// Nothing of it or the probe reaches the upstream: whatever is answered is a refusal.
    Kept,
    /// Whether it reaches the upstream is not for the vector to say.
    Any,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Which requirement it is about, and how.
    pub category: &'static str,
    pub number: usize,
    pub method: &'static str,
    pub octets: Vec<u8>,
    pub expect: Expect,
    /// Where the octets are parted into two writes.
    pub parted: Option<usize>,
}

/// Request lines, targets, Hosts, fields.
const BAD: &[u16] = &[400];
/// What may be called malformed or unknown.
const FRAMING: &[u16] = &[400, 501];
const VERSION: &[u16] = &[400, 505];
const HOST: &[u16] = &[400, 421];

/// A request that is put together from lines without their ends.
#[derive(Clone)]
struct Draft {
    method: &'static str,
    lines: Vec<Vec<u8>>,
    body: Vec<u8>,
    number: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Length,
    Chunked,
}

const CONTENT: &[u8] = b"hello";
const CHUNKS: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
const BASES: &[(&str, Body)] = &[
    ("GET", Body::None),
    ("POST", Body::Length),
    ("PUT", Body::Chunked),
    ("DELETE", Body::Length),
    ("HEAD", Body::None),
    ("PATCH", Body::Chunked),
    ("OPTIONS", Body::None),
    ("QUERY", Body::Length),
];

#[derive(Default)]
struct Table(Vec<Vector>);

/// All of them.
pub fn vectors() -> Vec<Vector> {
    let mut table = Table::default();
    fields(&mut table);
    lengths(&mut table);
    codings(&mut table);
    both(&mut table);
    chunks(&mut table);
    trailers(&mut table);
    first_lines(&mut table);
    targets(&mut table);
    hosts(&mut table);
    line_ends(&mut table);
    insertions(&mut table);
    connections(&mut table);
    bodies(&mut table);
    table.0
}

impl Table {
    fn draft(&self, (method, body): (&'static str, Body)) -> Draft {
        let number = self.0.len();
        let mut draft = Draft {
            method,
            lines: vec![
                format!("{method} /v/{number} HTTP/1.1").into_bytes(),
                b"Host: localhost".to_vec(),
                format!("X-Vector: {number}").into_bytes(),
            ],
            body: Vec::new(),
            number,
        };
        match body {
            Body::None => {}
            Body::Length => draft.framed(&[b"Content-Length: 5"], CONTENT),
            Body::Chunked => draft.framed(&[b"Transfer-Encoding: chunked"], CHUNKS),
        }
        draft
    }

    /// A vector, once whole and once in two writes that part it in the middle of the request.
    fn add(&mut self, category: &'static str, draft: &Draft, expect: Expect) {
        self.add_octets(category, draft, &draft.octets(), expect);
    }

    fn add_octets(&mut self, category: &'static str, draft: &Draft, request: &[u8], expect: Expect) {
        let number = draft.number;
        let mut octets = request.to_vec();
        let probe = format!(
            "GET /probe/{number} HTTP/1.1\r\nHost: localhost\r\nX-Vector: {number}\r\nConnection: close\r\n\r\n"
        );
        octets.extend_from_slice(probe.as_bytes());
        // Every third is parted, at a place of its own.
        let parted = (number % 3 == 2).then(|| 1 + number % request.len().max(2).saturating_sub(1));
        assert_eq!(number, self.0.len(), "one vector for each draft");
        self.0.push(Vector { category, number, method: draft.method, octets, expect, parted });
    }
}

impl Draft {
    fn framed(&mut self, fields: &[&[u8]], body: &[u8]) {
        self.lines.extend(fields.iter().map(|field| field.to_vec()));
        self.body = body.to_vec();
    }

    fn first_line(&mut self, line: impl Into<Vec<u8>>) {
        self.lines[0] = line.into();
    }

    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for line in &self.lines {
            octets.extend_from_slice(line);
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(&self.body);
        octets
    }
}

/// Field lines that are none (r043, r045-r049).
pub const BAD_FIELDS: &[&[u8]] = &[
    b"X-A : a",
    b"X-A\t: a",
    b" X-A: a",
    b"\tX-A: a",
    b" ",
    b": a",
    b":",
    b"X-A",
    b"X-A a",
    b"X A: a",
    b"X(: a",
    b"X): a",
    b"X/: a",
    b"X@: a",
    b"X\"y\": a",
    b"[X]: a",
    b"{X}: a",
    b"<X>: a",
    b"X,Y: a",
    b"X;Y: a",
    b"X=Y: a",
    b"X?Y: a",
    b"X\\Y: a",
    b"X\0: a",
    b"X\x0b: a",
    b"X\x0c: a",
    b"X\x7f: a",
    b"X\x80: a",
    b"X\xc3\xa9: a",
    b"\xef\xbb\xbfX-A: a",
    b"\0",
    b"\0X-A: a",
    b"\x0bX-A: a",
    b"X-A\r: a",
    b"X-A: a\0b",
    b"X-A: \0",
    b"X-A: a\rb",
    b"X-A: a\r",
    b"X-A: a\nb",
    b"X-A: a\n",
    b"X-A: \x01",
    b"X-A: a\x08b",
    b"X-A: a\x0bb",
    b"X-A: a\x0cb",
    b"X-A: a\x1bb",
    b"X-A: a\x7f",
    b"X-A:\x0b",
    b"Content-Length : 5",
    b"Content-Length\t: 5",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer-Encoding\0: chunked",
    b" Transfer-Encoding: chunked",
    b"\tContent-Length: 30",
    b"Host : localhost",
    b"X: a\nTransfer-Encoding: chunked",
    b"X: a\rTransfer-Encoding: chunked",
    b"X: a\r\r\nContent-Length: 30",
    b"X: a\r\n Transfer-Encoding: chunked",
    b"X: a\n\nGET /smuggled HTTP/1.1",
    b"Authorization : Bearer x",
    b"(comment): x",
];

/// Field lines that are unusual and valid (r073).
pub const GOOD_FIELDS: &[&[u8]] = &[
    b"X-A:",
    b"X-A: ",
    b"X-A:a",
    b"X-A: \t a \t ",
    b"X-A: \x80\xff",
    b"X-A: \xc3\xa9",
    b"X-A: a\tb",
    b"X-A: \"a,b\\\"\"",
    b"X-A: :",
    b"!#$%&'*+-.^_`|~: a",
    b"0: a",
    b"x_a: b",
    b"X-A: a\r\nX-A: b",
    b"X-Transfer-Encoding: chunked",
    b"Content-Lengths: 7",
    b"X-A: GET /smuggled HTTP/1.1",
    b"Cookie: a=b; c=d",
    b"Accept: */*;q=0.5, text/html",
    b"X-A: a,,b,",
    b"X-A: chunked\r\nX-B: Content-Length: 5",
];

fn fields(table: &mut Table) {
    for (lines, expect, category) in [
        (BAD_FIELDS, Expect::Refused(FRAMING), "r043-r049 a field line that is none"),
        (GOOD_FIELDS, Expect::Taken, "r073 an unusual field"),
    ] {
        for line in lines {
            for base in &BASES[..4] {
                for position in [1, 3, usize::MAX] {
                    let mut draft = table.draft(*base);
                    let position = position.min(draft.lines.len());
                    draft.lines.insert(position, line.to_vec());
                    table.add(category, &draft, expect);
                }
            }
        }
    }
}

/// Content-Lengths (r032-r034), each with five octets behind it.
fn lengths(table: &mut Table) {
    let refused = Expect::Refused(BAD);
    let either = Expect::Either(BAD);
    let values: &[(&[u8], Expect)] = &[
        (b"+5", refused),
        (b"-5", refused),
        (b"-0", refused),
        (b"5 5", refused),
        (b"5,5", either),
        (b"5, 5", either),
        (b"5, 6", refused),
        (b"5,", either),
        (b",5", either),
        (b"0x5", refused),
        (b"5.0", refused),
        (b"", refused),
        (b"\"5\"", refused),
        (b"18446744073709551616", refused),
        (b"18446744073709551621", refused),
        (b"99999999999999999999999999", refused),
        (b"5;", refused),
        (b"5;a", refused),
        (b"5_0", refused),
        (b"5e0", refused),
        (b"1e1", refused),
        (b"five", refused),
        (b"5h", refused),
        (b"\xef\xbc\x95", refused),
        (b"5\x0b", refused),
        (b"\x0b5", refused),
        (b"5\0", refused),
        (b"chunked", refused),
        (b"%35", refused),
        (b"05", Expect::Taken),
        (b"0000000000000000000000005", Expect::Taken),
        (b" 5 ", Expect::Taken),
        (b"\t5\t", Expect::Taken),
        (b"(5)", refused),
        (b"5-", refused),
        (b"5+", refused),
        (b"0b101", refused),
        (b"5\r", refused),
        (b"\n5", refused),
        (b"5 6", refused),
    ];
    for (value, expect) in values {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let mut draft = table.draft((method, Body::None));
            draft.framed(&[&[b"Content-Length: ", *value].concat()], CONTENT);
            table.add("r033-r034 a Content-Length", &draft, *expect);
        }
    }
    let pairs: &[(&[u8], &[u8], Expect)] = &[
        (b"5", b"5", either),
        (b"5", b"6", refused),
        (b"5", b"0", refused),
        (b"0", b"5", refused),
        (b"5", b"", refused),
        (b"", b"5", refused),
        (b"5", b"05", either),
        (b"5", b"+5", refused),
        (b"30", b"5", refused),
        (b"5", b"5, 5", either),
        (b"5", b"x", refused),
    ];
    for (first, second, expect) in pairs {
        for method in ["GET", "POST", "PUT"] {
            for between in [false, true] {
                let mut draft = table.draft((method, Body::None));
                let mut lines = vec![[b"Content-Length: ", *first].concat()];
                lines.extend(between.then(|| b"X-A: b".to_vec()));
                lines.push([b"content-length: ", *second].concat());
                let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
                draft.framed(&lines, CONTENT);
                table.add("r032 two Content-Lengths", &draft, *expect);
            }
        }
    }
}

/// Transfer-Encodings (r035-r037), each with one whole chunked content behind it.
fn codings(table: &mut Table) {
    let refused = Expect::Refused(FRAMING);
    let either = Expect::Either(FRAMING);
    let values: &[(&[u8], Expect)] = &[
        (b"identity", refused),
        (b"gzip", refused),
        (b"gzip, chunked", refused),
        (b"chunked, gzip", refused),
        (b"chunked, chunked", refused),
        (b"chunked, identity", refused),
        (b"identity, chunked", refused),
        (b"xchunked", refused),
        (b"chunkedx", refused),
        (b"chunk", refused),
        (b"\"chunked\"", refused),
        (b"chunked;a=b", refused),
        (b"chunked;q=1", refused),
        (b"chunked, ", either),
        (b", chunked", either),
        (b"chunked,,", either),
        (b"", refused),
        (b",", refused),
        (b"CHUNKED", Expect::Taken),
        (b"Chunked", Expect::Taken),
        (b" chunked ", Expect::Taken),
        (b"\tchunked", Expect::Taken),
        (b"\x0bchunked", refused),
        (b"chunked\x0b", refused),
        (b"\x0cchunked", refused),
        (b"chunked\0", refused),
        (b"chunked chunked", refused),
        (b"chunked\xa0", refused),
        (b"\xa0chunked", refused),
        (b"chu nked", refused),
        (b"ch\xc3\xbcnked", refused),
        (b"5", refused),
        (b"trailers", refused),
        (b"deflate", refused),
        (b"compress, chunked", refused),
        (b"none", refused),
        (b"chunked\rx", refused),
        (b"chun\xe2\x84\xaaed", refused),
        (b"'chunked'", refused),
        (b"chunked/1", refused),
        (b"=chunked", refused),
        (b"chunked,x", refused),
        (b"x,chunked", refused),
    ];
    for (value, expect) in values {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let mut draft = table.draft((method, Body::None));
            draft.framed(&[&[b"Transfer-Encoding: ", *value].concat()], CHUNKS);
            table.add("r035-r036 a Transfer-Encoding", &draft, *expect);
        }
    }
    for second in [&b"chunked"[..], b"identity", b"gzip", b"", b"x"] {
        for turned in [false, true] {
            for method in ["GET", "POST", "PUT"] {
                let mut draft = table.draft((method, Body::None));
                let mut lines =
                    [b"Transfer-Encoding: chunked".to_vec(), [b"Transfer-Encoding: ", second].concat()];
                if turned {
                    lines.reverse();
                }
                draft.framed(&[&lines[0], &lines[1]], CHUNKS);
                table.add("r036 two Transfer-Encodings", &draft, refused);
            }
        }
    }
    for method in ["GET", "POST", "PUT"] {
        for fields in [&[][..], &[&b"Connection: keep-alive"[..]], &[b"Content-Length: 15"]] {
            let mut draft = table.draft((method, Body::None));
            draft.first_line(format!("{method} /v/{} HTTP/1.0", draft.number));
            draft.framed(&[fields, &[b"Transfer-Encoding: chunked"]].concat(), CHUNKS);
            table.add("r037 a Transfer-Encoding in HTTP/1.0", &draft, refused);
        }
    }
}

/// Content-Length and Transfer-Encoding (r031), with a request inside the content for whoever believes the other one.
fn both(table: &mut Table) {
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked_first = [b"0\r\n\r\n", &smuggled[..]].concat();
    let all = format!("Content-Length: {}", chunked_first.len());
    for coding in [
        &b"Transfer-Encoding: chunked"[..],
        b"transfer-encoding: CHUNKED",
        b"Transfer-Encoding:chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding:\tchunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"X: y\nTransfer-Encoding: chunked",
    ] {
        for length in [all.as_bytes(), b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: x"] {
            for turned in [false, true] {
                for method in ["GET", "POST"] {
                    let mut draft = table.draft((method, Body::None));
                    let lines = if turned { [length, coding] } else { [coding, length] };
                    draft.framed(&lines, &chunked_first);
                    table.add("r031 both lengths", &draft, Expect::Refused(FRAMING));
                }
            }
        }
    }
}

/// Chunked contents (r038-r041).
fn chunks(table: &mut Table) {
    let refused = Expect::Refused(BAD);
    let either = Expect::Either(BAD);
    let contents: &[(&[u8], Expect)] = &[
        (b"\r\n0\r\n\r\n", refused),
        (b" 5\r\nhello\r\n0\r\n\r\n", refused),
        (b"5 \r\nhello\r\n0\r\n\r\n", either),
        (b"5\t\r\nhello\r\n0\r\n\r\n", either),
        (b"0x5\r\nhello\r\n0\r\n\r\n", refused),
        (b"+5\r\nhello\r\n0\r\n\r\n", refused),
        (b"-5\r\nhello\r\n0\r\n\r\n", refused),
        (b"-0\r\n\r\n", refused),
        (b"g\r\nhello\r\n0\r\n\r\n", refused),
        (b"5g\r\nhello\r\n0\r\n\r\n", refused),
        (b"5,\r\nhello\r\n0\r\n\r\n", refused),
        (b"5_\r\nhello\r\n0\r\n\r\n", refused),
        (b"5\x0b\r\nhello\r\n0\r\n\r\n", refused),
        (b"5\0\r\nhello\r\n0\r\n\r\n", refused),
        (b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n", refused),
        (b"10000000000000005\r\nhello\r\n0\r\n\r\n", refused),
        (b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n", refused),
        (b"ffffffffffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n", refused),
        (b"100000000000000000000000000000000\r\n\r\n", refused),
        (b"5\nhello\r\n0\r\n\r\n", refused),
        (b"5\r\nhello\n0\r\n\r\n", refused),
        (b"5\r\nhello\r\n0\n\r\n", refused),
        (b"5\r\nhello\r\n0\r\n\n", refused),
        (b"5\r\nhello\r\n0\n\n", refused),
        (b"5\rhello\r\n0\r\n\r\n", refused),
        (b"5\r\nhello\r0\r\n\r\n", refused),
        (b"5\r\r\nhello\r\n0\r\n\r\n", refused),
        (b"5\r\nhello0\r\n\r\n", refused),
        (b"5\r\nhello!\r\n0\r\n\r\n", refused),
        (b"4\r\nhello\r\n0\r\n\r\n", refused),
        (b"6\r\nhello\r\n0\r\n\r\n", refused),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", refused),
        (b"5\r\nhello\n\r0\r\n\r\n", refused),
        (b"5\r\nhelloXX0\r\n\r\n", refused),
        (b"\n5\r\nhello\r\n0\r\n\r\n", refused),
        (b"5;a\nb\r\nhello\r\n0\r\n\r\n", refused),
        (b"5;a\rb\r\nhello\r\n0\r\n\r\n", refused),
        (b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", refused),
        (b"5;\nhello\r\n0\r\n\r\n", refused),
        (b"5;a\0\r\nhello\r\n0\r\n\r\n", refused),
        (b"5;a\x7f\r\nhello\r\n0\r\n\r\n", refused),
        (b"0;\n\r\n\r\n", refused),
        (b"5;\r\nhello\r\n0\r\n\r\n", either),
        (b"5;=b\r\nhello\r\n0\r\n\r\n", either),
        (b"5;a=\r\nhello\r\n0\r\n\r\n", either),
        (b"5;a=\"b\r\nhello\r\n0\r\n\r\n", either),
        (b"5 ;a=b\r\nhello\r\n0\r\n\r\n", either),
        (b"5; a = b\r\nhello\r\n0\r\n\r\n", either),
        (b"5;\x80\r\nhello\r\n0\r\n\r\n", either),
        (b"5;a;b=c;d=\"e\\\"f\"\r\nhello\r\n0\r\n\r\n", Expect::Taken),
        (b"5\r\nhello\r\n0;a=b\r\n\r\n", Expect::Taken),
        (b"05\r\nhello\r\n0\r\n\r\n", Expect::Taken),
        (b"0000000000005\r\nhello\r\n00000\r\n\r\n", Expect::Taken),
        (b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", Expect::Taken),
        (b"0\r\n\r\n", Expect::Taken),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", Expect::Taken),
        (b"2\r\n\r\n\r\n0\r\n\r\n", Expect::Taken),
        (b"0x\r\n\r\n", refused),
        (b"00x\r\n\r\n", refused),
        (b"0\r\n\rX", refused),
        (b"0\r\r\n\r\n", refused),
        (b"0 0\r\n\r\n", refused),
        (b"5 5\r\nhello\r\n0\r\n\r\n", refused),
        (b"5\r\n\x00\x01\x02\x03\x04\r\n0\r\n\r\n", Expect::Taken),
        (b"2d\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\nxx\r\n0\r\n\r\n", Expect::Taken),
    ];
    for (content, expect) in contents {
        for method in ["POST", "GET", "PUT", "DELETE"] {
            let mut draft = table.draft((method, Body::None));
            draft.framed(&[b"Transfer-Encoding: chunked"], content);
            table.add("r038-r041 a chunked content", &draft, *expect);
        }
    }
    for (length, expect) in [(64, Expect::Taken), (8 << 10, either), (256 << 10, refused)] {
        for method in ["POST", "PUT"] {
            let mut draft = table.draft((method, Body::None));
            let content = [b"5;a=".to_vec(), vec![b'b'; length], b"\r\nhello\r\n0\r\n\r\n".to_vec()].concat();
            draft.framed(&[b"Transfer-Encoding: chunked"], &content);
            table.add("r039 long extensions", &draft, expect);
        }
    }
}

/// Trailer sections (r018, r042).
fn trailers(table: &mut Table) {
    for (lines, expect) in [(BAD_FIELDS, Expect::Refused(BAD)), (GOOD_FIELDS, Expect::Taken)] {
        for line in lines {
            for position in [0, 1] {
                let mut draft = table.draft(("POST", Body::None));
                let mut trailers = vec![b"X-T: t".to_vec()];
                trailers.insert(position, line.to_vec());
                let mut content = b"5\r\nhello\r\n0\r\n".to_vec();
                for line in trailers {
                    content.extend_from_slice(&line);
                    content.extend_from_slice(b"\r\n");
                }
                content.extend_from_slice(b"\r\n");
                draft.framed(&[b"Transfer-Encoding: chunked"], &content);
                table.add("r042 a trailer line", &draft, expect);
            }
        }
    }
    for name in [
        "Content-Length: 30",
        "Transfer-Encoding: chunked",
        "Host: evil",
        "Authorization: Bearer x",
        "Trailer: x",
        "Connection: x",
        "TE: x",
    ] {
        for method in ["POST", "PUT", "GET"] {
            let mut draft = table.draft((method, Body::None));
            let content = format!("5\r\nhello\r\n0\r\n{name}\r\nX-T: t\r\n\r\n");
            draft.framed(&[b"Trailer: X-T", b"Transfer-Encoding: chunked"], content.as_bytes());
            table.add("r018 a trailer that belongs into a head", &draft, Expect::Either(BAD));
        }
    }
}

/// Request lines (r050, r051, r054).
fn first_lines(table: &mut Table) {
    for version in [
        "HTTP/1.2",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3.0",
        "HTTP/1.10",
        "HTTP/1.01",
        "HTTP/01.1",
        "HTTP/1.1.1",
        "http/1.1",
        "Http/1.1",
        "HTTP /1.1",
        "HTTP/ 1.1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1,1",
        "HTTP/1",
        "HTTP/1.1a",
        "HTTPS/1.1",
        "HTTP",
        "HTTP\\1.1",
        "XTTP/1.1",
        "HTTP/1.x",
        "HTTP/-1.1",
        "HTTP/+1.1",
        "HTTP/11",
        "ICY/1.1",
        "RTSP/1.0",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
        "HTTP/1.1 x",
        "HTTP/1.1\u{b}",
        "HTTP/1.1\0",
        "HTTP/1.1 HTTP/1.1",
        "HTTP/9.9",
        "HTTP/1.3",
    ] {
        for base in &BASES[..4] {
            let mut draft = table.draft(*base);
            draft.first_line(format!("{} /v/{} {version}", base.0, draft.number));
            table.add("r051 a version", &draft, Expect::Refused(VERSION));
        }
    }
    let shapes: &[(&str, Expect)] = &[
        ("{m}  {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} {t}  HTTP/1.1", Expect::Refused(BAD)),
        ("{m}\t{t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} {t}\tHTTP/1.1", Expect::Refused(VERSION)),
        ("{m}\u{b}{t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} {t}\u{c}HTTP/1.1", Expect::Refused(VERSION)),
        (" {m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("\t{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} {t}", Expect::Refused(VERSION)),
        ("{m}", Expect::Refused(BAD)),
        ("{m} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}{t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} {t} x HTTP/1.1", Expect::Refused(VERSION)),
        ("\0{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}\0 {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}: {t} HTTP/1.1", Expect::Refused(BAD)),
        ("({m}) {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}/ {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}é {t} HTTP/1.1", Expect::Refused(BAD)),
        ("\"{m}\" {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m},{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}\r {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m}\n {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} \r{t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m} {t} HTTP/1.1\rX: y", Expect::Refused(BAD)),
        ("{m} {t} HTTP/1.1\nX: y", Expect::Refused(BAD)),
        ("[{m}] {t} HTTP/1.1", Expect::Refused(BAD)),
        ("@{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("{m};x {t} HTTP/1.1", Expect::Refused(BAD)),
        ("\u{feff}{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("HTTP/1.1 200 OK", Expect::Refused(VERSION)),
        ("\r\n{m} {t} HTTP/1.1", Expect::Taken),
        ("\r\n\r\n{m} {t} HTTP/1.1", Expect::Either(BAD)),
        ("\n{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("\r{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("\r\n\n{m} {t} HTTP/1.1", Expect::Refused(BAD)),
        ("X{m} {t} HTTP/1.1", Expect::Taken),
        ("x-{m}!#$%&'*+.^_`|~ {t} HTTP/1.1", Expect::Taken),
    ];
    for (shape, expect) in shapes {
        // What is no HEAD may have been one.
        for base in BASES[..4].iter().chain([&("OPTIONS", Body::None)]) {
            let mut draft = table.draft(*base);
            let line = shape.replace("{m}", base.0).replace("{t}", &format!("/v/{}", draft.number));
            draft.first_line(line);
            table.add("r050, r054 a request line", &draft, *expect);
        }
    }
}

/// Targets (r003, r006, r013, r052, r053); `{n}` is the vector's number.
fn targets(table: &mut Table) {
    let refused = Expect::Refused(BAD);
    let elsewhere = Expect::Turned(&[400, 403, 421]);
    let shapes: &[(&[u8], Expect)] = &[
        (b"/v/{n}#", refused),
        (b"/v/{n}#f", refused),
        (b"/v/{n}?a#f", refused),
        (b"#", refused),
        (b"/v/{n}\0", refused),
        (b"/v/{n}\x01", refused),
        (b"/v/{n}\x7f", refused),
        (b"/v/{n}\x80", refused),
        (b"/v/{n}\xc3\xa9", refused),
        (b"/v/{n}?\xc3\xa9", refused),
        (b"/v/{n}\"", refused),
        (b"/v/{n}?\"", refused),
        (b"/v/{n}<x>", refused),
        (b"/v/{n}?<x>", refused),
        (b"/v/{n}\\x", refused),
        (b"/v/{n}^", refused),
        (b"/v/{n}`", refused),
        (b"/v/{n}{x}", refused),
        (b"/v/{n}%", refused),
        (b"/v/{n}%4", refused),
        (b"/v/{n}%zz", refused),
        (b"/v/{n}?%", refused),
        (b"/v/{n}?%1g", refused),
        (b"v/{n}", refused),
        (b"", refused),
        (b"?v/{n}", refused),
        (b"*", refused),
        (b"**", refused),
        (b"/v/{n}\x0b", refused),
        (b"\\v\\{n}", refused),
        (b"localhost:80", refused),
        (b"localhost", refused),
        (b"localhost/v/{n}", refused),
        (b"//", Expect::Taken),
        (b"//v//{n}", Expect::Taken),
        (b"//evil.example/v/{n}", Expect::Taken),
        (b"/v/{n}/../x", Expect::Taken),
        (b"/v/{n}/%2e%2e/x", Expect::Taken),
        (b"/v/{n}/%2F%5c", Expect::Taken),
        (b"/v/{n};a=b", Expect::Taken),
        (b"/v/{n}?", Expect::Taken),
        (b"/v/{n}??a=/b", Expect::Taken),
        (b"/v/{n}?a[]=b", Expect::Taken),
        (b"/v/{n}[1]|x", Expect::Taken),
        (b"/v/{n}?{a}|b^c`d\\e", Expect::Taken),
        (b"/v/{n}%00%0d%0a", Expect::Taken),
        (b"/v/{n}?%00%0d%0aX:%20y", Expect::Taken),
        (b"/v/{n}:@!$&'()*+,;=-._~", Expect::Taken),
        (b"/v/{n}?http://evil.example/", Expect::Taken),
        (b"ftp://localhost/v/{n}", elsewhere),
        (b"file:///v/{n}", elsewhere),
        (b"javascript:v/{n}", refused),
        (b"http:/v/{n}", refused),
        (b"http:v/{n}", refused),
        (b"http://", refused),
        (b"http:///v/{n}", refused),
        (b"http://u@localhost/v/{n}", refused),
        (b"http://u:p@localhost/v/{n}", refused),
        (b"http://@localhost/v/{n}", refused),
        (b"http://localhost@evil.example/v/{n}", refused),
        (b"http://local host/v/{n}", Expect::Refused(VERSION)),
        (b"http://localhost:x/v/{n}", refused),
        (b"http://localhost:65536/v/{n}", refused),
        (b"http://localhost:-1/v/{n}", refused),
        (b"http://[::1/v/{n}", refused),
        (b"http://[zz]/v/{n}", refused),
        (b"http://[::1]x/v/{n}", refused),
        (b"http://localhost\\@evil.example/v/{n}", refused),
        (b"http://local%zzhost/v/{n}", refused),
        (b"http://localhost/v/{n}#f", refused),
        (b"http://evil.example/v/{n}", elsewhere),
        (b"HTTP://evil.example/v/{n}", elsewhere),
        (b"https://evil.example/v/{n}", elsewhere),
        (b"http://localhost.evil.example/v/{n}", elsewhere),
        (b"http://loc\xc3\xa4lhost/v/{n}", refused),
        (b"http://localhost/v/{n}\x0b", refused),
    ];
    for (shape, expect) in shapes {
        for base in BASES[..4].iter().chain([&("HEAD", Body::None)]) {
            let mut draft = table.draft(*base);
            let number = draft.number.to_string();
            let target = replaced(shape, b"{n}", number.as_bytes());
            draft.first_line([base.0.as_bytes(), b" ", &target, b" HTTP/1.1"].concat());
            table.add("r003, r006, r013, r052, r053 a target", &draft, *expect);
        }
    }
    let own: &[(&str, &str, Expect)] = &[
        // An absolute form is a proxy's; a listener that is none may take one for its own name.
        ("GET", "http://localhost/v/{n}", Expect::Either(&[400, 403, 421])),
        ("POST", "HTTP://LOCALHOST/v/{n}?x", Expect::Either(&[400, 403, 421])),
        ("GET", "http://localhost", Expect::Either(&[400, 403, 421])),
        ("OPTIONS", "http://localhost", Expect::Either(&[400, 403, 421])),
        ("OPTIONS", "*", Expect::Taken),
        ("OPTIONS", "/*", Expect::Taken),
        ("OPTIONS", "*/x", refused),
        ("TRACE", "*", refused),
    ];
    for (method, target, expect) in own {
        let body = if *method == "POST" { Body::Length } else { Body::None };
        let mut draft = table.draft((method, body));
        draft.first_line(format!("{method} {} HTTP/1.1", target.replace("{n}", &draft.number.to_string())));
        table.add("r052 a target of another form", &draft, *expect);
    }
    for target in [
        "localhost:80",
        "evil.example:443",
        "localhost",
        "/v",
        "*",
        "http://localhost/",
        "localhost:0",
        "localhost:99999",
        ":80",
        "[::1]:443",
    ] {
        let mut draft = table.draft(("CONNECT", Body::None));
        draft.first_line(format!("CONNECT {target} HTTP/1.1"));
        table.add(
            "r009 a CONNECT where there is no forward proxy",
            &draft,
            Expect::Turned(&[400, 403, 404, 405, 421, 501]),
        );
    }
}

/// Hosts (r002, r004).
fn hosts(table: &mut Table) {
    let refused = Expect::Refused(BAD);
    let sets: &[(&[&[u8]], Expect)] = &[
        (&[], refused),
        (&[b"Host: localhost", b"Host: localhost"], refused),
        (&[b"Host: localhost", b"host: evil.example"], refused),
        (&[b"Host: evil.example", b"Host: localhost"], refused),
        (&[b"Host: localhost", b"Host:"], refused),
        (&[b"Host:", b"Host: localhost"], refused),
        (&[b"Host:"], Expect::Refused(HOST)),
        (&[b"Host: "], Expect::Refused(HOST)),
        (&[b"Host: local host"], refused),
        (&[b"Host: localhost, evil.example"], refused),
        (&[b"Host: localhost evil.example"], refused),
        (&[b"Host: localhost/"], refused),
        (&[b"Host: localhost/x"], refused),
        (&[b"Host: localhost?x"], refused),
        (&[b"Host: localhost#x"], refused),
        (&[b"Host: u@localhost"], refused),
        (&[b"Host: localhost@evil.example"], refused),
        (&[b"Host: http://localhost"], refused),
        (&[b"Host: localhost\\"], refused),
        (&[b"Host: localhost:x"], refused),
        (&[b"Host: localhost:-1"], refused),
        (&[b"Host: localhost:65536"], refused),
        (&[b"Host: localhost:80:80"], refused),
        (&[b"Host: localhost: 80"], refused),
        (&[b"Host: localhost:+80"], refused),
        (&[b"Host: [::1"], refused),
        (&[b"Host: ::1]"], refused),
        (&[b"Host: [localhost]"], refused),
        (&[b"Host: [::1]x"], refused),
        (&[b"Host: [::zz]"], refused),
        (&[b"Host: ::1"], refused),
        (&[b"Host: \"localhost\""], refused),
        (&[b"Host: <localhost>"], refused),
        (&[b"Host: localhost\0"], refused),
        (&[b"Host: localhost\x0b"], refused),
        (&[b"Host: loc\xc3\xa4lhost"], refused),
        (&[b"Host: local%zz"], refused),
        (&[b"Host: local^host"], refused),
        (&[b"Host: {localhost}"], refused),
        (&[b"Host: localhost|"], refused),
        (&[b"Host : localhost"], refused),
        (&[b" Host: localhost"], refused),
        (&[b"Host; localhost"], refused),
        (&[b"Host localhost"], refused),
        (&[b"Host=localhost"], refused),
        (&[b"Hos: localhost"], refused),
        (&[b"Host: localhost", b"Host : evil.example"], refused),
        (&[b"Host: localhost", b" Host: evil.example"], refused),
        (&[b"Host: localhost\r\n\tevil.example"], refused),
        (&[b"Host:\r\n localhost"], refused),
        (&[b"Host: evil.example"], Expect::Turned(&[421])),
        (&[b"Host: localhost.evil.example"], Expect::Turned(&[421])),
        (&[b"Host: 10.0.0.1"], Expect::Turned(&[421])),
        (&[b"Host: -"], Expect::Turned(&[400, 421])),
        (&[b"hOST: localhost"], Expect::Taken),
        (&[b"Host:localhost"], Expect::Taken),
        (&[b"Host: \t localhost \t"], Expect::Taken),
        (&[b"Host: LOCALHOST"], Expect::Taken),
        (&[b"Host: localhost:80"], Expect::Taken),
        (&[b"Host: [::1]"], Expect::Taken),
        (&[b"Host: 127.0.0.1:1"], Expect::Taken),
        (&[b"X-Forwarded-Host: evil.example", b"Host: localhost"], Expect::Taken),
    ];
    for (lines, expect) in sets {
        for base in &BASES[..4] {
            for last in [false, true] {
                let mut draft = table.draft(*base);
                draft.lines.remove(1);
                let at = if last { draft.lines.len() } else { 1 };
                draft.lines.splice(at..at, lines.iter().map(|line| line.to_vec()));
                // Lines in the middle of a head mean what they mean at its end, but for those that continue another.
                table.add("r002, r004 a Host", &draft, *expect);
            }
        }
    }
}

/// Ends of lines (r043, r044), each line's in turn.
fn line_ends(table: &mut Table) {
    for end in [
        &b"\n"[..],
        b"\r",
        b"\r\r\n",
        b"\n\r",
        b"\r\n\r",
        b"\x0b\r\n",
        b"\0\r\n",
        b"\x0c\n",
        b" \n",
        b"\n\n",
        b"\r \n",
    ] {
        for base in &BASES[..4] {
            let lines = table.draft(*base).lines.len() + 1;
            // Behind a head's last line it would be content.
            let ends = if end == b"\r\n\r" { lines - 1 } else { lines };
            for which in 0..ends {
                let draft = table.draft(*base);
                let mut octets = Vec::new();
                for (at, line) in draft.lines.iter().map(Vec::as_slice).chain([&b""[..]]).enumerate() {
                    octets.extend_from_slice(line);
                    octets.extend_from_slice(if at == which { end } else { b"\r\n" });
                }
                octets.extend_from_slice(&draft.body);
                table.add_octets(
                    "r043-r044 an end of a line",
                    &draft,
                    &octets,
                    Expect::Refused(&[400, 501, 505]),
                );
            }
        }
    }
}

/// One octet that belongs nowhere in a head, at each place of one (r043-r045).
fn insertions(table: &mut Table) {
    for base in [("POST", Body::Length), ("PUT", Body::Chunked)] {
        for octet in *b"\r\n\0\x0b" {
            let length = table.draft(base).octets().len();
            for at in 0..length {
                let draft = table.draft(base);
                let mut octets = draft.octets();
                // Numbers are not all of one length.
                if at + 2 > octets.len() - draft.body.len() {
                    break;
                }
                octets.insert(at, octet);
                table.add_octets(
                    "r043-r045 an octet between others",
                    &draft,
                    &octets,
                    Expect::Refused(&[400, 501, 505]),
                );
            }
        }
    }
}

/// What governs the connection (r055, r061, r068, r070, r076, r077).
fn connections(table: &mut Table) {
    let lines: &[(&[u8], Expect)] = &[
        (b"Connection: close", Expect::Last),
        (b"connection: CLOSE", Expect::Last),
        (b"Connection: keep-alive, close", Expect::Last),
        (b"Connection: x,close ,y", Expect::Last),
        (b"Connection: keep-alive", Expect::Taken),
        (b"Connection: x-a\r\nX-A: b", Expect::Taken),
        (b"Connection:", Expect::Taken),
        (b"Connection: ,", Expect::Taken),
        (b"Keep-Alive: timeout=5", Expect::Taken),
        (b"Proxy-Connection: keep-alive", Expect::Taken),
        (b"TE: trailers", Expect::Taken),
        (b"TE: chunked, gzip;q=0", Expect::Taken),
        (b"Connection: TE\r\nTE: trailers", Expect::Taken),
        (b"Connection: transfer-encoding", Expect::Either(BAD)),
        (b"Connection: content-length", Expect::Either(BAD)),
        (b"Connection: host", Expect::Either(BAD)),
        (b"Connection: authorization, x-vector-b", Expect::Taken),
        (b"Connection: cookie\r\nCookie: a=b", Expect::Taken),
        (b"Connection: a b", Expect::Either(BAD)),
        (b"Connection: \"x\"", Expect::Either(BAD)),
        (b"Expect: a-miracle", Expect::Turned(&[417])),
        (b"Expect: 100-continue, x", Expect::Turned(&[417])),
        (b"Expect: 200-ok", Expect::Turned(&[417])),
        (b"HTTP2-Settings: AAMAAABk", Expect::Taken),
        (b"Authorization: Bearer mine", Expect::Taken),
        (b"Authorization: a\r\nAuthorization: b", Expect::Either(BAD)),
        (b"Proxy-Authorization: Basic eA==", Expect::Taken),
        (b"Via: 1.1 somebody", Expect::Taken),
        (b"Max-Forwards: 0", Expect::Taken),
        // r030: to some programs an underscore is a hyphen.
        (b"Transfer_Encoding: chunked", Expect::Either(BAD)),
        (b"Content_Length: 30", Expect::Either(BAD)),
        (b"Upgrade-Insecure-Requests: 1", Expect::Taken),
    ];
    for (line, expect) in lines {
        for base in &BASES[..4] {
            for first in [false, true] {
                let mut draft = table.draft(*base);
                let at = if first { 1 } else { draft.lines.len() };
                draft.lines.insert(at, line.to_vec());
                table.add("r055, r061, r070, r077 the connection", &draft, *expect);
            }
        }
    }
    for base in [BASES[0], BASES[1], BASES[3]] {
        let mut draft = table.draft(base);
        draft.first_line(format!("{} /v/{} HTTP/1.0", base.0, draft.number));
        table.add("r076 HTTP/1.0", &draft, Expect::Last);
    }
}

/// Contents that look like requests, with and without content's methods (r055, r059).
fn bodies(table: &mut Table) {
    let contents: [&[u8]; 5] = [
        b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"\0\xff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    for content in contents {
        for (method, _) in BASES {
            for chunked in [false, true] {
                let mut draft = table.draft((method, Body::None));
                if chunked {
                    let mut body = format!("{:x}\r\n", content.len()).into_bytes();
                    body.extend_from_slice(content);
                    body.extend_from_slice(b"\r\n0\r\n\r\n");
                    draft.framed(&[b"Transfer-Encoding: chunked"], &body);
                } else {
                    draft.framed(&[format!("Content-Length: {}", content.len()).as_bytes()], content);
                }
                table.add("r055, r059 a content that looks like a message", &draft, Expect::Taken);
            }
        }
    }
}

fn replaced(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    match text.windows(what.len()).position(|window| window == what) {
        Some(at) => [&text[..at], with, &text[at + what.len()..]].concat(),
        None => text.to_vec(),
    }
}
