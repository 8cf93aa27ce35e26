//! What a fuzzer calls of this module: the meter and the reader of header blocks, beside hyper's reading of the same octets.
//!
//! Knows what has to be true whatever comes. It is part of tests and fuzzing builds alone.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::LocalSet,
};

use super::{
    Limits,
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS},
    hpack::{Blocks, Flaw},
    meter::{Findings, Meter, Verdict},
    watch::Watch,
};
use crate::{
    ingress::protocol::PREFACE,
    wire::{LocalExecutor, Stream},
};

/// The most entries that a dynamic table of 4,096 octets can have (RFC 7541 section 4.1).
const MOST_ENTRIES: usize = 4096 / 32;
/// How many header blocks are read one after the other.
const MOST_BLOCKS: usize = 20;

/// Meters the octets behind a preface, in pieces whose size the first octet tells, and all at once.
///
/// # Panics
/// The verdicts differ.
pub fn frames(octets: &[u8]) {
    let Some((size, octets)) = octets.split_first() else { return };
    let connection = [PREFACE, octets].concat();
    let whole = metered(&connection, connection.len());
    let pieces = metered(&connection, usize::from(*size).max(1));
    assert_eq!(whole, pieces, "what is read depends on the pieces it comes in");
}

fn metered(connection: &[u8], size: usize) -> (Result<(), Verdict>, u32) {
    let findings = Rc::new(Findings::default());
    let (stream, _) = tokio::io::duplex(1);
    let stream = Rc::new(RefCell::new(Stream::Memory(stream)));
    let mut meter = Meter::new(stream, Watch::new(), findings.clone(), &Limits::DEFAULT);
    let read = connection.chunks(size).try_for_each(|piece| meter.read(&mut piece.to_vec()));
    (read, findings.last_stream.get())
}

/// Reads header blocks, each behind an octet that tells its length, and lets hyper read those of them that have no flaw of another
/// kind.
///
/// # Panics
/// One reads what the other cannot.
pub fn header_blocks(octets: &[u8]) {
    let mut blocks = Blocks::default();
    let (mut rest, mut frames, mut undecodable) = (octets, Vec::new(), false);
    for number in 0..MOST_BLOCKS {
        let Some((length, behind)) = rest.split_first() else { break };
        let (block, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        blocks.begin(false);
        // Octet by octet: no state may be lost between them.
        let read = block.chunks(1).try_for_each(|octet| blocks.read(octet)).and_then(|()| blocks.end());
        assert!(blocks.entries() <= MOST_ENTRIES, "the table grows");
        match read {
            Ok(()) => {}
            Err(Flaw::Compression) => undecodable = true,
            // hyper does not see these.
            Err(_) => break,
        }
        frames.extend(headers(number, block));
        if undecodable {
            break;
        }
    }
    match hyper_reads(&frames) {
        Reading::Whole => assert!(!undecodable, "hyper can decode what is refused as undecodable"),
        // The names and values of fields are its own affair: we look at their code.
        Reading::Refused(..) => {}
    }
}

/// A HEADERS frame that is a whole request's.
fn headers(number: usize, block: &[u8]) -> Vec<u8> {
    let stream = (2 * number + 1) as u8;
    let head = [0, 0, block.len() as u8, HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, stream];
    [&head, block].concat()
}

/// What hyper makes of frames.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// It goes on.
    Whole,
    /// It ends the connection with this code.
    Refused(u32),
}

thread_local! {
    static RUNTIME: Option<tokio::runtime::Runtime> = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
}

fn hyper_reads(frames: &[u8]) -> Reading {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let connection = [PREFACE, SETTINGS, frames].concat();
    let said = RUNTIME.with(|runtime| {
        let Some(runtime) = runtime else { return Vec::new() };
        LocalSet::new().block_on(runtime, async move {
            let (mut peer, theirs) = tokio::io::duplex(1 << 20);
            let answer = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
            let server = http2::Builder::new(LocalExecutor).serve_connection(TokioIo::new(theirs), answer);
            let asked = async {
                let mut said = Vec::new();
                // It may end before all of it is written.
                let _written = peer.write_all(&connection).await;
                let _ended = peer.shutdown().await;
                let _read = peer.read_to_end(&mut said).await;
                said
            };
            tokio::join!(server, asked).1
        })
    });
    assert!(!said.is_empty(), "hyper said nothing");
    goaway(&said).map_or(Reading::Whole, Reading::Refused)
}

/// The code of a GOAWAY that is none of an orderly end.
fn goaway(mut said: &[u8]) -> Option<u32> {
    const GOAWAY: u8 = 7;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = said {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, behind) = rest.split_at_checked(length)?;
        if let (GOAWAY, [_, _, _, _, a, b, c, d, ..]) = (*kind, payload)
            && [*a, *b, *c, *d] != [0; 4]
        {
            return Some(u32::from_be_bytes([*a, *b, *c, *d]));
        }
        debug_assert!(*kind != DATA || length == 0, "the answers have no content");
        said = behind;
    }
    None
}
