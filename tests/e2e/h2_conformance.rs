//! RFC 9113 and RFC 7541, section by section, from the side of a client that breaks them: most of what h2spec asks in its lists
//! `generic`, `http2` and `hpack`, written anew, frame by frame by prior knowledge. The preface (3.4) is in `h2`;
//! `h2_httpwg` asks the same of somebody else's list.

use crate::support::{
    h2::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PADDED, PING,
        PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, number, string,
    },
    origin::Origin,
    start,
};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

const PRIORITIZED: u8 = 0x20;
const WHOLE: u8 = END_HEADERS | END_STREAM;

/// What has to come of it.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// A connection error of one of these kinds: GOAWAY, or the end.
    Goaway(&'static [u32]),
    /// A stream error of one of these kinds on stream 1, or a connection error of them.
    Reset(&'static [u32]),
    /// Nothing: a PING is answered, and no stream was reset.
    Nothing,
    /// Stream 1 is answered.
    Answer,
}

use Then::{Answer, Goaway, Nothing, Reset};

type Case = (&'static str, &'static str, Vec<u8>, Then);

fn fields() -> Vec<(&'static str, &'static str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/x")]
}

fn post() -> Vec<(&'static str, &'static str)> {
    let mut fields = fields();
    fields[0].1 = "POST";
    fields
}

fn and(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&fields()[..], more].concat()
}

fn but(name: &str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let changed = fields().into_iter().filter_map(|(known, old)| {
        if known == name { value.map(|value| (known, value)) } else { Some((known, old)) }
    });
    changed.collect()
}

fn twice(name: &str) -> Vec<(&'static str, &'static str)> {
    fields().into_iter().flat_map(|one| std::iter::repeat_n(one, 1 + usize::from(one.0 == name))).collect()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &block(&fields()))
}

/// A request whose content follows.
fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&post()))
}

fn headers(flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, 1, payload)
}

fn setting(id: u8, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, id][..], &value.to_be_bytes()].concat())
}

fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// RFC 9113 sections 4 and 5.
fn frames_and_streams() -> Vec<Case> {
    let whole = block(&fields());
    let half = whole.len() / 2;
    let begun = || frame(HEADERS, END_STREAM, 1, &whole[..half]);
    let rest = frame(CONTINUATION, END_HEADERS, 1, &whole[half..]);
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let large = |kind, flags| frame(kind, flags, 1, &vec![0; 16_385]);
    let mut reserved = frame(PING, 0, 0, &[0; 8]);
    reserved[5] = 0x80;
    vec![
        ("4.1", "a frame of an unknown type", frame(0xff, 0, 0, b"whatever"), Nothing),
        ("4.1", "undefined flags", frame(PING, 0x16, 0, &[0; 8]), Nothing),
        ("4.1", "the reserved bit", reserved, Nothing),
        (
            "4.2",
            "DATA of 2^14 octets",
            all(&[open(1), frame(DATA, END_STREAM, 1, &vec![b'a'; 16_384])]),
            Answer,
        ),
        ("4.2", "DATA of more", all(&[open(1), large(DATA, END_STREAM)]), Reset(&[FRAME_SIZE])),
        ("4.2", "HEADERS of more", large(HEADERS, WHOLE), Goaway(&[FRAME_SIZE])),
        ("4.2", "SETTINGS of more", frame(SETTINGS, 0, 0, &vec![0; 16_386]), Goaway(&[FRAME_SIZE])),
        (
            "4.3",
            "a block that cannot be decoded",
            headers(WHOLE, &[0xff, 0xff, 0xff, 0xff, 0xff]),
            Goaway(&[COMPRESSION]),
        ),
        (
            "4.3",
            "PRIORITY within a block",
            all(&[begun(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])]),
            Goaway(&[PROTOCOL]),
        ),
        ("4.3", "another stream within a block", all(&[begun(), get(3)]), Goaway(&[PROTOCOL])),
        ("4.3", "a block in two frames", all(&[begun(), rest.clone()]), Answer),
        ("5.1", "idle: DATA", frame(DATA, END_STREAM, 1, b"a"), Goaway(&[PROTOCOL])),
        ("5.1", "idle: RST_STREAM", reset.clone(), Goaway(&[PROTOCOL])),
        ("5.1", "idle: WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]), Goaway(&[PROTOCOL])),
        ("5.1", "idle: CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, &whole), Goaway(&[PROTOCOL])),
        ("5.1", "idle: PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), Nothing),
        ("5.1", "half-closed: DATA", all(&[get(1), frame(DATA, END_STREAM, 1, b"a")]), Reset(&[CLOSED])),
        ("5.1", "half-closed: HEADERS", all(&[get(1), get(1)]), Reset(&[CLOSED])),
        ("5.1", "half-closed: CONTINUATION", all(&[get(1), rest.clone()]), Goaway(&[CLOSED, PROTOCOL])),
        (
            "5.1",
            "half-closed: WINDOW_UPDATE",
            all(&[get(1), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])]),
            Answer,
        ),
        ("5.1", "half-closed: PRIORITY", all(&[get(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])]), Answer),
        ("5.1", "half-closed: RST_STREAM", all(&[get(1), reset.clone()]), Nothing),
        (
            "5.1",
            "reset: DATA",
            all(&[open(1), reset.clone(), frame(DATA, END_STREAM, 1, b"a")]),
            Reset(&[CLOSED]),
        ),
        ("5.1", "reset: HEADERS", all(&[open(1), reset.clone(), get(1)]), Reset(&[CLOSED, PROTOCOL])),
        (
            "5.1",
            "reset: CONTINUATION",
            all(&[open(1), reset.clone(), rest.clone()]),
            Goaway(&[CLOSED, PROTOCOL]),
        ),
        (
            "5.1",
            "reset: PRIORITY",
            all(&[open(1), reset.clone(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])]),
            Nothing,
        ),
        (
            "5.1",
            "reset: WINDOW_UPDATE",
            all(&[open(1), reset.clone(), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])]),
            Nothing,
        ),
        ("5.1", "reset: RST_STREAM", all(&[open(1), reset.clone(), reset.clone()]), Nothing),
        ("5.1.1", "an even stream", get(2), Goaway(&[PROTOCOL])),
        ("5.1.1", "a lower stream", all(&[get(5), get(3)]), Goaway(&[PROTOCOL])),
        (
            "5.3.1",
            "HEADERS that depend on themselves",
            headers(WHOLE | PRIORITIZED, &[&[0, 0, 0, 1, 9][..], &whole].concat()),
            Reset(&[PROTOCOL]),
        ),
        (
            "5.3.1",
            "PRIORITY that depends on itself",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9]),
            Reset(&[PROTOCOL]),
        ),
        ("5.4.1", "a PING that is none", frame(PING, 0, 0, &[0; 6]), Goaway(&[FRAME_SIZE])),
        ("5.5", "an unknown frame", frame(0x16, 0, 1, &[0; 8]), Nothing),
        (
            "5.5",
            "an unknown frame within a block",
            all(&[begun(), frame(0x16, 0, 1, &[0; 8])]),
            Goaway(&[PROTOCOL]),
        ),
    ]
}

