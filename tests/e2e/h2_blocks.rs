//! Header blocks that RFC 9113 calls malformed, and some that it does not: none of the first lets an octet reach the upstream.

use crate::support::{
    h2::{CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, block, frame, integer, string},
    origin::Origin,
    start,
};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What follows the preface on a connection of its own, on stream 1.
struct Case {
    what: String,
    octets: Vec<u8>,
    valid: bool,
}

#[derive(Default)]
struct Cases(Vec<Case>);

fn field(name: &str, value: impl AsRef<[u8]>) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_ref().to_vec())
}

fn base() -> Fields {
    vec![
        field(":method", "GET"),
        field(":scheme", "http"),
        field(":authority", "localhost"),
        field(":path", "/asked"),
    ]
}

fn with(name: &str, value: impl AsRef<[u8]>) -> Fields {
    let mut fields = base();
    match fields.iter_mut().find(|(known, _)| known == name.as_bytes()) {
        Some((_, old)) => *old = value.as_ref().to_vec(),
        None => fields.push(field(name, value)),
    }
    fields
}

fn without(names: &[&str]) -> Fields {
    let mut fields = base();
    fields.retain(|(name, _)| names.iter().all(|gone| name != gone.as_bytes()));
    fields
}

fn and(mut fields: Fields, more: &[(&str, &str)]) -> Fields {
    fields.extend(more.iter().map(|(name, value)| field(name, value)));
    fields
}

impl Cases {
    fn add(&mut self, valid: bool, what: impl Into<String>, fields: &Fields) {
        let octets = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
        self.0.push(Case { what: what.into(), octets, valid });
    }

    fn raw(&mut self, valid: bool, what: impl Into<String>, octets: Vec<u8>) {
        self.0.push(Case { what: what.into(), octets, valid });
    }

    /// Sets one field to each of these values.
    fn each(&mut self, valid: bool, name: &str, values: &[&str]) {
        for value in values {
            self.add(valid, format!("{name}: {value:?}"), &with(name, value));
        }
    }
}

fn pseudo_fields(cases: &mut Cases) {
    for name in [":method", ":scheme", ":path", ":authority"] {
        cases.add(false, format!("{name} missing"), &without(&[name]));
        let twice = base().into_iter().flat_map(|one| {
            let times = if one.0 == name.as_bytes() { 2 } else { 1 };
            std::iter::repeat_n(one, times)
        });
        cases.add(false, format!("{name} twice"), &twice.collect());
        let (late, mut early): (Fields, Fields) =
            base().into_iter().partition(|(known, _)| known == name.as_bytes());
        early.push(field("accept", "*/*"));
        early.extend(late);
        cases.add(false, format!("{name} behind a field"), &early);
    }
    for name in [":status", ":protocol", ":foo", ":", ":Path", ":path ", ":host", ":version"] {
        cases.add(false, format!("{name:?}"), &and(base(), &[(name, "200")]));
    }
    cases.add(
        false,
        ":path missing, host",
        &and(without(&[":path", ":authority"]), &[("host", "localhost")]),
    );
    cases.add(false, "only :method", &vec![field(":method", "GET")]);
    cases.add(false, "nothing", &Vec::new());
    cases.each(false, ":method", &["", "GE T", "G\0T", "GET\r\nx", "GET ", "G(T", "GËT"]);
    cases.each(true, ":method", &["DELETE", "PURGE", "get"]);
    cases.each(false, ":scheme", &["", "ftp", "ws", "http:", "h ttp", "http\0", "httpss", "http://"]);
    cases.each(true, ":scheme", &["https"]);
    let ftp = and(
        vec![field(":method", "GET"), field(":scheme", "ftp"), field(":path", "/asked")],
        &[("host", "localhost")],
    );
    cases.add(false, ":scheme ftp beside host alone", &ftp);
}

