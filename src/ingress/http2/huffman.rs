//! The code of HPACK's strings (RFC 7541 appendix B), one octet after the other.
//!
//! Knows nothing but how many bits each symbol has: the code is canonical, so that the codes follow from the lengths.

/// The longest code, in bits.
const LONGEST: usize = 30;
const EOS: u16 = 256;

/// The bits of each symbol's code; the last is EOS.
#[rustfmt::skip]
const BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// For each length: the first code, how many there are, and where their symbols stand.
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    offset: [u32; LONGEST + 1],
    symbols: [u16; 257],
}

const CODE: Code = canonical();

const fn canonical() -> Code {
    let mut code = Code {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        offset: [0; LONGEST + 1],
        symbols: [0; 257],
    };
    let (mut next, mut placed, mut bits) = (0_u32, 0_u32, 1);
    while bits <= LONGEST {
        next <<= 1;
        code.first[bits] = next;
        code.offset[bits] = placed;
        let mut symbol = 0;
        while symbol < BITS.len() {
            if BITS[symbol] as usize == bits {
                code.symbols[placed as usize] = symbol as u16;
                placed += 1;
                next += 1;
                code.count[bits] += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    code
}

/// A string in the middle of its octets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Huffman {
    /// The bits of a code that is not whole.
    code: u32,
    bits: usize,
}

impl Huffman {
    /// The symbols that one more octet makes whole, two at most; `None` where it holds none that may stand there.
    pub(super) fn octet(&mut self, octet: u8) -> Option<([u8; 2], usize)> {
        let (mut symbols, mut count) = ([0; 2], 0);
        for shift in (0..8).rev() {
            self.code = self.code << 1 | u32::from(octet >> shift & 1);
            self.bits += 1;
            if self.bits < 5 {
                continue;
            }
            // Codes of a greater length are all greater than those of a smaller one with zeros behind them.
            let at = self.code.wrapping_sub(CODE.first[self.bits]);
            if at < CODE.count[self.bits] {
                let symbol = CODE.symbols[(CODE.offset[self.bits] + at) as usize];
                if symbol == EOS {
                    return None;
                }
                *symbols.get_mut(count)? = symbol as u8;
                count += 1;
                *self = Self::default();
            } else if self.bits == LONGEST {
                return None;
            }
        }
        Some((symbols, count))
    }

    /// Whether a string may end here: what is left is less than an octet, and the beginning of EOS (RFC 7541 section 5.2).
    pub(super) fn is_padded(&self) -> bool {
        self.bits < 8 && self.code == (1 << self.bits) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(octets: &[u8]) -> Option<String> {
        let (mut huffman, mut text) = (Huffman::default(), Vec::new());
        for octet in octets {
            let (symbols, count) = huffman.octet(*octet)?;
            text.extend_from_slice(&symbols[..count]);
        }
        huffman.is_padded().then(|| String::from_utf8(text).unwrap())
    }

    /// RFC 7541 appendix C.
    #[test]
    fn the_strings_of_the_rfc_are_read() {
        for (octets, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value"),
            (&[0xff, 0xaf], "#"),
            (&[], ""),
        ] {
            assert_eq!(decoded(octets).as_deref(), Some(text));
        }
    }

    #[test]
    fn padding_that_is_too_long_or_not_of_ones_and_eos_are_refused() {
        for octets in [&[0x1f, 0xff][..], &[0x18], &[0xff, 0xff, 0xff, 0xff], &[0xff]] {
            assert_eq!(decoded(octets), None, "{octets:x?}");
        }
    }
}
