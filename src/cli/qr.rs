//! A QR code in a terminal.
//!
//! Knows half blocks and colours. Does not know what it says.

use std::{fmt::Write, io};

use qrcodegen::{QrCode, QrCodeEcc};

/// The light border that a reader needs, in modules (ISO/IEC 18004 says four; two are enough on a screen and leave room).
const BORDER: i32 = 2;
/// Black on white whatever the terminal's colours are: not every reader takes an inverted code.
const BLACK_ON_WHITE: &str = "\u{1b}[30;107m";
const PLAIN: &str = "\u{1b}[0m";
/// One column each.
const MODULES: [char; 4] = ['█', '▀', '▄', ' '];

/// A picture of `text` for the terminal on stderr; `None` where none would be readable: one that is too narrow, or that knows
/// no colours.
pub(super) fn for_terminal(text: &str) -> Option<String> {
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    let colours = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    picture(text).filter(|picture| colours && fits(picture, columns))
}

/// Whether no line wraps; 0 columns are unknown ones.
fn fits(picture: &str, columns: u16) -> bool {
    let width = picture
        .lines()
        .next()
        .map_or(0, |line| line.chars().filter(|letter| MODULES.contains(letter)).count());
    columns == 0 || width <= usize::from(columns)
}

/// `text` as lines of half blocks, two modules high each; `None` where it is too long.
fn picture(text: &str) -> Option<String> {
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
    fn a_picture_that_would_wrap_does_not_fit() {
        let text = "https://id.example/device?user_code=WDJB-MJHT";
        let width =
            u16::try_from(QrCode::encode_text(text, QrCodeEcc::Low).unwrap().size() + 2 * BORDER).unwrap();
        let picture = picture(text).unwrap();
        assert!(fits(&picture, width));
        assert!(!fits(&picture, width - 1));
        assert!(fits(&picture, 0), "an unknown width forbids nothing");
    }

    #[test]
    fn what_fits_no_code_is_not_drawn() {
        assert_eq!(picture(&"x".repeat(10_000)), None);
    }
}
