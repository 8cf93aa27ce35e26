//! HTTP/1.1 from applications (RFC 9112), read and written by us: a library's server hides what was on the wire.
//!
//! Knows one connection: strict heads, content that is read when somebody wants it, answers in the order of their requests, and an end
//! that loses none of them. Does not know what answers a request.

mod answer;
mod conversation;
mod date;
mod line;
mod outbox;
mod patience;
mod refusal;

use std::{cell::RefCell, pin::pin, rc::Rc};

use tokio_util::sync::CancellationToken;

use super::connection::{LAST_CALL, Limits};
use crate::wire::{Answer, Content, Incoming, Request, Stream};
use line::Line;

/// Serves the requests of `stream` until it ends. Once `drain` is cancelled the request under way is finished, one that is arriving is
/// answered, and then the connection is closed.
pub(super) async fn serve<S, F, B>(stream: Stream, limits: &Limits, service: S, drain: CancellationToken)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<B>>,
    B: Content,
{
    let line = Rc::new(RefCell::new(Line::new(stream)));
    held(&line, limits, service, drain).await;
    // Who still reads the content must not keep the connection, and learns that no more of it comes.
    line.borrow_mut().close();
}

async fn held<S, F, B>(line: &Rc<RefCell<Line>>, limits: &Limits, service: S, drain: CancellationToken)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer<B>>,
    B: Content,
{
    let mut conversation = pin!(conversation::hold(line, limits, service));
    tokio::select! {
        biased;
        () = conversation.as_mut() => return,
        () = patience::overstayed(line, limits) => return,
        () = drain.cancelled() => line.borrow_mut().draining = true,
    }
    tokio::select! {
        // What has come is read before the time is looked at: on a busy machine both may be there at once.
        biased;
        () = conversation => {}
        () = patience::overstayed(line, limits) => {}
        () = patience::idle_for(line, LAST_CALL) => {}
    }
}

#[cfg(test)]
mod tests;
