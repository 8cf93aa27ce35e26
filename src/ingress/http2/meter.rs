//! What stands between a connection's octets and hyper: frames are counted, header blocks are looked at.
//!
//! Knows how many frames that carry nothing a peer may send (RFC 9113 section 10.5), and which header blocks hyper would make
//! something harmless of. Ends the connection where either is too much. Does not know requests.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    Limits,
    frames::{self, Frames, Head, Part},
    hpack::{Blocks, Flaw},
    watch::Watch,
};
use crate::{ingress::protocol::PREFACE, wire::Stream};

/// How many frames that carry nothing may come: so many in about a second.
const PERIOD: Duration = Duration::from_secs(1);
/// A receiver opens two windows, its stream's and its connection's, for each DATA frame.
const WINDOWS: u32 = 2;
/// How many requests are remembered.
const LAST_REQUESTS: usize = 64;
/// Window updates that are owed to a peer and that it has not sent.
const MOST_OWED: u32 = 1 << 16;

/// Why we end a connection ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More frames than it may send.
    TooMuch(&'static str),
    /// A header block with a flaw.
    Flawed(Flaw),
    /// A frame of a length that its type does not have.
    Size,
    /// More of a request that was whole or given up.
    Closed,
    /// A promise, which is for servers to make (RFC 9113 section 8.4).
    Promise,
    /// A setting that makes windows larger than they can be.
    Window,
}

impl Verdict {
    /// The code of the GOAWAY (RFC 9113 section 7).
    pub(super) fn code(self) -> u32 {
        match self {
            Self::TooMuch(_) => 0xb,
            Self::Flawed(Flaw::Compression) => 0x9,
            Self::Flawed(_) => 0x1,
            Self::Size => 0x6,
            Self::Closed => 0x5,
            Self::Promise => 0x1,
            Self::Window => 0x3,
        }
    }
}

/// What the meter tells whoever serves the connection.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// It ended the connection.
    pub(super) verdict: Cell<Option<Verdict>>,
    /// All that was written ends with a frame.
    pub(super) at_boundary: Cell<bool>,
    /// The last stream that the peer has opened.
    pub(super) last_stream: Cell<u32>,
    /// The peer has ended its side, or the connection is broken.
    pub(super) over: Cell<bool>,
}

/// A connection's octets, metered.
pub(super) struct Meter {
    stream: Rc<RefCell<Stream>>,
    watch: Rc<Watch>,
    findings: Rc<Findings>,
    reading: Frames,
    writing: Frames,
    block: Block,
    requests: Requests,
    /// Of the frame that is being read.
    settings: Option<Settings>,
    resets: Count,
    controls: Count,
    most_streams: usize,
    owed: u32,
}

impl Meter {
    pub(super) fn new(
        stream: Rc<RefCell<Stream>>,
        watch: Rc<Watch>,
        findings: Rc<Findings>,
        limits: &Limits,
    ) -> Self {
        findings.at_boundary.set(true);
        Self {
            stream,
            watch,
            findings,
            reading: Frames::behind(PREFACE.len()),
            writing: Frames::behind(0),
            block: Block::default(),
            requests: Requests::default(),
            settings: None,
            resets: Count::new(limits.resets),
            controls: Count::new(limits.control_frames),
            most_streams: limits.streams as usize,
            owed: 0,
        }
    }

    /// Looks at the next octets of the peer.
    ///
    /// # Errors
    /// The connection has to end.
    pub(super) fn read(&mut self, octets: &mut [u8]) -> Result<(), Verdict> {
        let mut behind = 0;
        loop {
            let mut rest = &octets[behind..];
            let Some(part) = self.reading.next(&mut rest) else { break };
            behind = octets.len() - rest.len();
            match part {
                Part::Head(head) => {
                    self.begun(head)?;
                    // RFC 9113 section 6.8: it forbids us streams that we never open. h2 would end an idle connection at once.
                    if head.kind == frames::GOAWAY && head.stream == 0 && behind >= frames::TYPE_BEFORE_END {
                        octets[behind - frames::TYPE_BEFORE_END] = frames::MEANINGLESS;
                    }
                }
                Part::Payload(payload) => {
                    if let Some(settings) = &mut self.settings {
                        settings.payload(payload)?;
                    }
                    self.block.payload(payload).map_err(Verdict::Flawed)?;
                }
                Part::End => self.block.frame_ended().map_err(Verdict::Flawed)?,
            }
        }
        self.watch.in_head(self.block.is_open() || self.reading.before_first());
        Ok(())
    }

