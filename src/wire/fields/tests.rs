//! Fields as they are read, changed and written; beside a list of names and values, of which each of these is plainly told.

use http::header;
use proptest::prelude::*;

use super::{
    reading::{self, place},
    *,
};
use crate::wire::head::HeadError;

fn section(text: &[u8]) -> Result<Fields, HeadError> {
    assert_eq!(end(text, 1 << 16, 100)?, Some(text.len()));
    read(&Bytes::copy_from_slice(text), 0, BeforeColon::Refused, 100)
}

fn written(fields: &Fields, onward: impl FnMut(&Field<'_>) -> Onward) -> String {
    let mut out = Vec::new();
    fields.write(onward, &mut out);
    String::from_utf8(out).unwrap()
}

fn name(text: &str) -> HeaderName {
    text.parse().unwrap()
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[test]
fn a_section_ends_with_its_empty_line_and_nowhere_else() {
    let whole = b"A: b\r\nC: d\r\n\r\nrest";
    assert_eq!(end(whole, 100, 10), Ok(Some(14)));
    for short in 0..14 {
        assert_eq!(end(&whole[..short], 100, 10), Ok(None), "{short}");
    }
    assert_eq!(end(b"\r\n", 100, 0), Ok(Some(2)));
}

#[test]
fn r114_a_section_is_measured_to_the_octet_and_the_line() {
    let whole = b"A: b\r\nC: d\r\n\r\n";
    assert_eq!(end(whole, whole.len(), 2), Ok(Some(whole.len())));
    assert_eq!(end(whole, whole.len() - 1, 2), Err(HeadError::TooLarge));
    assert_eq!(end(&[b'a'; 10], 10, 1), Err(HeadError::TooLarge), "it cannot end any more");
    // Lines are counted while they come, and where they are read.
    let begun = &whole[..whole.len() - 2];
    assert_eq!(end(begun, 100, 2), Ok(None));
    assert_eq!(end(begun, 100, 1), Err(HeadError::TooLarge));
    let read =
        |most| read(&Bytes::from_static(whole), 0, BeforeColon::Refused, most).map(|fields| fields.len());
    assert_eq!(read(2), Ok(2));
    assert_eq!(read(1), Err(HeadError::TooLarge));
}

#[test]
fn r114_no_octet_stands_where_its_place_cannot_be_told() {
    assert_eq!(place(u32::MAX as usize), Ok(u32::MAX));
    assert_eq!(place(u32::MAX as usize + 1), Err(HeadError::TooLarge));
}

#[test]
fn r043_r044_r045_r046_r047_r048_r049_a_line_that_is_no_field_line_is_refused() {
    for text in [
        &b"A: b\n\r\n"[..],
        b"A: b\r\n\n",
        b"\nA: b\r\n\r\n",
        b"A: b\rc\r\n\r\n",
        b"A: b\r\r\n\r\n",
        b"A\r: b\r\n\r\n",
        b"A: b\0c\r\n\r\n",
        b"A: b\x7fc\r\n\r\n",
        b"A : b\r\n\r\n",
        b"A\t: b\r\n\r\n",
        b" A: b\r\n\r\n",
        b"A: b\r\n c\r\n\r\n",
        b"A: b\r\n\tc: d\r\n\r\n",
        b"A: b\r\n \r\n\r\n",
        b": b\r\n\r\n",
        b"A\r\n\r\n",
        b"A b: c\r\n\r\n",
        b"A(: c\r\n\r\n",
        b"A\"b: c\r\n\r\n",
        b"A\xc3\xa9: c\r\n\r\n",
    ] {
        let outcome = section(text);
        assert!(matches!(outcome, Err(HeadError::Malformed(_))), "{}: {outcome:?}", text.escape_ascii());
    }
}

/// Who looks at each line that comes sees the same as who sees them all at once.
#[test]
fn what_is_wrong_with_a_line_is_said_when_it_has_ended() {
    for line in ["A: b\u{1}c", "A: b\rc", "A: \0", "A b", "A b: c", ": b", " b", "A"] {
        let seen = |text: &str| {
            reading::section(text.as_bytes(), 0, BeforeColon::Refused, 100).map(|seen| seen.is_some())
        };
        assert_eq!(seen(&format!("X: y\r\n{line}")), Ok(false), "{line:?}");
        assert_eq!(seen(&format!("X: y\r\n{line}\r")), Ok(false), "{line:?}");
        assert!(matches!(seen(&format!("X: y\r\n{line}\r\n")), Err(HeadError::Malformed(_))), "{line:?}");
    }
    let second =
        |text: &str| reading::section(text.as_bytes(), 0, BeforeColon::Refused, 1).map(|seen| seen.is_some());
    assert_eq!(second("A: b\r\nC: d\r"), Ok(false));
    assert_eq!(second("A: b\r\nC: d\r\n"), Err(HeadError::TooLarge));
}

#[test]
fn values_keep_their_octets_without_the_white_space_around_them() {
    let fields = section(b"A: \t b  c \t\r\nB:\r\nC:   \r\nD:\xe9\r\n\r\n").unwrap();
    for (name, value) in [("a", &b"b  c"[..]), ("b", b""), ("c", b""), ("d", b"\xe9")] {
        assert_eq!(fields.get(name), Some(value), "{name}");
    }
}

#[test]
fn r086_white_space_before_the_colon_is_removed_from_an_answer() {
    for text in ["A \t: b\r\n\r\n", "A :b\r\n\r\n", "A\t: b\r\n\r\n"] {
        let fields = read(&Bytes::from_static(text.as_bytes()), 0, BeforeColon::Removed, 100).unwrap();
        assert_eq!(fields.get("a"), Some(&b"b"[..]));
        assert_eq!(written(&fields, |_| Onward::Goes), "A: b\r\n", "{text:?}");
    }
}

#[test]
fn r097_what_is_a_token_and_what_has_white_space_at_its_edges() {
    for (octets, token) in
        [("a", true), ("A-b!#$%&'*+.^_`|~9", true), ("", false), ("a\"b", false), ("a b", false)]
    {
        assert_eq!(is_token(octets.as_bytes()), token, "{octets}");
    }
    let name = HeaderName::from_static("a");
    for (value, sound) in [("", true), ("b c", true), (" b", false), ("b\t", false), (" ", false)] {
        assert_eq!(is_sound(&name, &HeaderValue::from_static(value)), sound, "{value:?}");
    }
    assert!(!is_sound(&HeaderName::from_lowercase(b"a\"").unwrap(), &HeaderValue::from_static("b")));
}

/// What is read here is given to libraries that check it once more, and would be lost there.
#[test]
fn r046_r049_every_octet_of_a_name_and_a_value_is_what_it_is_to_the_http_crate() {
    for octet in 0..=u8::MAX {
        for around in [&[octet][..], &[octet, b'a'], &[b'a', octet], &[b'a', octet, b'a']] {
            // HTTP/2's names may have a quote there, which is no token (`is_sound`).
            let theirs = HeaderName::from_bytes(around).is_ok() && !around.contains(&b'"');
            assert_eq!(is_token(around), theirs, "{}", around.escape_ascii());
            // A colon ends the name.
            let read = section(&[around, b": b\r\n\r\n"].concat());
            let is_name =
                read.is_ok_and(|fields| fields.iter().next().is_some_and(|field| field.name == around));
            assert_eq!(is_name, theirs, "{}", around.escape_ascii());
        }
        let value = [b'a', octet, b'a'];
        let line = [&b"A: "[..], &value, b"\r\n\r\n"].concat();
        let fields = section(&line);
        assert_eq!(fields.is_ok(), HeaderValue::from_bytes(&value).is_ok(), "{}", value.escape_ascii());
        if let Ok(fields) = fields {
            assert_eq!(fields.get("a"), Some(&value[..]));
            assert_eq!(fields.to_map()["a"].as_bytes(), value);
        }
    }
}

#[test]
fn r046_a_control_character_is_found_wherever_it_stands() {
    // Values are looked at in blocks.
    for length in 1..300 {
        for octet in [b'\r', b'\0', 0x1f, 0x7f] {
            let mut text = [b"A: ", &vec![b'b'; length][..], b"\r\nC: d\r\n\r\n"].concat();
            assert!(section(&text).is_ok());
            text[2 + length] = octet;
            assert!(section(&text).is_err(), "{octet} at {length}");
        }
    }
}

#[test]
fn names_go_on_as_they_were_spelled_each_at_its_own_value_and_place() {
    let text = "X-One: 1\r\nset-cookie: a\r\nX-TWO: 2\r\nSet-Cookie: b\r\nHOST: c\r\n";
    let fields = section(format!("{text}\r\n").as_bytes()).unwrap();
    assert_eq!(written(&fields, |_| Onward::Goes), text);
    assert_eq!(fields.get_all("SET-Cookie").collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(fields.get(Name::HOST), Some(&b"c"[..]));
    let names: Vec<_> = fields.iter().map(|field| (field.known, field.name)).collect();
    assert_eq!(
        names[2..],
        [(None, &b"X-TWO"[..]), (Some(Name::SET_COOKIE), b"Set-Cookie"), (Some(Name::HOST), b"HOST")]
    );
}

#[test]
fn a_field_is_asked_for_by_any_name_in_any_spelling() {
    let fields = section(b"Via: 1\r\nX-A: 2\r\nvia: 3\r\nDate: 4\r\n\r\n").unwrap();
    for via in ["via", "VIA", "Via"] {
        assert_eq!(fields.get(via), Some(&b"1"[..]), "{via}");
        assert_eq!(fields.get_all(via).count(), 2, "{via}");
        assert_eq!(fields.get_only(via), None, "{via} is there twice");
    }
    assert_eq!(fields.get_only(Name::DATE), Some(&b"4"[..]));
    assert_eq!(fields.get_only(&name("x-a")), Some(&b"2"[..]));
    assert!(!fields.contains(Name::HOST) && !fields.contains("x-b") && !fields.contains(""));
    assert!(fields.iter().next().unwrap().is("VIA") && !fields.iter().next().unwrap().is("x-a"));
}

#[test]
fn one_in_place_of_others_stands_where_the_first_of_them_stood() {
    let text = b"A: 1\r\nX-B: 2\r\nC: 3\r\nx-b: 4\r\n\r\n";
    let mut fields = section(text).unwrap();
    fields.insert(&name("x-b"), &value("5"));
    assert_eq!(written(&fields, |_| Onward::Goes), "A: 1\r\nX-B: 5\r\nC: 3\r\n");
    fields.insert(&name("d"), &value("6"));
    fields.insert(&name("a"), &value("7"));
    assert_eq!(written(&fields, |_| Onward::Goes), "A: 7\r\nX-B: 5\r\nC: 3\r\nd: 6\r\n");
    fields.insert(&name("d"), &value("8"));
    assert_eq!(written(&fields, |_| Onward::Goes), "A: 7\r\nX-B: 5\r\nC: 3\r\nd: 8\r\n");
}

#[test]
fn one_more_is_added_where_there_was_none() {
    let mut fields = Fields::default();
    fields.insert(&header::UPGRADE, &value("websocket"));
    assert!(fields.known().has(Name::UPGRADE) && fields.get(Name::UPGRADE) == Some(b"websocket"));
}

#[test]
fn a_map_becomes_fields_and_fields_a_map() {
    let mut map = HeaderMap::new();
    for (name, said) in [("x-a", "1"), ("set-cookie", "2"), ("set-cookie", "3"), ("via", ""), ("host", "4")] {
        map.append(name, value(said));
    }
    let mut fields = Fields::from(&map);
    assert_eq!(
        written(&fields, |_| Onward::Goes),
        "x-a: 1\r\nset-cookie: 2\r\nset-cookie: 3\r\nvia: \r\nhost: 4\r\n"
    );
    assert_eq!(fields.known(), Names::of(&[Name::SET_COOKIE, Name::VIA, Name::HOST]));
    assert_eq!(fields.to_map(), map);
    fields.append(&name("x-b"), &value("5"));
    assert_eq!(fields.get("x-b"), Some(&b"5"[..]));
}

#[test]
fn numbers_are_written_in_digits() {
    for number in [0, 7, 10, 999, 1_000, u64::MAX] {
        let mut out = Vec::new();
        write_number(b"A", number, &mut out);
        assert_eq!(out, format!("A: {number}\r\n").into_bytes());
    }
}

#[test]
fn no_value_is_shown() {
    let mut fields = section(b"Authorization: Bearer s3cret\r\nX-Key: s3cret\r\n\r\n").unwrap();
    fields.append(&header::COOKIE, &value("s3cret"));
    let shown = format!("{fields:?} {:#?}", fields.iter().collect::<Vec<_>>());
    assert!(
        shown.contains("X-Key") && shown.contains("Authorization") && shown.contains("cookie"),
        "{shown}"
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}

/// Some of the known names, some others, and often the same.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["Host", "via", "VIA", "Content-Length", "TE", "connection", "X-A", "x-a", "X-b"])
            .prop_map(str::to_owned),
        1 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,70}",
    ]
}

fn values() -> impl Strategy<Value = String> {
    "([!-~\u{e9}]([ \t!-~]{0,20}[!-~])?)?"
}

/// White space, mostly as it is usual.
fn white_space(usual: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(usual.to_owned()), 1 => "[ \t]{0,2}"]
}

