//! What a fuzzer calls of this module: the first octets of a connection, looked at before anybody takes them.
//!
//! It is part of tests and fuzzing builds alone.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::opening::{first_host, look};
use crate::wire::{Stream, head};

const LIMITS: head::Limits = head::Limits { size: 8 << 10, fields: 100 };

thread_local! {
    static RUNTIME: Option<tokio::runtime::Runtime> = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
}

/// Looks at what a connection begins with, in pieces whose size the first octet tells, and all at once.
///
/// # Panics
/// What is seen depends on the pieces, or octets are lost.
pub fn opening(octets: &[u8]) {
    let Some((size, octets)) = octets.split_first() else { return };
    let sizes = [usize::from(*size).max(1), octets.len().max(1)];
    let [pieces, whole] = sizes.map(|size| {
        in_pieces(octets, size, async |stream| {
            look(stream).await.map(|(opening, left)| (format!("{opening:?}"), left))
        })
    });
    assert_eq!(pieces, whole, "what a connection begins with depends on the pieces");
    let [pieces, whole] = sizes.map(|size| {
        in_pieces(octets, size, async |stream| {
            first_host(stream, LIMITS).await.map(|(host, left)| (format!("{host:?}"), left))
        })
    });
    assert_eq!(pieces, whole, "whom it is for depends on the pieces");
}

/// What is seen, if anything; all octets have to come out again.
fn in_pieces(
    octets: &[u8],
    size: usize,
    look: impl AsyncFnOnce(Stream) -> std::io::Result<(String, Stream)>,
) -> Option<String> {
    RUNTIME.with(|runtime| {
        runtime.as_ref()?.block_on(async {
            let (mut near, far) = tokio::io::duplex(size);
            let writing = async {
                // Who has seen enough of what it does not like reads no further.
                let _written = near.write_all(octets).await;
                let _ended = near.shutdown().await;
            };
            let looking = async {
                let (seen, mut stream) = look(Stream::Memory(far)).await.ok()?;
                let mut all = Vec::new();
                let read = stream.read_to_end(&mut all).await;
                assert!(read.is_ok() && all == octets, "octets are lost");
                Some(seen)
            };
            tokio::join!(writing, looking).1
        })
    })
}
