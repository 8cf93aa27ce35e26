//! The first octets of a connection, looked at before anybody takes them: TLS with its server name, HTTP, or something else.
//!
//! Knows the beginning of a TLS record and of an HTTP/1.1 or HTTP/2 connection. Nothing is lost: who looks gives the octets back.

use std::io::{self, Cursor};

use bytes::BytesMut;
use http::uri::Authority;
use rustls::server::Acceptor;
use tokio::io::AsyncReadExt;

use crate::wire::{Stream, fields, head};

/// The largest ClientHello, in octets: the most that TLS allows a handshake message of, with its records' heads.
const LARGEST_HELLO: usize = 72 << 10;
/// A fatal alert that says that there is no such host here (RFC 6066 section 3).
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// A fatal alert that says that this host is not allowed (RFC 8446 section 6.2).
pub(super) const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// TLS, with this server name, lowercased.
    Tls(Option<Box<str>>),
    /// HTTP, most likely.
    Http,
    /// Neither.
    Other,
}

/// Looks at what `stream` begins with, and hands the stream back with nothing taken off it.
///
/// # Errors
/// It ended before it said anything, or failed.
pub(super) async fn look(mut stream: Stream) -> io::Result<(Opening, Stream)> {
    let mut read = BytesMut::with_capacity(4 << 10);
    more(&mut stream, &mut read).await?;
    let opening = match read[0] {
        // A handshake record (RFC 8446 section 5.1).
        22 => hello(&mut stream, &mut read).await?,
        // The method; RFC 9112 section 2.2 lets empty lines go before it.
        b'\r' | b'\n' => Opening::Http,
        _ if fields::is_token(&read[..1]) => Opening::Http,
        _ => Opening::Other,
    };
    Ok((opening, stream.rewound(read.freeze())))
}

async fn hello(stream: &mut Stream, read: &mut BytesMut) -> io::Result<Opening> {
    let mut acceptor = Acceptor::default();
    let mut taken = 0;
    loop {
        let mut cursor = Cursor::new(&read[taken..]);
        while cursor.position() < (read.len() - taken) as u64 {
            acceptor.read_tls(&mut cursor)?;
        }
        taken = read.len();
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                return Ok(Opening::Tls(hello.server_name().map(|name| name.to_ascii_lowercase().into())));
            }
            Ok(None) if read.len() < LARGEST_HELLO => more(stream, read).await?,
            // Not TLS that we know, or a hello that is none.
            Ok(None) | Err(_) => return Ok(Opening::Other),
        }
    }
}

async fn more(stream: &mut Stream, read: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The host that the first request of a stream names, as far as it can be told: not where HTTP/1.1 is not spoken, or not well.
///
/// # Errors
/// It ended before the head was whole, or failed.
pub(super) async fn first_host(
    mut stream: Stream,
    limits: head::Limits,
) -> io::Result<(Option<Authority>, Stream)> {
    let mut read = BytesMut::with_capacity(4 << 10);
    let host = loop {
        let looked_at = read.len();
        more(&mut stream, &mut read).await?;
        // Read again from its beginning with each line that comes, which are few; without one nothing new can be seen.
        if !read[looked_at..].contains(&b'\n') && read.len() <= limits.size {
            continue;
        }
        match head::request(&mut BytesMut::from(&read[..]), limits) {
            Ok(None) => {}
            Ok(Some(head::Read { head, .. })) => {
                let host = head.fields.get(fields::Name::HOST);
                let host = host.and_then(|host| Authority::try_from(host).ok());
                break head.target.authority().cloned().or(host);
            }
            // The server says what is wrong with it.
            Err(_) => break None,
        }
    };
    Ok((host, stream.rewound(read.freeze())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// The first octets of a TLS client that asks for `name`.
    fn client_hello(name: &'static str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    /// What is found in `octets` that come in pieces of `size`, and all that can be read afterwards.
    async fn looked(octets: &[u8], size: usize) -> io::Result<(Opening, Vec<u8>)> {
        let (mut near, far) = tokio::io::duplex(size);
        let octets = octets.to_vec();
        tokio::spawn(async move {
            // Who has seen enough reads no further.
            let _ = near.write_all(&octets).await;
        });
        let (opening, mut stream) = look(Stream::Memory(far)).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        Ok((opening, all))
    }

    #[tokio::test]
    async fn tls_is_seen_with_its_name_in_whatever_pieces_it_comes_and_nothing_is_lost() {
        for (name, expected) in [("Api.Example", Some("api.example".into())), ("127.0.0.1", None)] {
            let mut octets = client_hello(name);
            octets.extend_from_slice(b"and more");
            for size in [1, 7, 300, 100_000] {
                let (opening, all) = looked(&octets, size).await.unwrap();
                assert_eq!(opening, Opening::Tls(expected.clone()), "{size}");
                assert_eq!(all, octets, "{size}");
            }
        }
        // A hello in several records (RFC 8446 section 5.1 lets it be split).
        let whole = client_hello("api.example");
        let (first, second) = whole[5..].split_at(20);
        let mut split = Vec::new();
        for part in [first, second] {
            split.extend_from_slice(&[22, 3, 1, (part.len() >> 8) as u8, part.len() as u8]);
            split.extend_from_slice(part);
        }
        assert_eq!(looked(&split, 10).await.unwrap().0, Opening::Tls(Some("api.example".into())));
    }

    #[tokio::test]
    async fn http_and_what_is_neither_are_told_by_one_octet() {
        for (octets, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Opening::Http),
            (b"PRI * HTTP/2.0\r\n", Opening::Http),
            (b"\r\nGET / HTTP/1.1\r\n", Opening::Http),
            (b"m-search * HTTP/1.1\r\n", Opening::Http),
            (b"\x05\x01\x00", Opening::Other),
            (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", Opening::Other),
            (b"\x16GET / HTTP/1.1\r\n\r\n", Opening::Other),
            (b"\x80\x2e\x01", Opening::Other),
        ] {
            let (opening, all) = looked(octets, 5).await.unwrap();
            assert_eq!(opening, expected, "{}", octets.escape_ascii());
            assert_eq!(all, octets);
        }
        assert!(looked(b"", 5).await.is_err());
        assert!(looked(&client_hello("api.example")[..40], 5).await.is_err(), "cut in the middle of a hello");
    }

    #[tokio::test]
    async fn the_first_host_is_found_and_a_doubtful_one_is_not() {
        let limits = head::Limits { size: 1000, fields: 10 };
        for (octets, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\nbody"[..], Some("a.example")),
            (b"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", Some("b.example")),
            (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\nHost: a.example\r\n folded\r\n\r\n", None),
            (b"GET / HTTP/1.1\r\n\r\n", None),
            (b"nothing of the kind\r\n\r\n", None),
        ] {
            let (mut near, far) = tokio::io::duplex(10);
            tokio::spawn(async move { near.write_all(octets).await });
            let (host, mut stream) = first_host(Stream::Memory(far), limits).await.unwrap();
            assert_eq!(host.as_ref().map(Authority::as_str), expected, "{}", octets.escape_ascii());
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, octets);
        }
        let (mut near, far) = tokio::io::duplex(100);
        tokio::spawn(async move { near.write_all(&[b'a'; 5000]).await });
        assert!(first_host(Stream::Memory(far), limits).await.unwrap().0.is_none(), "no more than it may");
    }
}
