//! A QR code in a terminal.
//!
//! Knows half blocks and colours. Does not know what it says.

use std::fmt::Write;

use qrcodegen::{QrCode, QrCodeEcc};

/// The light border that a reader needs, in modules (ISO/IEC 18004 says four; two are enough on a screen and leave room).
const BORDER: i32 = 2;
/// Black on white whatever the terminal's colours are: not every reader takes an inverted code.
const BLACK_ON_WHITE: &str = "\u{1b}[30;107m";
const PLAIN: &str = "\u{1b}[0m";

/// `text` as lines of half blocks, two modules high each; `None` where it is too long.
pub(super) fn picture(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let mut out = String::new();
    let end = code.size() + BORDER;
    for row in (-BORDER..end).step_by(2) {
        out.push_str(BLACK_ON_WHITE);
        for column in -BORDER..end {
            // Beyond its border a code is light.
            out.push(match (code.get_module(column, row), code.get_module(column, row + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{PLAIN}");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_drawn_in_black_on_white_with_its_border() {
        let url = "https://id.example/device?user_code=WDJB-MJHT";
        let picture = picture(url).unwrap();
        let size = QrCode::encode_text(url, QrCodeEcc::Low).unwrap().size();
        assert_eq!(i32::try_from(picture.lines().count()).unwrap(), (size + 2 * BORDER + 1) / 2);
        for line in picture.lines() {
            let modules = line.strip_prefix(BLACK_ON_WHITE).unwrap().strip_suffix(PLAIN).unwrap();
            assert_eq!(i32::try_from(modules.chars().count()).unwrap(), size + 2 * BORDER);
            assert!(modules.starts_with("  ") && modules.ends_with("  "), "{modules:?}");
        }
        // The finder pattern's first two rows: seven dark modules over a ring.
        let second = picture.lines().nth(1).unwrap();
        assert!(second.contains("  █▀▀▀▀▀█ "), "{second}");
    }

    #[test]
    fn what_fits_no_code_is_not_drawn() {
        assert_eq!(picture(&"x".repeat(10_000)), None);
    }
}
