//! Two streams that become one: what either side says the other hears, until both have ended.
//!
//! Knows octets, half-closes and silence. Does not know what is said, or who asked for it.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::Stream;

/// What is on its way at most, in octets, each way.
const BUFFER: usize = 16 << 10;
/// How long one side may be silent after the other has ended: who will never be answered must not be kept for ever.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(300);
/// How long a tunnel may be silent when it shall end: most have a rest now and then, at which nothing is lost.
const DRAINING_IDLE: Duration = Duration::from_secs(5);
/// How long a silent side is believed before TCP asks whether it still lives, and how often then.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// What became of a tunnel.
#[derive(Debug)]
pub struct Spliced {
    /// Octets that went from the first side to the second.
    pub there: u64,
    /// Octets that went from the second side to the first.
    pub back: u64,
    /// Why it ended.
    pub end: End,
}

/// Why a tunnel ended.
#[derive(Debug)]
pub enum End {
    /// Both sides had said all they had to say.
    Closed,
    /// Nothing passed for longer than it may.
    Idle,
    /// A side failed while it was read; the other is cut too.
    Broken(io::Error),
}

/// Carries octets between two streams, and each side's end to the other, until both have ended, one fails, or nothing
/// passed either way for `idle`; for five minutes at most where one has ended. Then both are closed.
pub async fn splice(one: Stream, other: Stream, idle: Option<Duration>) -> Spliced {
    splice_until(one, other, idle, std::future::pending()).await
}

/// The same; once `drain` is over, only until nothing has passed for some seconds.
pub async fn splice_until(
    one: Stream,
    other: Stream,
    idle: Option<Duration>,
    drain: impl Future<Output = ()>,
) -> Spliced {
    for tcp in [one.tcp(), other.tcp()].into_iter().flatten() {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        // Where the system has none, silence is believed for longer.
        let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
    }
    let mut tunnel =
        Tunnel { one, other, there: Way::default(), back: Way::default(), idle, moved: Instant::now() };
    let mut timer = None;
    let mut drain = std::pin::pin!(drain.fuse());
    let end = std::future::poll_fn(|cx| {
        if drain.as_mut().poll(cx).is_ready() {
            let quiet = tunnel.idle.map_or(DRAINING_IDLE, |idle| idle.min(DRAINING_IDLE));
            tunnel.idle = Some(quiet);
        }
        match tunnel.poll(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => tunnel.poll_idle(&mut timer, cx),
        }
    })
    .await;
    if let End::Broken(error) = &end {
        tunnel.pass_on(error);
    }
    Spliced { there: tunnel.there.passed, back: tunnel.back.passed, end }
}

struct Tunnel {
    one: Stream,
    other: Stream,
    there: Way,
    back: Way,
    idle: Option<Duration>,
    /// When something last passed.
    moved: Instant,
}

impl Tunnel {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let before = (self.there.passed, self.back.passed, self.there.is_over(), self.back.is_over());
        let there = self.there.poll(cx, &mut self.one, &mut self.other);
        let back = self.back.poll(cx, &mut self.other, &mut self.one);
        if before != (self.there.passed, self.back.passed, self.there.is_over(), self.back.is_over()) {
            self.moved = Instant::now();
        }
        match (there, back) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(End::Broken(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Closed),
            _ => Poll::Pending,
        }
    }

    fn poll_idle(&self, timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<End> {
        let half_closed = self.there.is_over() || self.back.is_over();
        let limit = match self.idle {
            Some(idle) if half_closed => idle.min(HALF_CLOSED_IDLE),
            None if half_closed => HALF_CLOSED_IDLE,
            Some(idle) => idle,
            None => return Poll::Pending,
        };
        let end = self.moved + limit;
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        // Moved when it fires, not when something passes; only a limit that became shorter brings it forward.
        if end < timer.deadline() {
            timer.as_mut().reset(end);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(End::Idle);
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }

    /// A reset is passed on as one: a cut must look cut, also where no TLS and no framing says so.
    fn pass_on(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionReset {
            for tcp in [self.one.tcp(), self.other.tcp()].into_iter().flatten() {
                let _ = tcp.set_zero_linger();
            }
        }
    }
}

/// One direction.
struct Way {
    buffer: Box<[u8]>,
    /// What of the buffer is still to be written.
    start: usize,
    end: usize,
    unflushed: bool,
    flow: Flow,
    passed: u64,
}

enum Flow {
    Open,
    /// The one side has ended; the other is being told.
    Ending,
    /// The one side has failed; what it said before is still handed over.
    Failing(io::Error),
    Over,
}

impl Default for Way {
    fn default() -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { buffer, start: 0, end: 0, unflushed: false, flow: Flow::Open, passed: 0 }
    }
}

impl Way {
    fn is_over(&self) -> bool {
        matches!(self.flow, Flow::Over)
    }

