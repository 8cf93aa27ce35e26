//! What is said on one connection: a request, its answer, the next request.
//!
//! Knows the order of things, and when a connection can carry another request (RFC 9112 section 9.3). Does not know what answers one.

use std::{
    cell::RefCell,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Method, Version};
use tokio::io::AsyncWriteExt;

use super::{
    answer::{self, Asked, Then},
    line::{self, Held, Line},
    patience::Phase,
    refusal,
};
use crate::{
    ingress::connection::Limits,
    proxy::Failure,
    wire::{
        Answer, Content, Incoming, Interim, Request, RequestHead, Source, Stream,
        fields::Name,
        head::{self, Read},
    },
};

/// What is read of a request's content though nobody wants it, in octets: so much a connection is worth.
pub(super) const DISCARD_AT_MOST: u64 = 64 << 10;
/// How long, and how much, is read behind a last answer, so that it is not lost to a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_AT_MOST: usize = 1 << 20;

/// Answers requests until the connection ends.
pub(super) async fn hold<S, F, B>(line: &Rc<RefCell<Line>>, limits: &Limits, service: S)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<B>>,
    B: Content,
{
    let bounds = head::Limits { size: limits.head_size, fields: limits.head_fields };
    while let Some(head) = std::future::poll_fn(|cx| poll_head(line, bounds, cx)).await {
        let mut said_last = false;
        let then = match head.and_then(|head| acceptable(head, limits)) {
            Ok(head) => {
                said_last = !head.persists && head.head.method != Method::CONNECT;
                let (asked, request) = begin(line, head);
                after_the_others().await;
                // In one place from its beginning to its end: what answers a request is large, and moving it costs more than reading
                // the request does.
                let answer = {
                    let mut answering = pin!(service(request));
                    std::future::poll_fn(|cx| poll_answered(line, answering.as_mut(), cx)).await
                };
                let Some(answer) = answer else { return };
                answer::write(line, &asked, answer).await
            }
            Err((method, failure)) => refuse(line, method, failure).await,
        };
        match then {
            Then::Goes => {
                if !rest_is_over(line).await {
                    return linger(line).await;
                }
            }
            Then::Ends => {
                std::future::poll_fn(|_| poll_upload(line)).await;
                // Who has said that this is its last request sends no other (RFC 9112 section 9.6), so nothing can come that would
                // take the answer away.
                if said_last && is_silent(line) {
                    return;
                }
                return linger(line).await;
            }
            Then::Cut => return,
            Then::Reset => return reset(line),
            Then::TakenOver(takeover) => {
                // The new protocol begins behind the request's content, all of it.
                if rest_is_over(line).await {
                    let stream = line.borrow_mut().take();
                    line.borrow_mut().enter(Phase::TakenOver);
                    if let Some(stream) = stream {
                        takeover(stream).await;
                    }
                }
                return;
            }
        }
    }
}

