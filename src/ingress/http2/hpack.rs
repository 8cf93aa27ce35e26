//! What a header block says before hyper sees it (RFC 7541), as far as hyper hides it.
//!
//! Knows the representations, the code of strings and how large the dynamic table's entries are. Keeps no names and values: each
//! octet is judged when it comes, an entry of the table was judged when it was made. h2 cuts a fragment off `:path`, forgets
//! `:scheme` beside an absent `:authority` and pseudo fields among trailers: of these nothing can be seen behind it.
//!
//! Why this is no library: what is needed is less than a decoder, and of another shape. Those that there are (`httlib-hpack`; `hpack`, which
//! nobody maintains and which panics on some input, RUSTSEC-2023-0084 and 0085; its forks `fluke-hpack` and `loona-hpack`) take a block in
//! one piece and give all of its names and values. Blocks would be gathered, bounded and copied a second time beside h2, credentials with
//! them. Here a block of any length passes in whatever pieces it comes, and at most 8 octets of it stay.

use std::collections::VecDeque;

use super::huffman::Huffman;

/// The dynamic table's greatest size (SETTINGS_HEADER_TABLE_SIZE), which is the default and hyper's.
const GREATEST_TABLE: u32 = 4096;
/// What an entry takes besides its octets (RFC 7541 section 4.1).
const ENTRY: u32 = 32;
/// Larger integers are an attack (RFC 7541 section 7.4).
const GREATEST_INTEGER: u32 = 1 << 24;
/// The octets of the static table's names (RFC 7541 appendix A); 1 to 14 are pseudo fields.
const STATIC_NAMES: [u32; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13,
    12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3,
    16,
];

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It cannot be decoded.
    Compression,
    /// `:path` has a fragment (RFC 9113 section 8.3.1: it is path and query).
    Fragment,
    /// `:scheme` is neither `http` nor `https`.
    Scheme,
    /// A pseudo field among trailers (RFC 9113 section 8.1).
    Trailers,
}

/// Which field it is, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Path,
    Scheme,
    OtherPseudo,
    Field,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    name_length: u32,
    size: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A representation begins.
    Representation,
    /// An integer whose prefix was full.
    Integer { what: Number, value: u32, shift: u32 },
    /// A string's first octet is next.
    StringHead,
    /// A string's octets.
    String { left: u32, coded: bool },
}

/// What an integer is.
#[derive(Clone, Copy, Debug)]
enum Number {
    Indexed,
    NameOf { kept: bool },
    TableSize,
    Length { coded: bool },
}

/// A connection's header blocks, read as they pass.
#[derive(Debug)]
pub(super) struct Blocks {
    table: VecDeque<Entry>,
    size: u32,
    most: u32,
    state: State,
    /// Of trailers.
    trailers: bool,
    /// A field came: the table's size may change at a block's beginning only.
    begun: bool,
    field: Field,
    huffman: Huffman,
}

/// The field that is being read.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: Option<Name>,
    kept: bool,
    name_length: u32,
    value_length: u32,
    /// The first octets of its name, or of its value.
    first: [u8; 8],
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            most: GREATEST_TABLE,
            state: State::Representation,
            trailers: false,
            begun: false,
            field: Field::new(None, 0, false),
            huffman: Huffman::default(),
        }
    }
}

impl Blocks {
    /// A block begins.
    pub(super) fn begin(&mut self, trailers: bool) {
        self.trailers = trailers;
        self.begun = false;
        self.state = State::Representation;
    }

    /// Reads the next octets of a block.
    ///
    /// # Errors
    /// It has a flaw; the connection is of no use any more.
    pub(super) fn read(&mut self, mut octets: &[u8]) -> Result<(), Flaw> {
        while let Some((&octet, rest)) = octets.split_first() {
            if let State::String { left, coded: false } = self.state {
                // Most strings that are not coded are long; all of theirs that is there at once.
                let (some, after) = octets.split_at(octets.len().min(left as usize));
                self.plain(some)?;
                self.string_read(left - some.len() as u32, false)?;
                octets = after;
                continue;
            }
            match self.state {
                State::Representation => self.representation(octet)?,
                State::Integer { what, value, shift } => {
                    let more = u32::from(octet & 0x7f).checked_shl(shift).filter(|_| shift < 28);
                    let value = more.and_then(|more| value.checked_add(more)).ok_or(Flaw::Compression)?;
                    if octet & 0x80 == 0 {
                        self.number(what, value)?;
                    } else {
                        self.state = State::Integer { what, value, shift: shift + 7 };
                    }
                }
                State::StringHead => {
                    self.prefix(Number::Length { coded: octet & 0x80 != 0 }, octet, 7)?;
                }
                State::String { left, .. } => {
                    let (symbols, count) = self.huffman.octet(octet).ok_or(Flaw::Compression)?;
                    self.plain(&symbols[..count])?;
                    self.string_read(left - 1, true)?;
                }
            }
            octets = rest;
        }
        Ok(())
    }

    /// The block is over.
    ///
    /// # Errors
    /// It ended in the middle of a field.
    pub(super) fn end(&mut self) -> Result<(), Flaw> {
        if matches!(self.state, State::Representation) { Ok(()) } else { Err(Flaw::Compression) }
    }

    /// How many entries the dynamic table has.
    #[cfg(any(test, fuzzing))]
    pub(super) fn entries(&self) -> usize {
        self.table.len()
    }