/// What is done to fields.
#[derive(Clone, Debug)]
enum Change {
    Append(String, String),
    Insert(String, String),
    Remove(String),
    /// Those stay whose number is not divisible by this.
    Retain(usize),
}

fn changes() -> impl Strategy<Value = Change> {
    let of = |name: String| name.to_ascii_lowercase();
    prop_oneof![
        (names(), values()).prop_map(move |(name, value)| Change::Append(of(name), value)),
        (names(), values()).prop_map(move |(name, value)| Change::Insert(of(name), value)),
        names().prop_map(Change::Remove),
        (2usize..5).prop_map(Change::Retain),
    ]
}

type Plain = Vec<(String, String)>;

/// The same done to a list.
fn change(list: &mut Plain, change: &Change) {
    let alike = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    match change {
        Change::Append(name, value) => list.push((name.clone(), value.clone())),
        Change::Insert(name, value) => match list.iter().position(|(own, _)| alike(own, name)) {
            None => list.push((name.clone(), value.clone())),
            Some(first) => {
                let spelled = list[first].0.clone();
                list[first] = (spelled, value.clone());
                let mut at = 0;
                list.retain(|(own, _)| {
                    at += 1;
                    at - 1 <= first || !alike(own, name)
                });
            }
        },
        Change::Remove(name) => list.retain(|(own, _)| !alike(own, name)),
        Change::Retain(number) => {
            let mut at = 0;
            list.retain(|_| {
                at += 1;
                at % number != 0
            });
        }
    }
}

