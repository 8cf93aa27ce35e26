//! A field section: the lines of a head behind its first, and of trailers (RFC 9112 section 5).
//!
//! Knows fields as they came: their octets, in their order, spelled as they were. What a field line is and where a section ends, `reading`
//! knows. Does not know what a field means.
//!
//! A line is found by its LF and has to end in CRLF; CR and LF stand nowhere else. So there is one way to see the lines, whoever
//! looks. A head is read once and its octets stay where they are: what is kept is where each name and value stands, so that what goes
//! on is copied as it came.

mod reading;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::reading::{BeforeColon, end, read};
pub(super) use self::reading::{first_line, section};
pub use super::names::{Name, Named, Names};

/// Fields, in their order. What was read stays as it was written; what is added comes behind it.
#[derive(Clone, Default)]
pub struct Fields {
    read: Bytes,
    added: Vec<u8>,
    lines: Vec<Line>,
    index: Index,
}

/// Which of the known names are there, and where first.
#[derive(Clone)]
struct Index {
    known: Names,
    /// Those that are there more than once.
    repeated: Names,
    first: [u8; Name::COUNT],
}

/// Where one field stands.
#[derive(Clone, Copy)]
struct Line {
    begin: u32,
    name_end: u32,
    value: u32,
    value_end: u32,
    /// Behind its CRLF.
    end: u32,
    name: Option<Name>,
    /// Among what was added.
    is_added: bool,
    /// It was read as we would write it.
    is_plain: bool,
}

/// One field.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// Its name, where it is one of those.
    pub known: Option<Name>,
    /// Its name, as it was spelled.
    pub name: &'a [u8],
    /// Its value, without the white space around it.
    pub value: &'a [u8],
}

/// What the options of Connection are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close` is among them.
    pub close: bool,
    /// `keep-alive` is.
    pub keep_alive: bool,
    /// Something else is.
    pub others: bool,
}

/// What becomes of a field that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// It goes on as it came.
    Goes,
    /// It stays behind.
    Stays,
    /// It goes on with this number as its value.
    Says(u64),
}

/// Whether these octets are a token (RFC 9110 section 5.6.2), as a field's name is one.
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| IS_TOKEN[usize::from(*octet)])
}

const IS_TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        is_token[octet] = matches!(octet as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
            | b'`' | b'|' | b'~');
        octet += 1;
    }
    is_token
};

/// Whether a field that h2 has read is what it does not make sure of (RFC 9110 section 5.5, RFC 9113 section 8.2.1): its name is a token
/// (HTTP/2's names may have a quote in `http`), and its value has no white space at its edges.
pub fn is_sound(name: &HeaderName, value: &HeaderValue) -> bool {
    let edges = [value.as_bytes().first(), value.as_bytes().last()];
    !name.as_str().contains('"') && !edges.into_iter().flatten().any(|octet| is_space(*octet))
}

/// The members of lists of tokens (RFC 9110 section 5.6.1), on however many lines; empty ones are left out.
pub fn members<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let members = lines.flat_map(|line| line.split(|octet| *octet == b','));
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

impl Default for Index {
    fn default() -> Self {
        Self { known: Names::default(), repeated: Names::default(), first: [0; Name::COUNT] }
    }
}

impl Index {
    /// A field of this name at this place, behind all others.
    fn add(&mut self, name: Option<Name>, at: usize) {
        let Some(name) = name else { return };
        if self.known.has(name) {
            return self.repeated.add(name);
        }
        self.known.add(name);
        // Behind so many others it is looked for as if there were several.
        self.first[name.number()] = u8::try_from(at).unwrap_or_else(|_| {
            self.repeated.add(name);
            u8::MAX
        });
    }

    fn of(lines: &[Line]) -> Self {
        let mut index = Self::default();
        lines.iter().enumerate().for_each(|(at, line)| index.add(line.name, at));
        index
    }

    /// The first line of a known name.
    fn first<'a>(&self, name: Name, lines: &'a [Line]) -> Option<&'a Line> {
        if !self.known.has(name) {
            return None;
        }
        match self.first[name.number()] {
            u8::MAX => lines.iter().find(|line| line.name == Some(name)),
            at => lines.get(usize::from(at)),
        }
    }

    /// Among which lines those of a known name are to be looked for.
    fn among<'a>(&self, name: Name, lines: &'a [Line]) -> &'a [Line] {
        if !self.known.has(name) {
            return &[];
        }
        let first = usize::from(self.first[name.number()]);
        let end = if self.repeated.has(name) { lines.len() } else { first + 1 };
        lines.get(first..end).unwrap_or_default()
    }
}

impl Fields {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Which of the known names are there.
    pub fn known(&self) -> Names {
        self.index.known
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: impl Named) -> bool {
        match name.known() {
            Some(known) => self.index.known.has(known),
            None => self.get(name).is_some(),
        }
    }

    /// The first value of a name.
    pub fn get(&self, name: impl Named) -> Option<&[u8]> {
        match name.known() {
            Some(known) => self.index.first(known, &self.lines).map(|line| self.value(line)),
            None => self.get_all(name).next(),
        }
    }

    /// The value of a name that is there once.
    pub fn get_only(&self, name: impl Named) -> Option<&[u8]> {
        if let Some(known) = name.known()
            && !self.index.repeated.has(known)
        {
            return self.get(known);
        }
        let mut values = self.get_all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// All values of a name, in their order.
    pub fn get_all<N: Named>(&self, name: N) -> impl Iterator<Item = &[u8]> + use<'_, N> {
        let known = name.known();
        let lines = known.map_or(&self.lines[..], |known| self.index.among(known, &self.lines));
        let is_named = move |line: &&Line| match known {
            Some(known) => line.name == Some(known),
            None => line.name.is_none() && self.name(line).eq_ignore_ascii_case(name.spelled()),
        };
        lines.iter().filter(is_named).map(|line| self.value(line))
    }

