//! The life of a request: route, token, sending; and where the answer rejects that token, a new one and one more
//! sending.
//!
//! Knows the order of the steps, each of which is a leaf. There is no loop: a request goes out with at most two tokens.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use http::{Method, StatusCode, Version, uri::PathAndQuery};
use http_body::Body;

use super::{
    body::{ResponseBody, Streamed},
    failure::{Failure, Kind},
    fields::{self, Outgoing},
    hops,
    kept::Budget,
    rejection::{self, LONGEST_LOOK, Verdict},
    replay::{Replay, RequestBody},
    room::{Place, Room},
    routes::{Entry, Route},
    sending::{self, body_failed},
    upgrade::{self, Agreed, Upgrade},
};
use crate::{
    clock::{Clock, Moment},
    telemetry::exchanges::{Ended, Ring},
    token::{Held, TokenSource, Unavailable},
    upstream::client::is_idempotent,
    wire::{Answer, Incoming, Request, RequestHead, fields::Name},
};

/// What every exchange of a worker shares.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The clocks.
    pub clock: Clock,
    /// What replays may hold; one for all workers.
    pub budget: Budget,
    /// How many requests may be under way; one for all workers.
    pub room: Room,
    /// Where what happened can be looked at; none where nobody can.
    pub seen: Option<Arc<Ring>>,
}

/// Answers a request. What fails becomes an answer of our own.
pub async fn exchange(entry: &Entry, worker: &Worker, request: Request<Incoming>) -> Answer<ResponseBody> {
    let begun = worker.clock.now();
    let Request { head: app, content: body } = request;
    let (route, target, upgrade) = match find(entry, &app, &body) {
        Ok(found) => found,
        Err(failure) => {
            failure.log();
            let response = failure.into_response();
            worker.record(begun, &app, None, &response, false);
            return response;
        }
    };
    let asked = Asked { begun, route, app, target, upgrade, replayed: Cell::new(false) };
    let (place, answer) = match worker.place() {
        Ok(place) => (Some(place), asked.answer(worker, body).await),
        Err(full) => (None, Err(full)),
    };
    let response = answer.unwrap_or_else(|failure| {
        let failure = failure.at(&route.settings().name);
        route.complaints().tell(&failure);
        failure.into_response()
    });
    let name = &*route.settings().name;
    let took = worker.record(begun, &asked.app, Some(name), &response, asked.replayed.get());
    route.metrics().answered(response.head.status, took);
    response.map(|body| body.in_place(place))
}

impl Worker {
    /// The answer to a request that may not come in; somebody who looks sees it too.
    pub fn refused<B>(&self, request: &Request<B>, why: Failure) -> Answer<ResponseBody> {
        let response = why.into_response();
        if let Some(ring) = &self.seen {
            let (at, method, path) =
                (self.clock.now().wall(), request.head.method.as_str(), request.head.target.path());
            let (status, took) = (response.head.status.as_u16(), Duration::ZERO);
            ring.record(Ended { at, method, path, upstream: None, status, took, replayed: false });
        }
        response
    }

    /// A place for one more request, or tunnel, until it is dropped.
    ///
    /// # Errors
    /// All are taken.
    pub fn place(&self) -> Result<Place, Failure> {
        self.room.enter().ok_or_else(|| {
            let most = "as many requests are under way as may be (requests in [limits])";
            Failure::new(Kind::Full, most).again_after(Duration::from_secs(1))
        })
    }

    /// Keeps that a tunnel was opened.
    pub fn tunnelled<B>(&self, request: &Request<B>, answer: &Answer<ResponseBody>) {
        if let Some(ring) = &self.seen {
            let (at, method) = (self.clock.now().wall(), request.head.method.as_str());
            let path = request.head.target.authority().map_or("", |authority| authority.as_str());
            let (status, took) = (answer.head.status.as_u16(), Duration::ZERO);
            ring.record(Ended { at, method, path, upstream: None, status, took, replayed: false });
        }
    }