    /// Ready when nothing more will pass this way.
    ///
    /// # Errors
    /// `from` failed. That `to` takes nothing more ends this way only: what it said before may still be read.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<io::Result<()>> {
        loop {
            match &self.flow {
                Flow::Over => return Poll::Ready(Ok(())),
                Flow::Ending => {
                    // Where it fails, `to` is gone already.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.flow = Flow::Over;
                }
                Flow::Failing(_) => {
                    let _ = ready!(Pin::new(&mut *to).poll_flush(cx));
                    if let Flow::Failing(error) = std::mem::replace(&mut self.flow, Flow::Over) {
                        return Poll::Ready(Err(error));
                    }
                }
                Flow::Open if self.start < self.end => ready!(self.poll_hand_over(cx, to)),
                Flow::Open => ready!(self.poll_take(cx, from, to)),
            }
        }
    }

    fn poll_hand_over(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<()> {
        match ready!(Pin::new(to).poll_write(cx, &self.buffer[self.start..self.end])) {
            Ok(written) if written > 0 => {
                self.start += written;
                self.passed += written as u64;
                self.unflushed = true;
            }
            _ => self.flow = Flow::Over,
        }
        Poll::Ready(())
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<()> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(from).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                (self.start, self.end) = (0, buffer.filled().len());
                if self.end == 0 {
                    self.flow = Flow::Ending;
                }
                Poll::Ready(())
            }
            Poll::Ready(Err(error)) => {
                self.flow = Flow::Failing(error);
                Poll::Ready(())
            }
            Poll::Pending => {
                if self.unflushed {
                    match ready!(Pin::new(to).poll_flush(cx)) {
                        Ok(()) => self.unflushed = false,
                        Err(_) => self.flow = Flow::Over,
                    }
                    return if self.is_over() { Poll::Ready(()) } else { Poll::Pending };
                }
                Poll::Pending
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Broken(error) => write!(f, "cut: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
    };

    use super::*;

    /// Both outer ends of a tunnel, and what becomes of it.
    fn tunnel(idle: Option<Duration>) -> (DuplexStream, DuplexStream, JoinHandle<Spliced>) {
        let (one, near) = tokio::io::duplex(1000);
        let (other, far) = tokio::io::duplex(1000);
        let spliced = tokio::spawn(splice(Stream::Memory(near), Stream::Memory(far), idle));
        (one, other, spliced)
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (one, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn r067_what_either_side_says_the_other_hears_and_each_end_is_passed_on_by_itself() {
        let (mut one, mut other, spliced) = tunnel(None);
        one.write_all(b"question").await.unwrap();
        one.shutdown().await.unwrap();
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question", "the end of one side reaches the other");
        other.write_all(b"answer, after the other side has ended").await.unwrap();
        other.shutdown().await.unwrap();
        heard.clear();
        one.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer, after the other side has ended");
        let spliced = spliced.await.unwrap();
        assert!(matches!(spliced.end, End::Closed), "{spliced:?}");
        assert_eq!((spliced.there, spliced.back), (8, 38));
    }

    #[tokio::test]
    async fn much_passes_both_ways_at_once_through_small_buffers() {
        let (one, other, spliced) = tunnel(None);
        let side = |stream: DuplexStream, seed: u8| async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let said: Vec<u8> = (0..300_000u32).map(|at| (at as u8).wrapping_mul(seed)).collect();
            let wrote = said.clone();
            let talk = tokio::spawn(async move {
                writer.write_all(&wrote).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut heard = Vec::new();
            reader.read_to_end(&mut heard).await.unwrap();
            talk.await.unwrap();
            (said, heard)
        };
        let ((said, heard), (said_back, heard_back)) = tokio::join!(side(one, 3), side(other, 7));
        assert!(said == heard_back && said_back == heard);
        assert_eq!(spliced.await.unwrap().there, 300_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_ends_after_its_idle_time_and_any_octet_begins_it_anew() {
        let (mut one, mut other, spliced) = tunnel(Some(Duration::from_secs(60)));
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(50)).await;
        other.write_all(b"x").await.unwrap();
        assert_eq!(one.read_u8().await.unwrap(), b'x');
        let spliced = spliced.await.unwrap();
        assert!(matches!(spliced.end, End::Idle), "{spliced:?}");
        assert_eq!(begun.elapsed().as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_without_a_limit_lasts_but_not_when_one_side_has_ended() {
        let (mut one, _other, spliced) = tunnel(None);
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        assert!(!spliced.is_finished());
        let begun = Instant::now();
        one.shutdown().await.unwrap();
        assert!(matches!(spliced.await.unwrap().end, End::Idle));
        assert_eq!(begun.elapsed(), HALF_CLOSED_IDLE);
    }

    #[tokio::test]
    async fn what_was_said_before_a_side_stopped_listening_still_arrives() {
        let ((mut one, near), (mut other, far)) = (sockets().await, sockets().await);
        let spliced = tokio::spawn(splice(Stream::Tcp(near), Stream::Tcp(far), None));
        other.write_all(b"last words").await.unwrap();
        drop(other);
        let mut heard = Vec::new();
        // The other side is gone, and this one talks on until it notices.
        one.write_all(b"is anybody there?").await.unwrap();
        one.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        drop(one);
        spliced.await.unwrap();
    }

    #[tokio::test]
    async fn a_reset_reaches_the_other_side_as_a_reset() {
        let ((mut one, near), (other, far)) = (sockets().await, sockets().await);
        let spliced = tokio::spawn(splice(Stream::Tcp(near), Stream::Tcp(far), None));
        other.set_zero_linger().unwrap();
        drop(other);
        let error = one.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(spliced.await.unwrap().end, End::Broken(_)));
    }
}
