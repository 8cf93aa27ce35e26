//! HTTP/2 frame by frame, for what a library would not send: no state, no compression, no manners.

use std::{collections::VecDeque, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::PATIENCE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const PROTOCOL_ERROR: u32 = 1;
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection on which frames are written and read.
pub struct Frames {
    stream: Box<dyn Wire>,
    buffer: Vec<u8>,
    /// Read and not yet asked for.
    waiting: VecDeque<Frame>,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Status(u16),
    /// It was reset, with this code.
    Reset(u32),
    /// The connection is told to end, with this code.
    Goaway(u32),
    /// The connection is over.
    Closed,
}

impl Frames {
    /// A connection after both prefaces; the peer may keep no table for what it sends us.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).unwrap();
        let mut frames = Self::over(stream);
        frames.begin().await;
        frames
    }

    /// Frames over a stream on which nothing was said yet.
    pub fn over(stream: impl Wire + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), waiting: VecDeque::new() }
    }

    /// The preface, and no dynamic table towards us.
    pub async fn begin(&mut self) {
        self.octets(PREFACE).await;
        self.send(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]).await;
    }

    /// Writes octets; whether the peer takes them is not asked.
    pub async fn octets(&mut self, octets: &[u8]) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.stream.write_all(octets)).await;
        written.expect("the peer reads or closes").is_ok()
    }

    /// Writes a frame.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.octets(&frame(kind, flags, stream, payload)).await
    }

    /// Opens a stream with these fields, each a literal that is never indexed.
    pub async fn request(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> bool {
        self.send(HEADERS, END_HEADERS | flags, stream, &block(fields)).await
    }

    /// The next frame; `None` at the end, however it comes.
    pub async fn next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.waiting.pop_front() {
            return Some(frame);
        }
        loop {
            if let Some(frame) = self.whole() {
                return Some(frame);
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if read.expect("a frame or the end").ok()? == 0 {
                return None;
            }
        }
    }

    fn whole(&mut self) -> Option<Frame> {
        let head = self.buffer.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// What becomes of a stream; acknowledges settings meanwhile.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = self.next().await else { return Outcome::Closed };
            match frame.kind {
                HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(number(&frame.payload)),
                GOAWAY if number(&frame.payload[4..]) != 0 => {
                    return Outcome::Goaway(number(&frame.payload[4..]));
                }
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(SETTINGS, ACK, 0, &[]).await;
                }
                _ => {}
            }
        }
    }

    /// Status and content of the answer on a stream, which has to come.
    pub async fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let Outcome::Status(status) = self.outcome(stream).await else {
            panic!("no answer on stream {stream}")
        };
        let mut content = Vec::new();
        loop {
            let frame = self.next().await.expect("the answer ends before the connection");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                DATA => content.extend(frame.payload),
                HEADERS => {}
                _ => panic!("the answer on stream {stream} was cut"),
            }
            if frame.flags & END_STREAM != 0 {
                return (status, content);
            }
        }
    }

    /// The next frame of this kind; what comes before is dropped.
    pub async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}

/// A frame's octets.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut octets = vec![length[1], length[2], length[3], kind, flags];
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// A header block of literals that are never indexed, not coded (RFC 7541 section 6.2.3).
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (name, value) in fields {
        octets.push(0x10);
        string(name.as_ref(), &mut octets);
        string(value.as_ref(), &mut octets);
    }
    octets
}

/// A string that is not coded (RFC 7541 section 5.2).
pub fn string(text: &[u8], octets: &mut Vec<u8>) {
    integer(text.len(), 7, 0, octets);
    octets.extend(text);
}

/// An integer behind these first bits (RFC 7541 section 5.1).
pub fn integer(value: usize, prefix: u32, first: u8, octets: &mut Vec<u8>) {
    let full = (1 << prefix) - 1;
    if value < full {
        return octets.push(first | value as u8);
    }
    octets.push(first | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        octets.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    octets.push(rest as u8);
}

/// The first number of a payload.
pub fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("four octets"))
}

/// `:status`, the first field of an answer; digits have codes of five and six bits.
fn status(block: &[u8]) -> u16 {
    let start =
        block.iter().position(|octet| octet & 0xe0 != 0x20).expect("a field follows the table's size");
    let block = &block[start..];
    let known = [200, 204, 206, 304, 400, 404, 500];
    match block[0] {
        octet @ 0x88..=0x8e => known[usize::from(octet - 0x88)],
        0x08 | 0x18 | 0x48 if block[1] & 0x80 == 0 => {
            std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap()
        }
        0x08 | 0x18 | 0x48 => {
            let octets = &block[2..2 + usize::from(block[1] & 0x7f)];
            let bits: Vec<u8> =
                octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1)).collect();
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let take =
                    |count: usize| bits[at..at + count].iter().fold(0, |all, bit| all << 1 | u16::from(*bit));
                let (digit, width) = if take(5) < 3 { (take(5), 5) } else { (take(6) - 0x19 + 3, 6) };
                status = status * 10 + digit;
                at += width;
            }
            status
        }
        other => panic!("no :status begins with {other:#x}"),
    }
}