fn changed(fields: &mut Fields, change: &Change) {
    let parsed = |name: &str, value: &str| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    match change {
        Change::Append(name, value) => {
            let (name, value) = parsed(name, value);
            fields.append(&name, &value);
        }
        Change::Insert(name, value) => {
            let (name, value) = parsed(name, value);
            fields.insert(&name, &value);
        }
        Change::Remove(name) => fields.remove(&**name),
        Change::Retain(number) => {
            let mut at = 0;
            fields.retain(|_| {
                at += 1;
                at % number != 0
            });
        }
    }
}

fn same(fields: &Fields, list: &Plain) -> Result<(), TestCaseError> {
    let told: Vec<_> = fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
    let plain: Vec<_> =
        list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    prop_assert_eq!(told, plain);
    prop_assert_eq!((fields.len(), fields.is_empty()), (list.len(), list.is_empty()));
    let known: Vec<_> = list.iter().filter_map(|(name, _)| Name::of(name.as_bytes())).collect();
    prop_assert_eq!(fields.known(), Names::of(&known), "which of the known names are there");
    for (name, _) in list {
        let values: Vec<_> = list
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_bytes())
            .collect();
        prop_assert_eq!(fields.get(&**name), values.first().copied());
        prop_assert_eq!(fields.get_only(&**name), values.first().copied().filter(|_| values.len() == 1));
        prop_assert_eq!(fields.get_all(&**name).collect::<Vec<_>>(), values);
    }
    Ok(())
}