    fn representation(&mut self, octet: u8) -> Result<(), Flaw> {
        match octet {
            0x80.. => self.prefix(Number::Indexed, octet, 7),
            0x40.. => self.prefix(Number::NameOf { kept: true }, octet, 6),
            0x20.. => self.prefix(Number::TableSize, octet, 5),
            _ => self.prefix(Number::NameOf { kept: false }, octet, 4),
        }
    }

    /// An integer with a prefix of so many bits (RFC 7541 section 5.1).
    fn prefix(&mut self, what: Number, octet: u8, bits: u32) -> Result<(), Flaw> {
        let full = (1_u32 << bits) - 1;
        let value = u32::from(octet) & full;
        if value < full {
            return self.number(what, value);
        }
        self.state = State::Integer { what, value, shift: 0 };
        Ok(())
    }

    fn number(&mut self, what: Number, value: u32) -> Result<(), Flaw> {
        if value > GREATEST_INTEGER {
            return Err(Flaw::Compression);
        }
        match what {
            Number::TableSize if self.begun || value > GREATEST_TABLE => return Err(Flaw::Compression),
            Number::TableSize => {
                self.most = value;
                self.evict(0);
                self.state = State::Representation;
            }
            Number::Indexed => {
                let (name, _) = self.entry(value)?;
                self.named(name)?;
                self.state = State::Representation;
            }
            Number::NameOf { kept } => {
                let known = if value == 0 { None } else { Some(self.entry(value)?) };
                self.field = Field::new(known.map(|(name, _)| name), known.map_or(0, |known| known.1), kept);
                if let Some((name, _)) = known {
                    self.named(name)?;
                }
                self.state = State::StringHead;
            }
            Number::Length { coded } => {
                self.state = State::String { left: value, coded };
                self.huffman = Huffman::default();
                self.string_read(value, coded)?;
            }
        }
        Ok(())
    }

    fn entry(&self, index: u32) -> Result<(Name, u32), Flaw> {
        let at = (index as usize).checked_sub(1).ok_or(Flaw::Compression)?;
        if let Some(length) = STATIC_NAMES.get(at) {
            let name = match index {
                4 | 5 => Name::Path,
                6 | 7 => Name::Scheme,
                ..=14 => Name::OtherPseudo,
                _ => Name::Field,
            };
            return Ok((name, *length));
        }
        let entry = self.table.get(at - STATIC_NAMES.len()).ok_or(Flaw::Compression)?;
        Ok((entry.name, entry.name_length))
    }

    fn named(&mut self, name: Name) -> Result<(), Flaw> {
        self.begun = true;
        if self.trailers && name != Name::Field { Err(Flaw::Trailers) } else { Ok(()) }
    }

    /// Octets of a name or a value, decoded.
    fn plain(&mut self, octets: &[u8]) -> Result<(), Flaw> {
        let field = &mut self.field;
        if field.name == Some(Name::Path) && octets.contains(&b'#') {
            return Err(Flaw::Fragment);
        }
        let length = if field.name.is_none() { &mut field.name_length } else { &mut field.value_length };
        if let Some(room) = field.first.get_mut(*length as usize..) {
            let some = room.len().min(octets.len());
            room[..some].copy_from_slice(&octets[..some]);
        }
        *length = length.saturating_add(octets.len() as u32);
        Ok(())
    }

    /// Goes on to what follows a string of which `left` octets are still to come.
    fn string_read(&mut self, left: u32, coded: bool) -> Result<(), Flaw> {
        if left > 0 {
            self.state = State::String { left, coded };
            return Ok(());
        }
        if coded && !self.huffman.is_padded() {
            return Err(Flaw::Compression);
        }
        let field = self.field;
        match field.name {
            None => {
                let name = field.own_name();
                self.named(name)?;
                self.field = Field { first: [0; 8], ..Field::new(Some(name), field.name_length, field.kept) };
                self.state = State::StringHead;
            }
            Some(name) => {
                if name == Name::Scheme && !field.is_scheme_of_ours() {
                    return Err(Flaw::Scheme);
                }
                if field.kept {
                    self.keep(name, field.name_length, field.value_length);
                }
                self.state = State::Representation;
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: Name, name_length: u32, value_length: u32) {
        let size = ENTRY.saturating_add(name_length).saturating_add(value_length);
        self.evict(size);
        if size <= self.most {
            self.size += size;
            self.table.push_front(Entry { name, name_length, size });
        }
    }

    fn evict(&mut self, room: u32) {
        while self.size.saturating_add(room) > self.most {
            let Some(gone) = self.table.pop_back() else { return };
            self.size -= gone.size;
        }
    }
}

impl Field {
    fn new(name: Option<Name>, name_length: u32, kept: bool) -> Self {
        Self { name, kept, name_length, value_length: 0, first: [0; 8] }
    }

    fn own_name(&self) -> Name {
        match (self.name_length, &self.first) {
            (5, b":path\0\0\0") => Name::Path,
            (7, b":scheme\0") => Name::Scheme,
            (_, [b':', ..]) => Name::OtherPseudo,
            _ => Name::Field,
        }
    }

    fn is_scheme_of_ours(&self) -> bool {
        let value = self.first.get(..self.value_length as usize).unwrap_or_default();
        value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https")
    }
}
