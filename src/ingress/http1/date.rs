//! The value of Date (RFC 9110 section 6.6.1), for answers that came without one.
//!
//! Knows that it changes once a second, and that formatting it costs more than looking.

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

use crate::clock::Clock;

/// The length of an IMF-fixdate.
pub(super) const LENGTH: usize = 29;

thread_local! {
    static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [0; LENGTH])) };
}

/// What the calendar says now.
pub(super) fn now() -> [u8; LENGTH] {
    let second =
        Clock::system().now().wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |span| span.as_secs());
    let (last, text) = LAST.get();
    if last == second {
        return text;
    }
    let formatted = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    let mut text = [b' '; LENGTH];
    // It is always so long until the year 9999.
    for (to, from) in text.iter_mut().zip(formatted.bytes()) {
        *to = from;
    }
    LAST.set((second, text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r083_it_is_a_date_of_now() {
        for _ in 0..2 {
            let text = now();
            let date = httpdate::parse_http_date(std::str::from_utf8(&text).unwrap()).unwrap();
            assert!(date.elapsed().unwrap() < Duration::from_secs(5));
        }
    }
}