/// RFC 9113 sections 6.1 to 6.5.
fn first_frame_types() -> Vec<Case> {
    let whole = block(&fields());
    let padded = |pad: u8, zeros: usize| [&[pad][..], &whole, &vec![0; zeros]].concat();
    let plain = |kind, flags, stream, payload: &[u8]| frame(kind, flags, stream, payload);
    vec![
        ("6.1", "DATA on stream 0", frame(DATA, END_STREAM, 0, b"a"), Goaway(&[PROTOCOL])),
        (
            "6.1",
            "DATA on a closed stream",
            all(&[get(1), frame(DATA, END_STREAM, 1, b"a")]),
            Reset(&[CLOSED]),
        ),
        (
            "6.1",
            "DATA, more padding than frame",
            all(&[open(1), frame(DATA, END_STREAM | PADDED, 1, &[6, 0, 0, 0])]),
            Goaway(&[PROTOCOL]),
        ),
        (
            "6.1",
            "DATA, padded",
            all(&[open(1), frame(DATA, END_STREAM | PADDED, 1, &[2, b'a', 0, 0])]),
            Answer,
        ),
        (
            "6.1",
            "DATA in three frames",
            all(&[open(1), plain(DATA, 0, 1, b"a"), plain(DATA, 0, 1, b"b"), plain(DATA, 1, 1, b"c")]),
            Answer,
        ),
        (
            "6.1",
            "nothing but padding",
            all(&[open(1), frame(DATA, END_STREAM | PADDED, 1, &[3, 0, 0, 0])]),
            Answer,
        ),
        ("6.2", "HEADERS on stream 0", get(0), Goaway(&[PROTOCOL])),
        (
            "6.2",
            "HEADERS, more padding than frame",
            headers(WHOLE | PADDED, &[&[255][..], &whole[..9]].concat()),
            Goaway(&[PROTOCOL]),
        ),
        ("6.2", "HEADERS, padded", headers(WHOLE | PADDED, &padded(3, 3)), Answer),
        (
            "6.2",
            "HEADERS, padded and prioritized",
            headers(WHOLE | PADDED | PRIORITIZED, &[&[1, 0, 0, 0, 0, 9][..], &whole, &[0]].concat()),
            Answer,
        ),
        (
            "6.2",
            "HEADERS, exclusive",
            headers(WHOLE | PRIORITIZED, &[&[0x80, 0, 0, 0, 255][..], &whole].concat()),
            Answer,
        ),
        (
            "6.2",
            "HEADERS too short for its priority",
            headers(WHOLE | PRIORITIZED, &[0, 0]),
            Goaway(&[PROTOCOL, FRAME_SIZE]),
        ),
        ("6.2", "HEADERS of no octet, padded", headers(WHOLE | PADDED, &[]), Goaway(&[PROTOCOL, FRAME_SIZE])),
        ("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 9]), Goaway(&[PROTOCOL])),
        ("6.3", "PRIORITY of four octets", frame(PRIORITY, 0, 1, &[0, 0, 0, 3]), Reset(&[FRAME_SIZE])),
        (
            "6.3",
            "PRIORITY, lowest and highest",
            all(&[
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 0]),
                frame(PRIORITY, 0, 3, &[0x80, 0, 0, 1, 255]),
                get(5),
            ]),
            Nothing,
        ),
        ("6.4", "RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]), Goaway(&[PROTOCOL])),
        ("6.4", "RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), Goaway(&[PROTOCOL])),
        (
            "6.4",
            "RST_STREAM of three octets",
            all(&[open(1), frame(RST_STREAM, 0, 1, &[0, 0, 8])]),
            Goaway(&[FRAME_SIZE]),
        ),
        (
            "6.5",
            "SETTINGS, an acknowledgement with content",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            Goaway(&[FRAME_SIZE]),
        ),
        ("6.5", "SETTINGS on stream 1", frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100]), Goaway(&[PROTOCOL])),
        ("6.5", "SETTINGS of three octets", frame(SETTINGS, 0, 0, &[0, 3, 0]), Goaway(&[FRAME_SIZE])),
        ("6.5.2", "ENABLE_PUSH of 2", setting(2, 2), Goaway(&[PROTOCOL])),
        ("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", setting(4, 1 << 31), Goaway(&[FLOW_CONTROL])),
        ("6.5.2", "MAX_FRAME_SIZE of 2^14-1", setting(5, 16_383), Goaway(&[PROTOCOL])),
        ("6.5.2", "MAX_FRAME_SIZE of 2^24", setting(5, 1 << 24), Goaway(&[PROTOCOL])),
        ("6.5.2", "an unknown setting", setting(0xff, 1), Nothing),
        (
            "6.5.2",
            "every setting",
            all(&[
                setting(1, 4096),
                setting(2, 0),
                setting(3, 7),
                setting(4, 9999),
                setting(5, 20_000),
                setting(6, 9999),
                get(1),
            ]),
            Answer,
        ),
    ]
}

