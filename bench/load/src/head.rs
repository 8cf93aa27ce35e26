//! The head of an answer: its status and how long its content is (RFC 9112 sections 4 and 6.3).
//!
//! Knows nothing of sockets. An answer that does not say its length is not one this benchmark asks for, and is refused.

const MOST: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub length: u64,
    /// Octets of the head itself.
    pub size: usize,
}

/// `None` while the head is not complete.
pub fn read(octets: &[u8]) -> Result<Option<Head>, String> {
    let Some(size) = octets.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return if octets.len() < MOST { Ok(None) } else { Err("its head does not end".to_owned()) };
    };
    let text = std::str::from_utf8(&octets[..size]).map_err(|_| "its head is no text".to_owned())?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("its first line is {line:?}"))?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(format!("its content is framed by Transfer-Encoding:{value}"));
        }
        if name.eq_ignore_ascii_case("content-length") && length.replace(value.trim()).is_some() {
            return Err("it has two Content-Length".to_owned());
        }
    }
    let length = length.ok_or_else(|| "it has no Content-Length".to_owned())?;
    let length = length.parse().map_err(|_| format!("its Content-Length is {length:?}"))?;
    Ok(Some(Head { status, length, size }))
}

#[cfg(test)]
mod tests {
    use super::{Head, MOST, read};

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let answer = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-LENGTH: 5\r\n\r\nhello";
        let size = answer.len() - 5;
        assert_eq!(read(answer), Ok(Some(Head { status: 200, length: 5, size })));
        assert_eq!(read(&answer[..size]), Ok(Some(Head { status: 200, length: 5, size })));
        assert_eq!(read(&answer[..size - 1]), Ok(None));
    }

    #[test]
    fn what_says_no_length_is_refused() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert!(read(head.as_bytes()).is_err(), "{head}");
        }
        assert!(read(&[b'x'; MOST]).is_err());
    }
}
