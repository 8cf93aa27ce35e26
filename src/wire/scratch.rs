//! Where a worker reads what may be little: one piece of memory for all of its connections.
//!
//! Knows that a connection which waits should hold no room for what may come; only what has come is kept, in as much memory as it
//! needs. Does not know what it is.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use super::Stream;

/// What is read at once at most. Who wants more reads into memory of its own.
pub const ROOM: usize = 8 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads some, [`ROOM`] at most, and puts it behind what is in `into`: how much; 0 is the end.
pub fn poll_read(stream: &mut Stream, into: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            scratch.resize(ROOM, 0);
        }
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        into.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}