    /// Keeps what became of a request where somebody can look at it, and says how long its answer's head took.
    fn record(
        &self,
        begun: Moment,
        app: &RequestHead,
        upstream: Option<&str>,
        response: &Answer<ResponseBody>,
        replayed: bool,
    ) -> Duration {
        let took = self.clock.since(begun);
        if let Some(ring) = &self.seen {
            let (at, method, path) = (begun.wall(), app.method.as_str(), app.target.path());
            let status = response.head.status.as_u16();
            ring.record(Ended { at, method, path, upstream, status, took, replayed });
        }
        took
    }
}

/// What the application asked for, and where.
struct Asked<'route> {
    begun: Moment,
    route: &'route Route,
    app: Box<RequestHead>,
    target: PathAndQuery,
    upgrade: Option<Upgrade>,
    replayed: Cell<bool>,
}

impl Asked<'_> {
    /// The answer as the application gets it.
    async fn answer(&self, worker: &Worker, body: Incoming) -> Result<Answer<ResponseBody>, Failure> {
        if let Some(answer) = hops::last(&self.app)? {
            return Ok(answer);
        }
        let mut response = self.carry(worker, body).await?;
        if let Some(upgrade) = &self.upgrade {
            match upgrade.agreed(response)? {
                Agreed::On(head, stream) => {
                    let settings = self.route.settings();
                    let (idle, name) = (settings.tunnel_idle_timeout, settings.name.clone());
                    let tunnel = upgrade::tunnel(stream, idle, name, self.route.metrics().clone());
                    return Ok(Answer { head, content: tunnel });
                }
                Agreed::Not(instead) => response = *instead,
            }
        }
        delivered(&self.app.method, response)
    }

    /// The spine.
    async fn carry(&self, worker: &Worker, body: Incoming) -> Result<Answer<Streamed>, Failure> {
        let settings = self.route.settings();
        let source = self.route.source(&self.app.fields)?;
        let (replay, body) =
            Replay::of(body, self.keep_at_most(), &worker.budget, self.route.body_patience());
        let Some(source) = source else { return self.send(None, body, &replay).await };

        // Since its head was there, nothing was waited for.
        let held = match source.usable(self.begun) {
            Some(held) => held,
            // What is rare is boxed: all of it would make each exchange as large as itself.
            None => {
                Box::pin(source.token(settings.token_timeout)).await.map_err(|why| no_token(&source, why))?
            }
        };
        let (verdict, first) = self.judged(&held, body, &replay).await?;
        if verdict == Verdict::Accepted {
            held.accept();
            return Ok(first);
        }
        Box::pin(self.replaced(&source, &held, first, &replay)).await
    }

    /// Once more with a newer token, where `rejected` is what the first answer says of it.
    async fn replaced(
        &self,
        source: &TokenSource,
        held: &Held,
        mut first: Answer<Streamed>,
        replay: &Replay,
    ) -> Result<Answer<Streamed>, Failure> {
        let settings = self.route.settings();
        // At once, so that the new one is being got while the rest of the body may still be read.
        source.reject(held);
        let Some(body) = self.once_more(replay, &mut first.content).await? else { return Ok(first) };
        first.content.drain();
        let newer = source.replace(held, settings.token_timeout).await;
        let newer = newer.map_err(|why| no_token(source, why))?;
        self.route.metrics().replayed();
        self.replayed.set(true);
        tracing::debug!(upstream = &*settings.name, generation = newer.generation(), "sent once more");
        let (verdict, second) = self.judged(&newer, body, replay).await?;
        match verdict {
            Verdict::Accepted => newer.accept(),
            Verdict::Rejected => source.reject(&newer),
        }
        Ok(second)
    }

    async fn judged(
        &self,
        token: &Held,
        body: RequestBody,
        replay: &Replay,
    ) -> Result<(Verdict, Answer<Streamed>), Failure> {
        let response = self.send(Some(token), body, replay).await?;
        let rules = &self.route.settings().token_invalid;
        if !rejection::may_reject(rules, response.head.status) {
            return Ok((Verdict::Accepted, response));
        }
        Ok(Box::pin(rejection::judge(rules, response)).await)
    }

    async fn send(
        &self,
        token: Option<&Held>,
        body: RequestBody,
        replay: &Replay,
    ) -> Result<Answer<Streamed>, Failure> {
        let outgoing = Outgoing::new(self.route, &self.app, &self.target, token, self.upgrade.as_ref());
        // A handshake is a GET, however it is asked for.
        let method = self.upgrade.as_ref().map_or(&self.app.method, |_| &Method::GET);
        sending::send(self.route, method, &outgoing, body, replay).await
    }

    /// The body for the second sending, if all of it can be had.
    async fn once_more(&self, replay: &Replay, first: &mut Streamed) -> Result<Option<RequestBody>, Failure> {
        if let Some(body) = replay.again() {
            return Ok(Some(body));
        }
        // The upload is still under way. Taking it over ends the connection on which the first answer comes, and that
        // answer is what the application gets if its body proves too long: it has to be in hand before.
        if !replay.is_kept() || !first.hold(LONGEST_LOOK).await {
            return Ok(None);
        }
        let patience = self.route.settings().response_timeout;
        tokio::select! {
            // What has come is read before the time is looked at.
            biased;
            ended = replay.read_to_end() => ended.map_err(body_failed)?,
            // Whoever streams both ways says the next only when it has heard something.
            () = replay.fell_silent() => {}
            () = tokio::time::sleep(patience) => {}
        }
        Ok(replay.again())
    }

    /// How much of the body is worth keeping: nothing, where no second sending can come.
    fn keep_at_most(&self) -> usize {
        let settings = self.route.settings();
        let can_be_rejected = self.route.has_token() && !settings.token_invalid.is_empty();
        // An upstream that speaks HTTP/2 may refuse to begin with anything.
        let can_come_back =
            can_be_rejected || is_idempotent(&self.app.method) || self.route.client().speaks_http2();
        if can_come_back { settings.replay_limit } else { 0 }
    }
}

