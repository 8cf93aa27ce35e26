//! Looking through octets eight at a time, as long as nothing of interest is among them.
//!
//! Knows arithmetic on eight octets in one number. Does not know what they mean. Calling a search in vectors (memchr) costs more than
//! most names and values are long; that is for what may be far away.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const SPACES: u64 = LOW * b' ' as u64;

/// Where `octet` stands in `octets` from `from` on, first.
#[inline]
pub(super) fn find(octets: &[u8], from: usize, octet: u8) -> Option<usize> {
    let all = LOW * u64::from(octet);
    first(octets, from, |eight| is_zero(eight ^ all), |one| one == octet)
}

/// Where the text that begins at `from` ends: the first control character but a tab (RFC 9110 section 5.5), or the end.
#[inline]
pub(super) fn text_end(octets: &[u8], from: usize) -> usize {
    const DELETES: u64 = LOW * 0x7f;
    let mut at = from;
    loop {
        let control = |eight: u64| eight.wrapping_sub(SPACES) & !eight & HIGH | is_zero(eight ^ DELETES);
        match first(octets, at, control, |one| one < b' ' || one == 0x7f) {
            Some(tab) if octets[tab] == b'\t' => at = tab + 1,
            Some(end) => return end,
            None => return octets.len(),
        }
    }
}

/// The high bit of each octet that is zero, exact up to the first of them: what is subtracted is borrowed from those behind it alone.
fn is_zero(eight: u64) -> u64 {
    eight.wrapping_sub(LOW) & !eight & HIGH
}

/// The first octet from `from` on of which this is true: `eight` sets the high bits of such octets, exactly up to the first.
#[inline]
fn first(octets: &[u8], from: usize, eight: impl Fn(u64) -> u64, one: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = from;
    let (words, rest) = octets.get(from..)?.as_chunks::<8>();
    for word in words {
        let found = eight(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    rest.iter().position(|octet| one(*octet)).map(|behind| at + behind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_one_octet_after_the_other_finds(
            octets in prop::collection::vec(prop_oneof![Just(b':'), Just(b'\t'), Just(0x7f), Just(b'\r'), Just(0x80), any::<u8>(), b'a'..=b'z'], 0..40),
            from in 0usize..42,
            sought: u8,
        ) {
            for octet in [b':', sought] {
                let naive = octets.iter().skip(from).position(|other| *other == octet).map(|at| at + from);
                prop_assert_eq!(find(&octets, from, octet), naive);
            }
            if from <= octets.len() {
                let is_control = |octet: &u8| (*octet < b' ' && *octet != b'\t') || *octet == 0x7f;
                let naive = octets[from..].iter().position(is_control).map_or(octets.len(), |at| at + from);
                prop_assert_eq!(text_end(&octets, from), naive);
            }
        }
    }
}