/// What becomes of the field at this place.
fn onward_of(at: usize, onward: &[u8]) -> Onward {
    match onward.get(at % onward.len().max(1)) {
        Some(0) => Onward::Stays,
        Some(1) => Onward::Says(at as u64 * 1_000),
        _ => Onward::Goes,
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(lines in prop::collection::vec((names(), values()), 0..20)) {
        let mut text = Vec::new();
        for (name, value) in &lines {
            write(name.as_bytes(), value.as_bytes(), &mut text);
        }
        text.extend_from_slice(b"\r\n");
        prop_assert_eq!(end(&text, 1 << 20, 20), Ok(Some(text.len())));
        let fields = read(&text.into(), 0, BeforeColon::Refused, 100).unwrap();
        same(&fields, &lines)?;
    }

    /// Lines that go on together are copied together; one by one it would be the same.
    #[test]
    fn whatever_stays_behind_the_rest_is_written_as_it_stands(
        lines in prop::collection::vec((names(), values(), white_space(" "), white_space("")), 0..16),
        before in "(|GET / HTTP/1.1\r\n)",
        changes in prop::collection::vec(changes(), 0..4),
        onward in prop::collection::vec(0u8..6, 1..16),
    ) {
        let mut text = before.clone().into_bytes();
        for (name, value, leading, trailing) in &lines {
            text.extend_from_slice(format!("{name}:{leading}{value}{trailing}\r\n").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        let mut fields = read(&text.into(), before.len(), BeforeColon::Refused, 100).unwrap();
        let mut list: Plain = lines.into_iter().map(|(name, value, ..)| (name, value)).collect();
        for one in &changes {
            changed(&mut fields, one);
            change(&mut list, one);
        }
        let mut naive = b"before".to_vec();
        for (at, (name, value)) in list.iter().enumerate() {
            match onward_of(at, &onward) {
                Onward::Goes => naive.extend_from_slice(format!("{name}: {value}\r\n").as_bytes()),
                Onward::Says(number) => naive.extend_from_slice(format!("{name}: {number}\r\n").as_bytes()),
                Onward::Stays => {}
            }
        }
        let (mut out, mut at) = (b"before".to_vec(), 0);
        fields.write(|_| { at += 1; onward_of(at - 1, &onward) }, &mut out);
        prop_assert_eq!(out.escape_ascii().to_string(), naive.escape_ascii().to_string());
    }

    #[test]
    fn what_is_changed_is_told_as_it_is_then(
        lines in prop::collection::vec((names(), values()), 0..8),
        changes in prop::collection::vec(changes(), 0..8),
    ) {
        let mut text = Vec::new();
        for (name, value) in &lines {
            write(name.as_bytes(), value.as_bytes(), &mut text);
        }
        text.extend_from_slice(b"\r\n");
        let (mut fields, mut list) = (read(&text.into(), 0, BeforeColon::Refused, 100).unwrap(), lines);
        for one in &changes {
            changed(&mut fields, one);
            change(&mut list, one);
            same(&fields, &list)?;
        }
    }

    #[test]
    fn no_octets_make_it_panic(octets: Vec<u8>, lf in prop::collection::vec(0usize..64, 0..8)) {
        let mut octets = octets;
        for at in lf {
            octets.insert(at.min(octets.len()), b'\n');
            octets.insert(at.min(octets.len()), b'\r');
        }
        octets.extend_from_slice(b"\r\n\r\n");
        if let Ok(Some(whole)) = end(&octets, 1 << 16, 100) {
            let octets = Bytes::from(octets).slice(..whole);
            for before_colon in [BeforeColon::Refused, BeforeColon::Removed] {
                if let Ok(fields) = read(&octets, 0, before_colon, 100) {
                    let _ = written_octets(&fields);
                }
            }
        }
    }
}

fn written_octets(fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    fields.write(|_| Onward::Goes, &mut out);
    out
}