fn paths(cases: &mut Cases) {
    cases.each(
        false,
        ":path",
        &[
            "",
            "asked",
            "*",
            "http://localhost/asked",
            "/a b",
            "/a#b",
            "#b",
            "/#",
            "/?a#b",
            "/a\r\nX: y",
            "/a\tb",
            "/ä",
            "/%zz",
            "/%",
            "/%4",
            "/a\\b",
            "?q",
            "/a\0",
            "/<",
            "/>",
            "/\"",
            "/{a}",
            "/^",
            "/`",
            "/?<",
            "/?\"",
            "/\u{7f}",
            " /a",
            "/a ",
            "localhost:80",
            "/a\u{1}",
            "*?",
            "/a HTTP/1.1",
        ],
    );
    cases.add(false, ":path not UTF-8", &with(":path", b"/\xff"));
    cases.each(
        true,
        ":path",
        &["/", "//a", "/a?b=c&d[]=e", "/%20", "/a;b=c", "/[a]|b", "/?{}|^`\\", "/a:b@c"],
    );
    let mut options = with(":method", "OPTIONS");
    options[3].1 = b"*".to_vec();
    cases.add(true, "OPTIONS *", &options);
    // What hyper hides, in every way that HPACK has of saying it.
    let mut coded = block(&without(&[":path"]));
    coded.extend([0x04, 0x85, 0x60, 0xff, 0xff, 0xaf, 0xff]);
    cases.raw(false, ":path with a coded #", frame(HEADERS, END_HEADERS | END_STREAM, 1, &coded));
    for (first, what) in [(0x44, "kept"), (0x04, "not kept"), (0x14, "never kept")] {
        let mut known = block(&without(&[":path"]));
        known.push(first);
        string(b"/a#b", &mut known);
        cases.raw(
            false,
            format!(":path with a #, {what}"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &known),
        );
    }
    let mut table = block(&without(&[":path", ":authority"]));
    // The name out of the dynamic table, where an earlier field left it.
    table.push(0x44);
    string(b"/first", &mut table);
    integer(62, 4, 0x10, &mut table);
    string(b"/a#b", &mut table);
    cases.raw(
        false,
        "# behind a name of the dynamic table",
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &table),
    );
}

fn authorities(cases: &mut Cases) {
    cases.each(
        false,
        ":authority",
        &[
            "",
            "user@localhost",
            "u:p@localhost",
            "@localhost",
            "localhost:99999",
            "localhost:x",
            "localhost:-1",
            " localhost",
            "local host",
            "localhost/x",
            "localhost?x",
            "localhost#f",
            "[::1",
            "a,b/",
            "localhost:80:80",
            "localhost\\",
            "localhöst",
            "localhost\r\nx",
            "localhost\0",
            "127.0.0.1@evil.example",
        ],
    );
    cases.each(true, ":authority", &["LOCALHOST", "localhost:1", "127.0.0.1", "a.localhost"]);
    for host in
        ["evil.example", "localhost:81", "localhost.", "", " localhost", "user@localhost", "localhost, a"]
    {
        cases.add(false, format!("host {host:?} unlike"), &and(base(), &[("host", host)]));
    }
    for host in ["localhost", "LocalHost", "localhost:80"] {
        cases.add(true, format!("host {host:?} alike"), &and(base(), &[("host", host)]));
    }
    let alone = |host: &[&str]| {
        let mut fields = without(&[":authority"]);
        fields.extend(host.iter().map(|host| field("host", host)));
        fields
    };
    cases.add(true, "host alone", &alone(&["localhost"]));
    cases.add(false, "two hosts alone", &alone(&["localhost", "localhost"]));
    cases.add(false, "two hosts", &and(base(), &[("host", "localhost"), ("host", "localhost")]));
    for host in ["", "a b", "user@localhost", "localhost:99999", "localhost/x"] {
        cases.add(false, format!("host {host:?} alone"), &alone(&[host]));
    }
}

fn fields(cases: &mut Cases) {
    for octet in 0..=255_u8 {
        let token =
            octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&octet);
        let name = [b'x', octet, b'x'];
        let mut fields = base();
        fields.push((name.to_vec(), b"value".to_vec()));
        // All are tried that are no letters or digits, and some that are.
        if !octet.is_ascii_alphanumeric() || octet % 5 == 0 {
            cases.add(token, format!("octet {octet:#04x} in a name"), &fields);
        }
        let valid = octet == b'\t' || octet >= b' ' && octet != 0x7f;
        if !valid || octet % 32 == 0 || octet == b'\t' || octet == 0xff {
            let value = [b'v', octet, b'v'];
            cases.add(valid, format!("octet {octet:#04x} in a value"), &with("x-value", value));
        }
    }
    for value in [" v", "v ", "\tv", "v\t", " ", "\t", " v ", "v \t"] {
        cases.add(false, format!("value {value:?}"), &with("x-value", value));
        cases.add(false, format!("content-type {value:?}"), &with("content-type", value));
    }
    cases.each(true, "x-value", &["", "a b", "a\tb", "\u{e4}"]);
    for name in ["", "Accept", "X-Upper", "HOST", "accept ", " accept", "accept:", "a\0"] {
        cases.add(false, format!("name {name:?}"), &and(base(), &[(name, "v")]));
    }
    for (name, value) in [
        ("connection", "close"),
        ("connection", "x-a"),
        ("connection", ""),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, deflate"),
        ("te", "trailers;q=0.5"),
        ("te", ""),
    ] {
        cases.add(false, format!("{name}: {value}"), &and(base(), &[(name, value)]));
    }
    cases.add(true, "te: trailers", &and(base(), &[("te", "trailers")]));
    cases.add(true, "crumbs", &and(base(), &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]));
    let many: Fields = (0..200).map(|number| field(&format!("x-{number}"), "v")).collect();
    cases.add(false, "200 fields", &[base(), many].concat());
}