    /// What Connection says (RFC 9110 section 7.6.1).
    pub fn connection(&self) -> Connection {
        let mut said = Connection::default();
        if !self.index.known.has(Name::CONNECTION) {
            return said;
        }
        // As nearly everybody says it.
        if self.get_only(Name::CONNECTION) == Some(b"keep-alive") {
            return Connection { keep_alive: true, ..said };
        }
        for option in self.members(Name::CONNECTION) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                said.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                said.close = true;
            } else {
                said.others = true;
            }
        }
        said
    }

    /// The members of a name's lists, on however many lines; empty ones are left out.
    pub fn members<N: Named>(&self, name: N) -> impl Iterator<Item = &[u8]> + use<'_, N> {
        members(self.get_all(name))
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| self.field(line))
    }

    /// One more, behind the others. Names and values are checked already.
    pub fn append(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.add(name.as_str().as_bytes(), value.as_bytes());
    }

    /// One more, behind the others.
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let begin = self.added.len();
        // What is too long to be told apart is too long for any head.
        let place = |at: usize| u32::try_from(begin + at).unwrap_or(u32::MAX);
        let known = Name::of(name);
        self.index.add(known, self.lines.len());
        self.lines.push(Line {
            begin: place(0),
            name_end: place(name.len()),
            value: place(name.len() + 2),
            value_end: place(name.len() + 2 + value.len()),
            end: place(name.len() + 2 + value.len() + 2),
            name: known,
            is_added: true,
            is_plain: true,
        });
        write(name, value, &mut self.added);
    }

    /// One in place of all others of its name, where the first of them stood and spelled as that was; behind the others where there was
    /// none.
    pub fn insert(&mut self, name: &HeaderName, value: &HeaderValue) {
        let Some(first) = self.iter().position(|field| field.is(name)) else {
            return self.append(name, value);
        };
        let spelled = self.name(&self.lines[first]).to_vec();
        self.remove(name);
        self.add(&spelled, value.as_bytes());
        self.lines[first..].rotate_right(1);
        self.index = Index::of(&self.lines);
    }

    /// Takes all fields of a name off.
    pub fn remove(&mut self, name: impl Named) {
        let known = name.known();
        self.retain(|field| match known {
            Some(known) => field.known != Some(known),
            None => !field.name.eq_ignore_ascii_case(name.spelled()),
        });
    }

    /// Keeps those of which this is true.
    pub fn retain(&mut self, mut stays: impl FnMut(&Field<'_>) -> bool) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.retain(|line| stays(&self.field(line)));
        self.index = Index::of(&lines);
        self.lines = lines;
    }

    /// Writes them to `out` as field lines, but for those of which `onward` says something else.
    pub fn write(&self, mut onward: impl FnMut(&Field<'_>) -> Onward, out: &mut Vec<u8>) {
        out.reserve(self.read.len() + self.added.len());
        // Lines that go on as they came and stand next to each other are one copy.
        let mut run = 0..0;
        for line in &self.lines {
            let field = self.field(line);
            let begin = line.begin as usize;
            match onward(&field) {
                Onward::Goes if line.is_plain && !line.is_added => {
                    if run.end != begin {
                        out.extend_from_slice(&self.read[run]);
                        run = begin..begin;
                    }
                    run.end = line.end as usize;
                    continue;
                }
                Onward::Stays => continue,
                other => {
                    out.extend_from_slice(&self.read[std::mem::replace(&mut run, 0..0)]);
                    match other {
                        Onward::Says(number) => write_number(field.name, number, out),
                        _ => write(field.name, field.value, out),
                    }
                }
            }
        }
        out.extend_from_slice(&self.read[run]);
    }

    /// For a library that has them so.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for field in self.iter() {
            // Both were checked; `http` knows the same octets.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value))
            {
                map.append(name, value);
            }
        }
        map
    }

    fn field(&self, line: &Line) -> Field<'_> {
        Field { known: line.name, name: self.name(line), value: self.value(line) }
    }

    fn name(&self, line: &Line) -> &[u8] {
        &self.octets(line)[line.begin as usize..line.name_end as usize]
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.octets(line)[line.value as usize..line.value_end as usize]
    }

    fn octets(&self, line: &Line) -> &[u8] {
        if line.is_added { &self.added } else { &self.read }
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let mut fields = Self { lines: Vec::with_capacity(map.len()), ..Self::default() };
        for (name, value) in map {
            fields.append(name, value);
        }
        // As if they had been read so.
        fields.read = std::mem::take(&mut fields.added).into();
        fields.lines.iter_mut().for_each(|line| line.is_added = false);
        fields
    }
}

impl Field<'_> {
    /// Whether this is its name.
    pub fn is(&self, name: impl Named) -> bool {
        match name.known() {
            Some(known) => self.known == Some(known),
            None => self.name.eq_ignore_ascii_case(name.spelled()),
        }
    }
}

/// Writes one field line to `out`.
pub fn write(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line whose value is a number.
pub fn write_number(name: &[u8], number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    write(name, &digits[at..], out);
}

/// Names only: values may be credentials.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|field| String::from_utf8_lossy(field.name).into_owned()))
            .finish()
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&String::from_utf8_lossy(self.name)).finish()
    }
}
