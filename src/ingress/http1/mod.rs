//! HTTP/1.1 from applications (RFC 9112), read and written by us: a library's server hides what was on the wire.
//!
//! Knows one connection: strict heads, content that is read when somebody wants it, answers in the order of their requests, and an end
//! that loses none of them. Does not know what answers a request.

mod answer;
mod conversation;
mod date;
mod line;
mod lookout;
mod outbox;
mod patience;
mod refusal;

use std::{cell::RefCell, future::poll_fn, pin::pin, rc::Rc, task::Poll};

pub(super) use lookout::Lookout;

use super::{connection::Limits, drain::Drain};
use crate::wire::{Answer, Content, Incoming, Request, Stream};
use line::Line;

/// Serves the requests of `stream` until it ends. Once `drain` is cancelled the request under way is finished, one that is arriving is
/// answered, and then the connection is closed.
pub(super) async fn serve<S, F, B>(stream: Stream, limits: &Limits, service: S, drain: Drain)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<B>>,
    B: Content,
{
    let line = Rc::new(RefCell::new(Line::new(stream)));
    let _looked_after = drain.http1().look_after(&line, limits);
    let mut conversation = pin!(conversation::hold(&line, limits, service));
    poll_fn(|cx| {
        line.borrow_mut().attend(cx);
        // What has come is read before it counts that somebody has given the connection up: on a busy machine both may be there at once.
        if conversation.as_mut().poll(cx).is_ready() || line.borrow().is_given_up() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    // Who still reads the content must not keep the connection, and learns that no more of it comes.
    line.borrow_mut().close();
}

#[cfg(test)]
mod tests;