fn lengths(cases: &mut Cases) {
    for value in ["5", "1", "x", "-1", "+0", "0x0", "0 0", "0, 0", "", "18446744073709551616", "٠"] {
        cases.add(false, format!("content-length {value:?} and no content"), &with("content-length", value));
    }
    cases.add(true, "content-length 0", &with("content-length", "0"));
    for (one, other) in [("0", "0"), ("0", "1"), ("1", "0")] {
        let twice = and(base(), &[("content-length", one), ("content-length", other)]);
        cases.add(false, format!("content-lengths {one} and {other}"), &twice);
    }
}

fn tunnels(cases: &mut Cases) {
    let connect = |fields: &[(&str, &str)]| and(vec![field(":method", "CONNECT")], fields);
    for (what, fields) in [
        ("with :path", connect(&[(":authority", "localhost:80"), (":path", "/")])),
        ("with :scheme", connect(&[(":authority", "localhost:80"), (":scheme", "http")])),
        ("with both", connect(&[(":scheme", "http"), (":authority", "localhost:80"), (":path", "/")])),
        ("without :authority", connect(&[])),
        ("host alone", connect(&[("host", "localhost:80")])),
        ("without a port", connect(&[(":authority", "localhost")])),
        ("empty port", connect(&[(":authority", "localhost:")])),
        ("port 65536", connect(&[(":authority", "localhost:65536")])),
        ("user information", connect(&[(":authority", "u@localhost:80")])),
    ] {
        cases.add(false, format!("CONNECT {what}"), &fields);
    }
    let extended = and(with(":method", "CONNECT"), &[]);
    cases.add(false, "CONNECT like a GET", &extended);
}

fn cut(cases: &mut Cases) {
    let whole = block(&base());
    for at in [0, 1, 5, whole.len() / 2, whole.len()] {
        let mut octets = frame(HEADERS, END_STREAM, 1, &whole[..at]);
        octets.extend(frame(CONTINUATION, END_HEADERS, 1, &whole[at..]));
        cases.raw(true, format!("continued at {at}"), octets);
    }
    for (flags, prefix, suffix) in
        [(0x8, &[3][..], &[0, 0, 0][..]), (0x20, &[0, 0, 0, 0, 9], &[]), (0x28, &[2, 0, 0, 0, 0, 9], &[0, 0])]
    {
        let payload = [prefix, &whole, suffix].concat();
        let octets = frame(HEADERS, END_HEADERS | END_STREAM | flags, 1, &payload);
        cases.raw(true, format!("flags {flags:#x}"), octets);
    }
    let mut cut = whole.clone();
    cut.pop();
    cases.raw(false, "a block that ends in a value", frame(HEADERS, END_HEADERS | END_STREAM, 1, &cut));
    let long = [base(), vec![field("x-long", vec![b'v'; 70 << 10])]].concat();
    let long = block(&long);
    let mut octets = Vec::new();
    for (number, piece) in long.chunks(16_000).enumerate() {
        let flags = if (number + 1) * 16_000 >= long.len() { END_HEADERS } else { 0 };
        let (kind, flags) = if number == 0 { (HEADERS, flags | END_STREAM) } else { (CONTINUATION, flags) };
        octets.extend(frame(kind, flags, 1, piece));
    }
    cases.raw(false, "more than head_size", octets);
}

#[tokio::test]
async fn r004_r005_r006_r053_r096_r097_r098_r099_r100_r101_no_malformed_block_lets_an_octet_reach_the_upstream()
 {
    let mut cases = Cases::default();
    for generate in [pseudo_fields, paths, authorities, fields, lengths, tunnels, cut] {
        generate(&mut cases);
    }
    assert!(cases.0.len() > 300, "{} cases", cases.0.len());
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let address = bearward.address("api").unwrap();
    let mut wrong = Vec::new();
    for case in &cases.0 {
        let before = origin.octets().concat().len();
        let mut frames = Frames::connect(address).await;
        frames.octets(&case.octets).await;
        let outcome = frames.outcome(1).await;
        let reached = origin.octets().concat().len() > before;
        let fits = match &outcome {
            Outcome::Status(200) => case.valid && reached,
            Outcome::Status(400 | 431) | Outcome::Reset(_) | Outcome::Goaway(_) | Outcome::Closed => {
                !case.valid && !reached
            }
            Outcome::Status(_) => false,
        };
        if !fits {
            wrong.push(format!("{}: {outcome:?}, {}", case.what, if reached { "forwarded" } else { "held" }));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.0.len(), wrong.join("\n"));
}
