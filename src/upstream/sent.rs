//! A request under way, from its first octet to its answer's head.
//!
//! Knows that nearly every request goes out on a kept HTTP/1.1 connection, and is small for that: no future in a future, nothing to be
//! moved. Every other way is the client's, and boxed.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http_body::Body;

use super::{
    answer::AnswerBody,
    client::{Cause, Client, SendError, Unanswered},
    http1::Exchange,
};
use crate::wire::{Answer, AnswerHead, head::Outgoing};

/// An answer that is waited for. Dropped before it is there, it closes its connection.
pub struct Sent<'a, B> {
    client: &'a Client<B>,
    request: &'a dyn Outgoing,
    interim: &'a dyn Fn(Box<AnswerHead>),
    at: At<'a, B>,
}

enum At<'a, B> {
    /// On a kept HTTP/1.1 connection.
    Kept(Option<Box<Exchange<B>>>),
    Elsewhere(LocalBoxFuture<'a, Result<Answer<AnswerBody<B>>, SendError>>),
}

impl<'a, B> Sent<'a, B> {
    /// On a kept connection. Where that takes nothing of it, it goes out on a fresh one.
    pub(super) fn on(
        client: &'a Client<B>,
        request: &'a dyn Outgoing,
        interim: &'a dyn Fn(Box<AnswerHead>),
        exchange: Box<Exchange<B>>,
    ) -> Self {
        Self { client, request, interim, at: At::Kept(Some(exchange)) }
    }

    /// In every other way.
    pub(super) fn elsewhere(
        client: &'a Client<B>,
        request: &'a dyn Outgoing,
        interim: &'a dyn Fn(Box<AnswerHead>),
        answer: LocalBoxFuture<'a, Result<Answer<AnswerBody<B>>, SendError>>,
    ) -> Self {
        Self { client, request, interim, at: At::Elsewhere(answer) }
    }
}

impl<B> Future for Sent<'_, B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Cause>,
{
    type Output = Result<Answer<AnswerBody<B>>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = &mut *self;
            let kept = match &mut this.at {
                At::Elsewhere(answer) => return answer.as_mut().poll(cx),
                At::Kept(kept) => kept,
            };
            let Some(exchange) = kept else { return Poll::Pending };
            let head = ready!(exchange.poll_answer(this.interim, cx));
            let Some(exchange) = kept.take() else { return Poll::Pending };
            match this.client.carried(exchange, head) {
                Err(Unanswered::NotSent(unsent, _)) => {
                    this.at = At::Elsewhere(this.client.send_on_fresh(this.request, *unsent, this.interim));
                }
                carried => return Poll::Ready(carried.map_err(Unanswered::last)),
            }
        }
    }
}

impl<B> fmt::Debug for Sent<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").finish_non_exhaustive()
    }
}