    fn begun(&mut self, head: Head) -> Result<(), Verdict> {
        if self.block.is_open() && head.kind != frames::CONTINUATION {
            // Between the frames of a block none may stand: h2 ends the connection.
            return Ok(());
        }
        if !head.has_a_length_of_its_type() {
            return Err(Verdict::Size);
        }
        self.settings = (head.kind == frames::SETTINGS).then(Settings::default);
        let last = self.findings.last_stream.get();
        self.requests.frame(head, head.stream > last)?;
        self.block.frame_begins(head, head.stream <= last);
        match head.kind {
            frames::HEADERS => {
                self.findings.last_stream.set(last.max(head.stream));
                // Beyond what was allowed: each is refused, and that is work too.
                if head.stream > last && self.watch.streams() >= self.most_streams {
                    return self.controls.one("streams beyond SETTINGS_MAX_CONCURRENT_STREAMS");
                }
                Ok(())
            }
            // How many a block may have, h2 sees to; those that carry nothing are counted.
            frames::DATA | frames::CONTINUATION if head.length > 0 => Ok(()),
            frames::DATA if head.flags & frames::END_STREAM != 0 => Ok(()),
            frames::RST_STREAM => self.resets.one("RST_STREAM frames"),
            frames::PUSH_PROMISE => Err(Verdict::Promise),
            frames::WINDOW_UPDATE if self.owed > 0 => {
                self.owed -= 1;
                Ok(())
            }
            _ => self.controls.one("frames that carry no request"),
        }
    }

    fn wrote(&mut self, mut octets: &[u8]) {
        while let Some(part) = self.writing.next(&mut octets) {
            if let Part::Head(Head { kind: frames::DATA, .. }) = part {
                self.owed = (self.owed + WINDOWS).min(MOST_OWED);
            }
        }
        self.findings.at_boundary.set(self.writing.at_boundary());
    }
}

/// A SETTINGS frame, read for the one value whose error h2 calls by another name (RFC 9113 section 6.5.2).
#[derive(Debug, Default)]
struct Settings {
    entry: [u8; 6],
    have: usize,
}

impl Settings {
    fn payload(&mut self, octets: &[u8]) -> Result<(), Verdict> {
        for octet in octets {
            self.entry[self.have] = *octet;
            self.have = (self.have + 1) % self.entry.len();
            // SETTINGS_INITIAL_WINDOW_SIZE: 2^31-1 at most.
            if self.have == 0 && self.entry[..2] == [0, 4] && self.entry[2] >= 0x80 {
                return Err(Verdict::Window);
            }
        }
        Ok(())
    }
}

/// The last requests, and which of them are over, whole or given up: h2 takes what comes behind an end for a lesser error than RFC 9113 section 5.1 does.
#[derive(Debug, Default)]
struct Requests(VecDeque<(u32, bool)>);