/// Lets the connections go first that something has come on as well, so that requests which came together go out together: a server that
/// was woken for the first of them is still awake for the others, and waking somebody is the dearest part of a send. A connection that is
/// alone loses one turn of its task for it, and no call of the system.
async fn after_the_others() {
    let mut gone = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut gone, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Why a request is refused, and its method: one to HEAD is answered without content, whatever else is wrong with it.
type Refused = (Method, Failure);

/// The next request's head; `None` where none comes.
fn poll_head(
    line: &RefCell<Line>,
    bounds: head::Limits,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Read<RequestHead>, Refused>>> {
    let mut line = line.borrow_mut();
    loop {
        if line.may_be_head(bounds.size) {
            let is_head = line.inbox.starts_with(b"HEAD ");
            match head::request(&mut line.inbox, bounds) {
                Ok(None) => line.looked_at = line.inbox.len(),
                Ok(Some(head)) => {
                    line.looked_at = 0;
                    return Poll::Ready(Some(Ok(head)));
                }
                Err(fault) => {
                    let method = if is_head { Method::HEAD } else { Method::GET };
                    return Poll::Ready(Some(Err((method, refusal::of(fault)))));
                }
            }
        }
        let phase = if line.inbox.is_empty() { Phase::Idle } else { Phase::Head };
        if line.phase != phase {
            line.enter(phase);
        }
        if phase == Phase::Idle {
            line.rest();
        }
        if !matches!(ready!(line.poll_read(cx)), Ok(1..)) {
            return Poll::Ready(None);
        }
    }
}

fn acceptable(read: Read<RequestHead>, limits: &Limits) -> Result<Read<RequestHead>, Refused> {
    if read.underscored && limits.refuse_underscores {
        return Err((read.head.method, refusal::underscore()));
    }
    Ok(read)
}

fn begin(line: &Rc<RefCell<Line>>, read: Read<RequestHead>) -> (Asked, Request<Incoming>) {
    let Read { head, framing, persists, .. } = read;
    let takes_interim = head.version == Version::HTTP_11;
    let waits = takes_interim
        && head
            .fields
            .get(Name::EXPECT)
            .is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue"));
    line.borrow_mut().begin(framing, takes_interim, waits);
    let content = if line.borrow().is_whole() {
        Incoming::nothing()
    } else {
        let held: Rc<RefCell<dyn Source>> = Rc::new(RefCell::new(Held::new(line)));
        Incoming::http1(held)
    };
    let content = if takes_interim {
        content.with_interim(Interim::new(line.clone(), line::number(line)))
    } else {
        content
    };
    // What comes behind a CONNECT may be meant for a tunnel that was refused.
    let persists = persists && head.method != Method::CONNECT;
    let asked = Asked { method: head.method.clone(), version: head.version, persists };
    (asked, Request { head, content })
}

/// The answer, as soon as it is there; `None` if the application is gone before.
fn poll_answered<T>(
    line: &RefCell<Line>,
    answering: Pin<&mut impl Future<Output = T>>,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    // What this does to the line is looked at behind it.
    line.borrow_mut().own_turn = true;
    let answer = answering.poll(cx);
    line.borrow_mut().own_turn = false;
    if let Poll::Ready(answer) = answer {
        return Poll::Ready(Some(answer));
    }
    let mut line = line.borrow_mut();
    // A 100, or another interim answer.
    if let Poll::Ready(Err(_)) = line.poll_flush(cx) {
        return Poll::Ready(None);
    }
    line.poll_gone(cx).map(|_gone| None)
}

async fn refuse(line: &RefCell<Line>, method: Method, failure: Failure) -> Then {
    failure.log();
    line.borrow_mut().enter(Phase::Busy);
    let asked = Asked { method, version: Version::HTTP_11, persists: false };
    answer::write(line, &asked, failure.into_response()).await
}

/// Behind an answer: waits for who still reads the request's content, and throws away a little that nobody wants. Whether another request
/// can follow.
async fn rest_is_over(line: &RefCell<Line>) -> bool {
    let mut discarded = 0;
    std::future::poll_fn(|cx| poll_rest(line, &mut discarded, cx)).await
}

/// Behind a last answer: waits for who still reads the request's content.
fn poll_upload(line: &RefCell<Line>) -> Poll<()> {
    let mut line = line.borrow_mut();
    if !line.is_uploading() {
        return Poll::Ready(());
    }
    if line.phase != Phase::Upload {
        line.enter(Phase::Upload);
    }
    Poll::Pending
}

fn poll_rest(line: &RefCell<Line>, discarded: &mut u64, cx: &mut Context<'_>) -> Poll<bool> {
    ready!(poll_upload(line));
    let mut line = line.borrow_mut();
    loop {
        if line.is_whole() || line.is_broken() {
            return Poll::Ready(line.is_whole());
        }
        if line.phase != Phase::Discarding {
            line.enter(Phase::Discarding);
        }
        if line.left().is_some_and(|left| left + *discarded > DISCARD_AT_MOST) || *discarded > DISCARD_AT_MOST
        {
            return Poll::Ready(false);
        }
        *discarded += ready!(line.poll_discard(cx));
    }
}

/// Whether the application has sent nothing behind its request.
fn is_silent(line: &RefCell<Line>) -> bool {
    let mut line = line.borrow_mut();
    line.is_whole() && line.inbox.is_empty() && line.stream().is_some_and(|stream| stream.is_silent())
}

/// Ends a connection in stages, so that the application reads the last answer before it learns that nobody listens any more.
async fn linger(line: &RefCell<Line>) {
    let Some(mut stream) = ({
        let mut line = line.borrow_mut();
        line.enter(Phase::Discarding);
        let ended = line.has_ended();
        line::forget(&mut line.inbox);
        line.take().filter(|_| !ended)
    }) else {
        return;
    };
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut read_on = pin!(read_on(stream));
    // Most are there already, or hang up at once: no timer for those.
    if std::future::poll_fn(|cx| Poll::Ready(read_on.as_mut().poll(cx).is_ready())).await {
        return;
    }
    let _in_time = tokio::time::timeout(LINGER, read_on).await;
}

async fn read_on(mut stream: Stream) {
    use tokio::io::AsyncReadExt;
    let mut read = 0;
    let mut buffer = bytes::BytesMut::with_capacity(8 << 10);
    while read < LINGER_AT_MOST {
        match stream.read_buf(&mut buffer).await {
            Ok(1..) => read += line::forget(&mut buffer),
            Ok(0) | Err(_) => return,
        }
        buffer.reserve(8 << 10);
    }
}

/// Ends a connection so that the end of its last answer cannot be taken for that. On a Unix socket and inside a tunnel there is no reset;
/// there TLS's missing end says it, or nothing.
fn reset(line: &RefCell<Line>) {
    if let Some(tcp) = line.borrow_mut().stream().and_then(|stream| stream.tcp()) {
        // Where it fails, the connection is gone anyway.
        let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }
}