/// RFC 9113 sections 6.6 to 7.
fn last_frame_types() -> Vec<Case> {
    let whole = block(&fields());
    let third = whole.len() / 3;
    let begun = frame(HEADERS, END_STREAM, 1, &whole[..third]);
    let middle = |flags: u8| frame(CONTINUATION, flags, 1, &whole[third..2 * third]);
    let last = frame(CONTINUATION, END_HEADERS, 1, &whole[2 * third..]);
    let update = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    vec![
        (
            "6.6",
            "PUSH_PROMISE",
            all(&[open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &whole].concat())]),
            Goaway(&[PROTOCOL]),
        ),
        ("6.7", "PING on stream 1", frame(PING, 0, 1, &[0; 8]), Goaway(&[PROTOCOL])),
        ("6.7", "PING of six octets", frame(PING, 0, 0, &[0; 6]), Goaway(&[FRAME_SIZE])),
        ("6.7", "an acknowledgement nobody asked for", frame(PING, ACK, 0, b"invalid!"), Nothing),
        ("6.8", "GOAWAY on stream 1", frame(GOAWAY, 0, 1, &[0; 8]), Goaway(&[PROTOCOL])),
        ("6.8", "GOAWAY of four octets", frame(GOAWAY, 0, 0, &[0; 4]), Goaway(&[FRAME_SIZE])),
        ("6.9", "an increment of 0", update(0, 0), Goaway(&[PROTOCOL])),
        ("6.9", "an increment of 0 on a stream", all(&[open(1), update(1, 0)]), Reset(&[PROTOCOL])),
        (
            "6.9",
            "WINDOW_UPDATE of three octets",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
            Goaway(&[FRAME_SIZE]),
        ),
        (
            "6.9",
            "increments",
            all(&[update(0, 100), open(1), update(1, 100), frame(DATA, END_STREAM, 1, b"a")]),
            Answer,
        ),
        (
            "6.9.1",
            "a window beyond 2^31-1",
            all(&[update(0, 0x7fff_ffff), update(0, 0x7fff_ffff)]),
            Goaway(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1",
            "a stream's window beyond it",
            all(&[open(1), update(1, 0x7fff_ffff), update(1, 0x7fff_ffff)]),
            Reset(&[FLOW_CONTROL]),
        ),
        (
            "6.9.2",
            "windows beyond it by a setting",
            all(&[open(1), update(1, 0x7fff_0000), setting(4, 0x7fff_ffff)]),
            Goaway(&[FLOW_CONTROL]),
        ),
        ("6.10", "two CONTINUATIONs", all(&[begun.clone(), middle(0), last.clone()]), Answer),
        (
            "6.10",
            "DATA within a block",
            all(&[begun.clone(), middle(0), frame(DATA, END_STREAM, 1, b"a")]),
            Goaway(&[PROTOCOL]),
        ),
        (
            "6.10",
            "CONTINUATION on stream 0",
            all(&[begun.clone(), frame(CONTINUATION, END_HEADERS, 0, &whole[third..])]),
            Goaway(&[PROTOCOL]),
        ),
        (
            "6.10",
            "CONTINUATION on another stream",
            all(&[begun.clone(), frame(CONTINUATION, END_HEADERS, 3, &whole[third..])]),
            Goaway(&[PROTOCOL]),
        ),
        ("6.10", "CONTINUATION behind a whole block", all(&[open(1), last.clone()]), Goaway(&[PROTOCOL])),
        (
            "6.10",
            "CONTINUATION behind its end",
            all(&[begun.clone(), frame(CONTINUATION, END_HEADERS, 1, &whole[third..]), last.clone()]),
            Goaway(&[PROTOCOL]),
        ),
        (
            "6.10",
            "CONTINUATION behind DATA",
            all(&[open(1), frame(DATA, 0, 1, b"a"), last.clone()]),
            Goaway(&[PROTOCOL]),
        ),
        (
            "7",
            "GOAWAY of an unknown kind",
            frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
            Nothing,
        ),
        ("7", "RST_STREAM of an unknown kind", all(&[open(1), frame(RST_STREAM, 0, 1, &[0xff; 4])]), Nothing),
    ]
}

