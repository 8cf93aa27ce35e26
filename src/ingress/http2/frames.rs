//! The frames of one direction of a connection (RFC 9113 section 4.1), as their octets pass in pieces of any size.
//!
//! Knows the nine octets of a frame's head and where the frame ends. Does not know what is in it.

const HEAD: usize = 9;
/// How far in front of a head's end its type stands.
pub(super) const TYPE_BEFORE_END: usize = 6;

/// The frame types that count for something here (RFC 9113 section 6).
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
const PRIORITY_FRAME: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

/// A type that no document gives a meaning: such frames are ignored (RFC 9113 section 4.1).
pub(super) const MEANINGLESS: u8 = 0xff;

/// Of DATA and HEADERS; ACK of SETTINGS.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// Whether it is as long as its type says (RFC 9113 sections 6.3 to 6.9); h2 makes another error of what is not.
    pub(super) fn has_a_length_of_its_type(&self) -> bool {
        match self.kind {
            PRIORITY_FRAME => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS if self.flags & END_STREAM != 0 => self.length == 0,
            SETTINGS => self.length.is_multiple_of(6),
            PING => self.length == 8,
            GOAWAY => self.length >= 8,
            _ => true,
        }
    }
}

/// What stands at the front of the octets that pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A frame begins.
    Head(Head),
    /// Octets of its payload; never none.
    Payload(&'a [u8]),
    /// It is whole.
    End,
}

/// Where one direction stands.
#[derive(Debug)]
pub(super) struct Frames {
    /// Octets in front of the first frame.
    preface: usize,
    head: [u8; HEAD],
    have: usize,
    left: usize,
    begun: bool,
}

impl Frames {
    /// Frames behind so many octets of a preface.
    pub(super) fn behind(preface: usize) -> Self {
        Self { preface, head: [0; HEAD], have: 0, left: 0, begun: false }
    }

    /// Whether the next octet begins a frame.
    pub(super) fn at_boundary(&self) -> bool {
        self.preface == 0 && self.have == 0
    }

    /// Whether the preface or the first frame's head is not whole.
    pub(super) fn before_first(&self) -> bool {
        !self.begun
    }

    /// Takes one part off the front of `octets`; `None` where nothing that is known of is left.
    pub(super) fn next<'a>(&mut self, octets: &mut &'a [u8]) -> Option<Part<'a>> {
        let skipped = self.preface.min(octets.len());
        self.preface -= skipped;
        *octets = &octets[skipped..];
        if self.have == HEAD {
            if self.left == 0 {
                self.have = 0;
                return Some(Part::End);
            }
            let (payload, rest) = octets.split_at(self.left.min(octets.len()));
            self.left -= payload.len();
            *octets = rest;
            return if payload.is_empty() { None } else { Some(Part::Payload(payload)) };
        }
        let some = (HEAD - self.have).min(octets.len());
        self.head[self.have..self.have + some].copy_from_slice(&octets[..some]);
        *octets = &octets[some..];
        self.have += some;
        if self.have < HEAD {
            return None;
        }
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        (self.left, self.begun) = (length, true);
        Some(Part::Head(Head { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(pieces: &[&[u8]], preface: usize) -> (Vec<Head>, Vec<u8>, usize) {
        let mut frames = Frames::behind(preface);
        let (mut heads, mut payload, mut ends) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            let mut octets = *piece;
            while let Some(part) = frames.next(&mut octets) {
                match part {
                    Part::Head(head) => heads.push(head),
                    Part::Payload(some) => payload.extend_from_slice(some),
                    Part::End => ends += 1,
                }
            }
        }
        (heads, payload, ends)
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_their_octets_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            cuts in prop::collection::vec(0_usize..300, 0..8),
        ) {
            let mut octets = b"preface".to_vec();
            for (number, payload) in payloads.iter().enumerate() {
                octets.extend([0, 0, payload.len() as u8, number as u8, 0, 0x80, 0, 0, number as u8]);
                octets.extend(payload);
            }
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(octets.len())).collect();
            cuts.extend([0, octets.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|two| &octets[two[0]..two[1]]).collect();
            let (heads, payload, ends) = seen(&pieces, 7);
            prop_assert_eq!(payload, payloads.concat());
            prop_assert_eq!(ends, payloads.len());
            for (number, (head, payload)) in heads.iter().zip(&payloads).enumerate() {
                let expected = Head { length: payload.len(), kind: number as u8, flags: 0, stream: number as u32 };
                prop_assert_eq!(*head, expected);
            }
        }
    }
}
