//! Octets that pass from one TCP connection to another without being read: pipes of the system, through which pages move by reference
//! (splice(2)).
//!
//! Knows where a pipe comes from and when there is none; then content is read and written as it is everywhere else. Does not know what
//! passes.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
};

use tokio::{io::Interest, net::TcpStream};

/// Less content than this is read and written: that costs less than two system calls more.
pub const WORTH_A_PIPE: u64 = 16 << 10;
/// What is moved at once. A pipe holds so many pages, and pages of content may be larger than the system's.
const MOVED_AT_ONCE: usize = 512 << 10;
/// How large a pipe is asked for; the system's default is a quarter of it, and where the user's pipes together are large, less.
const SIZE: usize = 256 << 10;
/// Pipes that may lie about empty, each worker's. One is in use only from filling to emptying, which is at once as a rule.
const KEPT_AT_MOST: usize = 8;
/// Pipes of each worker that may wait for peers that do not read; each takes two descriptors.
const LENT_AT_MOST: usize = 32;

thread_local! {
    static STORE: Store = const { Store { empty: RefCell::new(Vec::new()), lent: Cell::new(0), refused: Cell::new(false) } };
}

/// The pipes of one worker.
struct Store {
    empty: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
    /// The system does not move octets like this, or does not let us.
    refused: Cell<bool>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe, lent by its worker; it goes back when this is dropped.
#[derive(Debug)]
pub struct Pipe {
    /// None only while it is dropped.
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty pipe, if one can be had.
    pub fn lend() -> Option<Self> {
        STORE.with(|store| {
            if store.refused.get() || store.lent.get() >= LENT_AT_MOST {
                return None;
            }
            let kept = store.empty.borrow_mut().pop();
            let ends = kept.or_else(Ends::new)?;
            store.lent.set(store.lent.get() + 1);
            Some(Self { ends: Some(ends), held: 0 })
        })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Fills the pipe, which is empty, with up to `most` octets of what `from` brings: how many; 0 is the end. `None` where the system
    /// does not do that; nothing is lost then, and no pipe is lent any more.
    pub fn poll_fill(
        &mut self,
        from: &TcpStream,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        debug_assert!(self.is_empty(), "a full pipe looks like a connection that brings nothing");
        let Some(ends) = &self.ends else { return Poll::Ready(Ok(None)) };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(MOVED_AT_ONCE);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || moved(from, &ends.write, most)) {
                Ok(some) => {
                    self.held = some;
                    return Poll::Ready(Ok(Some(some)));
                }
                Err(error) if is_for_now(&error) => {}
                Err(error) if is_refusal(&error) => {
                    STORE.with(|store| store.refused.set(true));
                    return Poll::Ready(Ok(None));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves what is in the pipe on to `to`: how many octets.
    pub fn poll_drain(&mut self, to: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || moved(&ends.read, to, self.held)) {
                Ok(some) => {
                    self.held -= some.min(self.held);
                    return Poll::Ready(Ok(some));
                }
                Err(error) if is_for_now(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // A thread that ends may have no store any more.
        let _ended = STORE.try_with(|store| {
            store.lent.set(store.lent.get() - 1);
            let mut empty = store.empty.borrow_mut();
            // One with octets in it is closed: they are another connection's.
            if self.held == 0 && empty.len() < KEPT_AT_MOST {
                empty.extend(self.ends.take());
            }
        });
    }
}

#[cfg(target_os = "linux")]
impl Ends {
    fn new() -> Option<Self> {
        use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
        // Where there is none for want of descriptors, there may be one later.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A smaller one does as well, in more steps.
        let _smaller = fcntl_setpipe_size(&write, SIZE);
        Some(Self { read, write })
    }
}

#[cfg(target_os = "linux")]
fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    use rustix::pipe::{SpliceFlags, splice};
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    splice(from, None, to, None, most, flags).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
impl Ends {
    fn new() -> Option<Self> {
        None
    }
}

#[cfg(not(target_os = "linux"))]
fn moved(_from: impl AsFd, _to: impl AsFd, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Says nothing of the connection.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Says that it is not done at all, rather than that this connection failed.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn octets_pass_in_order_and_no_more_than_were_asked_for() {
        let (mut sender, from) = connected().await;
        let (to, mut receiver) = connected().await;
        sender.write_all(b"contentnext").await.unwrap();
        let mut pipe = Pipe::lend().unwrap();
        let some = poll_fn(|cx| pipe.poll_fill(&from, 7, cx)).await.unwrap();
        assert_eq!(some, Some(7));
        assert_eq!(poll_fn(|cx| pipe.poll_drain(&to, cx)).await.unwrap(), 7);
        assert!(pipe.is_empty());
        let mut seen = [0; 7];
        receiver.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"content");
        drop(sender);
        assert_eq!(poll_fn(|cx| pipe.poll_fill(&from, 7, cx)).await.unwrap(), Some(4));
    }

    #[tokio::test]
    async fn the_end_and_a_peer_that_is_gone_are_told() {
        let (sender, from) = connected().await;
        let mut pipe = Pipe::lend().unwrap();
        drop(sender);
        assert_eq!(poll_fn(|cx| pipe.poll_fill(&from, 7, cx)).await.unwrap(), Some(0));
    }

    #[tokio::test]
    async fn a_pipe_with_octets_of_one_connection_is_lent_to_no_other() {
        let (mut sender, from) = connected().await;
        sender.write_all(b"content").await.unwrap();
        let mut pipe = Pipe::lend().unwrap();
        poll_fn(|cx| pipe.poll_fill(&from, 7, cx)).await.unwrap();
        STORE.with(|store| store.empty.borrow_mut().clear());
        drop(pipe);
        assert_eq!(STORE.with(|store| store.empty.borrow().len()), 0);
        drop(Pipe::lend().unwrap());
        assert_eq!(STORE.with(|store| store.empty.borrow().len()), 1);
        assert_eq!(STORE.with(|store| store.lent.get()), 0);
    }

    #[test]
    fn no_more_are_lent_than_may_be_and_few_are_kept() {
        let lent: Vec<_> = std::iter::from_fn(Pipe::lend).take(2 * LENT_AT_MOST).collect();
        assert_eq!(lent.len(), LENT_AT_MOST);
        drop(lent);
        assert_eq!(STORE.with(|store| store.empty.borrow().len()), KEPT_AT_MOST);
        assert!(Pipe::lend().is_some());
    }

    #[test]
    fn a_system_that_does_not_do_it_is_told_from_a_connection_that_failed_and_not_asked_again() {
        use rustix::io::Errno;
        for (error, refusal) in [
            (Errno::NOSYS, true),
            (Errno::PERM, true),
            (Errno::INVAL, true),
            (Errno::CONNRESET, false),
            (Errno::PIPE, false),
        ] {
            assert_eq!(is_refusal(&error.into()), refusal, "{error}");
        }
        STORE.with(|store| store.refused.set(true));
        assert!(Pipe::lend().is_none());
        STORE.with(|store| store.refused.set(false));
    }
}