/// RFC 9113 section 8; what is malformed in a head is in `h2_blocks` many times over.
fn messages() -> Vec<Case> {
    let asked = |fields: &[(&str, &str)]| headers(WHOLE, &block(fields));
    let counted = |length: &'static str| {
        headers(END_HEADERS, &block(&[&post()[..], &[("content-length", length)]].concat()))
    };
    let trailers = |flags: u8, fields: &[(&str, &str)]| headers(END_HEADERS | flags, &block(fields));
    let data = |flags, content: &[u8]| frame(DATA, flags, 1, content);
    let head = but(":method", Some("HEAD"));
    vec![
        (
            "8.1",
            "a second HEADERS that ends nothing",
            all(&[open(1), trailers(0, &[("x", "y")])]),
            Reset(&[PROTOCOL]),
        ),
        (
            "8.1",
            "POST and trailers",
            all(&[open(1), data(0, b"a"), trailers(END_STREAM, &[("x-sum", "1")])]),
            Answer,
        ),
        ("8.1", "HEAD", asked(&head), Answer),
        ("8.2", "capitals", asked(&and(&[("X-UPPER", "a")])), Reset(&[PROTOCOL])),
        ("8.2.2", "connection", asked(&and(&[("connection", "keep-alive")])), Reset(&[PROTOCOL])),
        ("8.2.2", "te other than trailers", asked(&and(&[("te", "trailers, deflate")])), Reset(&[PROTOCOL])),
        ("8.3", "an unknown pseudo field", asked(&and(&[(":test", "a")])), Reset(&[PROTOCOL])),
        ("8.3", "a pseudo field of answers", asked(&and(&[(":status", "200")])), Reset(&[PROTOCOL])),
        (
            "8.3",
            "a pseudo field among trailers",
            all(&[open(1), data(0, b"a"), trailers(END_STREAM, &[(":method", "GET")])]),
            Reset(&[PROTOCOL]),
        ),
        (
            "8.3",
            "a pseudo field behind others",
            asked(&[fields()[0], ("x", "y"), fields()[1], fields()[2], fields()[3]]),
            Reset(&[PROTOCOL]),
        ),
        ("8.3.1", "an empty :path", asked(&but(":path", Some(""))), Reset(&[PROTOCOL])),
        ("8.3.1", "no :method", asked(&but(":method", None)), Reset(&[PROTOCOL])),
        ("8.3.1", "no :scheme", asked(&but(":scheme", None)), Reset(&[PROTOCOL])),
        ("8.3.1", "no :path", asked(&but(":path", None)), Reset(&[PROTOCOL])),
        ("8.3.1", ":method twice", asked(&twice(":method")), Reset(&[PROTOCOL])),
        ("8.3.1", ":scheme twice", asked(&twice(":scheme")), Reset(&[PROTOCOL])),
        ("8.3.1", ":path twice", asked(&twice(":path")), Reset(&[PROTOCOL])),
        (
            "8.1.1",
            "less content than Content-Length",
            all(&[counted("10"), data(END_STREAM, b"test")]),
            Reset(&[PROTOCOL]),
        ),
        (
            "8.1.1",
            "more content than Content-Length",
            all(&[counted("1"), data(END_STREAM, b"test")]),
            Reset(&[PROTOCOL]),
        ),
        (
            "8.1.1",
            "more content in two frames",
            all(&[counted("1"), data(0, b"te"), data(END_STREAM, b"st")]),
            Reset(&[PROTOCOL]),
        ),
        ("8.1.1", "as much content", all(&[counted("4"), data(0, b"te"), data(END_STREAM, b"st")]), Answer),
    ]
}