fn no_token(source: &TokenSource, why: Unavailable) -> Failure {
    Failure::no_token(source.name(), why)
}

/// An answer as the application gets it: our own version on this hop, hop-by-hop fields taken off.
///
/// # Errors
/// It is the beginning of a tunnel that nobody asked for.
fn delivered(method: &Method, response: Answer<Streamed>) -> Result<Answer<ResponseBody>, Failure> {
    let Answer { mut head, content } = response;
    if head.status.is_informational() {
        return Err(Failure::new(Kind::NotHttp, "no valid HTTP answer: it switched protocols unasked"));
    }
    let received = std::mem::replace(&mut head.version, Version::HTTP_11);
    fields::of_answer(&mut head.fields);
    // RFC 9110 section 8.6: with these it counts a content that is not sent.
    let counts =
        *method != Method::HEAD && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let told = counts && head.fields.contains(Name::CONTENT_LENGTH);
    Ok(Answer { head, content: ResponseBody::streamed(content, told, received) })
}

/// Where a request goes, and as what.
fn find<'entry>(
    entry: &'entry Entry,
    app: &RequestHead,
    body: &Incoming,
) -> Result<(&'entry Rc<Route>, PathAndQuery, Option<Upgrade>), Failure> {
    refuse(app, entry)?;
    let (route, target) = entry.find(app)?;
    let upgrade =
        Upgrade::asked(app, !body.is_end_stream(), route).map_err(|why| why.at(&route.settings().name))?;
    Ok((route, target, upgrade))
}

/// What this version does not do is refused aloud rather than sent on as something else.
fn refuse(app: &RequestHead, entry: &Entry) -> Result<(), Failure> {
    let no_tunnel = app.method == Method::CONNECT && !upgrade::is_extended_connect(app);
    if no_tunnel {
        let detail = match entry {
            Entry::Forward(_) => "no tunnel is opened inside another",
            _ => {
                "CONNECT is for forward proxies, and this port is none: use its address as the base URL, or name that of [proxy] \
                 in HTTPS_PROXY"
            }
        };
        return Err(Failure::new(Kind::NotImplemented, detail));
    }
    if app.method == Method::TRACE {
        return Err(Failure::new(Kind::NotImplemented, "TRACE would show the token to whoever asks"));
    }
    // RFC 9110 section 10.1.1: in 1.0 it is ignored.
    if app.fields.contains(Name::EXPECT)
        && app.version != Version::HTTP_10
        && !fields::expects_only_100(&app.fields)
    {
        return Err(Failure::new(Kind::Expectation, "only the expectation 100-continue is known"));
    }
    Ok(())
}