impl Requests {
    /// Notes a frame; whether it opens a stream is known.
    fn frame(&mut self, head: Head, opens: bool) -> Result<(), Verdict> {
        let whole = head.flags & frames::END_STREAM != 0;
        match head.kind {
            frames::HEADERS if opens => {
                if self.0.len() == LAST_REQUESTS {
                    self.0.pop_front();
                }
                self.0.push_back((head.stream, whole));
                Ok(())
            }
            frames::HEADERS | frames::DATA => {
                let Some(over) = self.known(head.stream) else { return Ok(()) };
                if std::mem::replace(over, whole) { Err(Verdict::Closed) } else { Ok(()) }
            }
            frames::RST_STREAM => {
                if let Some(over) = self.known(head.stream) {
                    *over = true;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is over, of a stream that is remembered.
    fn known(&mut self, stream: u32) -> Option<&mut bool> {
        self.0.iter_mut().rev().find(|(known, _)| *known == stream).map(|(_, over)| over)
    }
}

/// A limit over about a second. The clock is looked at only where it is reached.
#[derive(Debug)]
struct Count {
    most: u32,
    seen: u32,
    since: Instant,
}

impl Count {
    fn new(most: u32) -> Self {
        Self { most, seen: 0, since: Instant::now() }
    }

    fn one(&mut self, what: &'static str) -> Result<(), Verdict> {
        self.seen += 1;
        if self.seen <= self.most {
            return Ok(());
        }
        let now = Instant::now();
        if now < self.since + PERIOD {
            return Err(Verdict::TooMuch(what));
        }
        (self.seen, self.since) = (1, now);
        Ok(())
    }
}

/// The header block that is being read, out of its frames (RFC 9113 sections 6.2 and 6.10).
#[derive(Debug, Default)]
struct Block {
    blocks: Blocks,
    /// A block began and has not ended.
    open: bool,
    /// The present frame is part of one.
    inside: bool,
    ends: bool,
    padded: bool,
    /// Octets of stream dependency and weight.
    priority: usize,
    /// Octets of the block that are still in this frame.
    left: usize,
}

impl Block {
    fn is_open(&self) -> bool {
        self.open
    }

    fn frame_begins(&mut self, head: Head, trailers: bool) {
        self.inside = match head.kind {
            frames::HEADERS => {
                self.blocks.begin(trailers);
                self.padded = head.flags & frames::PADDED != 0;
                self.priority = if head.flags & frames::PRIORITY != 0 { 5 } else { 0 };
                true
            }
            frames::CONTINUATION => {
                (self.padded, self.priority) = (false, 0);
                self.open
            }
            _ => false,
        };
        if self.inside {
            self.open = true;
            self.ends = head.flags & frames::END_HEADERS != 0;
            self.left = head.length;
        }
    }

    fn payload(&mut self, mut octets: &[u8]) -> Result<(), Flaw> {
        if !self.inside {
            return Ok(());
        }
        if self.padded
            && let Some((&padding, rest)) = octets.split_first()
        {
            // More padding than there is room for is h2's to refuse.
            self.left = self.left.saturating_sub(1 + usize::from(padding));
            (self.padded, octets) = (false, rest);
        }
        let skipped = self.priority.min(octets.len());
        self.priority -= skipped;
        self.left = self.left.saturating_sub(skipped);
        octets = &octets[skipped..];
        let of_block = &octets[..octets.len().min(self.left)];
        self.left -= of_block.len();
        self.blocks.read(of_block)
    }

    fn frame_ended(&mut self) -> Result<(), Flaw> {
        if self.inside && self.ends {
            self.open = false;
            self.blocks.end()?;
        }
        self.inside = false;
        Ok(())
    }
}

impl AsyncRead for Meter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buffer);
        let read = &mut buffer.filled_mut()[before..];
        match &polled {
            Poll::Ready(Ok(())) if !read.is_empty() => {
                if let Err(verdict) = self.read(read) {
                    self.findings.verdict.set(Some(verdict));
                    // hyper sees nothing of it.
                    buffer.set_filled(before);
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
            }
            Poll::Ready(_) => self.findings.over.set(true),
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Meter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, octets);
        if let Poll::Ready(Ok(written)) = polled {
            self.wrote(&octets[..written]);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(mut written)) = polled {
            for slice in slices {
                let some = written.min(slice.len());
                self.wrote(&slice[..some]);
                written -= some;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx);
        if polled.is_ready() {
            self.watch.flushed();
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}