/// RFC 7541.
fn compression() -> Vec<Case> {
    let known = block(&fields());
    let behind = |more: &[u8]| headers(WHOLE, &[&known[..], more].concat());
    let literal = |first: u8, value: &[u8]| {
        let mut octets = block(&but(":path", None));
        octets.push(first);
        string(value, &mut octets);
        headers(WHOLE, &octets)
    };
    let coded = |value: &[u8]| behind(&[&[0x00, 1, b'x', 0x80 | value.len() as u8][..], value].concat());
    vec![
        ("7541 2.3.3", "an index beyond the tables", behind(&[0xc6]), Goaway(&[COMPRESSION])),
        ("7541 2.3.3", "a name beyond the tables", behind(&[0x7f, 0x20, 1, b'a']), Goaway(&[COMPRESSION])),
        ("7541 4.2", "the table's size behind a field", behind(&[0x3f, 0xe1, 0x1f]), Goaway(&[COMPRESSION])),
        (
            "7541 4.2",
            "the table's size in front",
            headers(WHOLE, &[&[0x3f, 0xe1, 0x1f][..], &known].concat()),
            Answer,
        ),
        (
            "7541 4.2",
            "two sizes in front",
            headers(WHOLE, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &known].concat()),
            Answer,
        ),
        ("7541 5.2", "padding of more than seven bits", coded(&[0x1f, 0xff]), Goaway(&[COMPRESSION])),
        ("7541 5.2", "padding of zeros", coded(&[0x18]), Goaway(&[COMPRESSION])),
        ("7541 5.2", "EOS in a string", coded(&[0xff, 0xff, 0xff, 0xff]), Goaway(&[COMPRESSION])),
        ("7541 5.2", "a coded string", coded(&[0x1f]), Answer),
        ("7541 6.1", "index 0", behind(&[0x80]), Goaway(&[COMPRESSION])),
        (
            "7541 6.1",
            "indexed fields",
            headers(
                WHOLE,
                &[&block(&fields()[2..])[..0], &[0x82, 0x86, 0x84], &block(&fields()[2..3])].concat(),
            ),
            Answer,
        ),
        ("7541 6.2.1", "a literal that is kept", literal(0x44, b"/x"), Answer),
        ("7541 6.2.2", "a literal that is not", literal(0x04, b"/x"), Answer),
        ("7541 6.2.3", "a literal that never is", literal(0x14, b"/x"), Answer),
        (
            "7541 6.3",
            "a table larger than allowed",
            headers(WHOLE, &[&[0x3f, 0xe2, 0x1f][..], &known].concat()),
            Goaway(&[COMPRESSION]),
        ),
    ]
}

fn fits(then: Then, seen: &[Frame], ended: bool) -> Option<bool> {
    let pong =
        seen.iter().any(|frame| frame.kind == PING && frame.flags & ACK != 0 && frame.payload == b"the end.");
    let goaway = seen.iter().find(|frame| frame.kind == GOAWAY).map(|frame| number(&frame.payload[4..]));
    let reset = seen.iter().find(|frame| frame.kind == RST_STREAM).map(|frame| number(&frame.payload));
    let answered = seen.iter().any(|frame| frame.kind == HEADERS && frame.stream == 1);
    let whole = answered
        && seen.iter().any(|frame| {
            frame.stream == 1 && matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0
        });
    match then {
        Goaway(codes) => match goaway {
            Some(code) => Some(codes.contains(&code)),
            None => ended.then_some(true),
        },
        Reset(codes) => match (reset, goaway) {
            (Some(code), _) | (None, Some(code)) => Some(codes.contains(&code)),
            (None, None) => ended.then_some(true),
        },
        Nothing if goaway.is_some() || reset.is_some() || ended => Some(false),
        Nothing => pong.then_some(true),
        Answer if goaway.is_some() || reset.is_some() || ended => Some(whole),
        Answer => whole.then_some(true),
    }
}

#[tokio::test]
async fn r095_every_case_of_the_list_has_its_outcome() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let address = bearward.address("api").unwrap();
    let lists = [frames_and_streams(), first_frame_types(), last_frame_types(), messages(), compression()];
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (section, what, octets, then) in lists.concat() {
        count += 1;
        let mut frames = Frames::connect(address).await;
        frames.octets(&octets).await;
        frames.send(PING, 0, 0, b"the end.").await;
        let mut seen = Vec::new();
        let verdict = loop {
            let next = frames.next().await;
            let ended = next.is_none();
            seen.extend(next);
            if let Some(verdict) = fits(then, &seen, ended) {
                break verdict;
            }
            if ended {
                break false;
            }
        };
        if !verdict {
            let seen: Vec<_> = seen.iter().map(|frame| (frame.kind, frame.stream, &frame.payload)).collect();
            wrong.push(format!("{section}, {what}: {then:?}, and came {seen:?}"));
        }
    }
    println!("{count} cases");
    assert!(wrong.is_empty(), "{} of {count} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The lengths of the DATA that comes in front of a PING's answer.
async fn content_now(frames: &mut Frames) -> Vec<usize> {
    frames.send(PING, 0, 0, b"the end.").await;
    let mut lengths = Vec::new();
    loop {
        let frame = frames.next().await.expect("the connection goes on");
        match frame.kind {
            DATA => lengths.push(frame.payload.len()),
            PING if frame.flags & ACK != 0 => return lengths,
            _ => {}
        }
    }
}

async fn next_content(frames: &mut Frames) -> Vec<u8> {
    frames.until(DATA).await.expect("content comes").payload
}

fn window(size: u32) -> Vec<u8> {
    setting(4, size)
}

fn update(by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, 1, &by.to_be_bytes())
}

#[tokio::test]
async fn r095_windows_of_one_octet_of_none_and_of_less_than_none_are_kept_to() {
    let origin = Origin::start().await;
    let bearward = start(&origin.configuration());
    let address = bearward.address("api").unwrap();

    // 6.5.3: the last of several values counts, and each SETTINGS is acknowledged; 6.9.1.
    let mut frames = Frames::connect(address).await;
    let several = [[0, 4, 0, 0, 0, 100], [0, 4, 0, 0, 0, 1]].concat();
    frames.octets(&all(&[frame(SETTINGS, 0, 0, &several), get(1)])).await;
    let mut acknowledged = 0;
    let first = loop {
        let frame = frames.next().await.expect("it is answered");
        match frame.kind {
            SETTINGS if frame.flags & ACK != 0 => acknowledged += 1,
            DATA => break frame.payload,
            _ => {}
        }
    };
    assert_eq!((acknowledged, &*first), (2, &b"o"[..]));
    assert_eq!(content_now(&mut frames).await, [0; 0]);
    frames.octets(&update(1)).await;
    assert_eq!(next_content(&mut frames).await, b"k");

    // 6.9.2: a setting opens the windows of streams that are open already.
    let mut frames = Frames::connect(address).await;
    frames.octets(&all(&[window(0), get(1)])).await;
    frames.until(HEADERS).await.expect("the head needs no window");
    assert_eq!(content_now(&mut frames).await, [0; 0]);
    frames.octets(&window(1)).await;
    assert_eq!(next_content(&mut frames).await, b"o");

    // 6.9.2: or makes them negative.
    let mut frames = Frames::connect(address).await;
    frames.octets(&all(&[window(1), get(1)])).await;
    assert_eq!(next_content(&mut frames).await, b"o");
    frames.octets(&all(&[window(0), update(1)])).await;
    assert_eq!(content_now(&mut frames).await, [0; 0], "the window is 0, not 1");
    frames.octets(&update(1)).await;
    assert_eq!(next_content(&mut frames).await, b"k");
}
