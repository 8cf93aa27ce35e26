//! A running provider: what it saw, and what can be done to it meanwhile.
//!
//! Knows scripts, limits, outages and revocations, which every provider has in common. Does not know a provider's rules.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Answer, ApiRequest, Counts, Limit, Provider, Shared, State, TokenRequest, respond, server::Server,
};

/// A running provider. Dropping it closes its port.
#[derive(Debug)]
pub struct Simulator {
    server: Server,
    pub(super) shared: Arc<Shared>,
}

impl Simulator {
    /// Puts a provider's rules behind a port.
    pub(super) async fn start(
        provider: impl Provider,
        address: SocketAddr,
        state: State,
    ) -> io::Result<Self> {
        let shared = Shared::new(state);
        let (provider, served) = (Arc::new(provider), Arc::clone(&shared));
        let service = move |request| respond(Arc::clone(&provider), Arc::clone(&served), request);
        Ok(Self { server: Server::start(address, service).await?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// How many of them are open.
    pub fn open_connections(&self) -> usize {
        self.server.open_connections()
    }

    /// The requests that were no valid HTTP/1.1.
    pub fn violations(&self) -> &super::strict::Tally {
        self.server.violations()
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.shared.state().record.counts
    }

    /// The requests for tokens, the oldest first, the last ten thousand.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.shared.state().record.token_requests().cloned().collect()
    }

    /// The requests to the API, the oldest first, the last ten thousand.
    pub fn api_requests(&self) -> Vec<ApiRequest> {
        self.shared.state().record.api_requests().cloned().collect()
    }

    /// The requests to `path` of the authorization server, which is not its token endpoint; the oldest first, of the last
    /// ten thousand.
    pub fn endpoint_requests(&self, path: &str) -> Vec<ApiRequest> {
        let state = self.shared.state();
        state.record.endpoint_requests().filter(|request| request.call.path == path).cloned().collect()
    }

    /// The access tokens that are good now, the oldest first.
    pub fn active_tokens(&self) -> Vec<String> {
        let now = self.shared.clock.now();
        self.shared.state().tokens.active(now)
    }

    /// The refresh tokens that are good now.
    pub fn active_refresh_tokens(&self) -> Vec<String> {
        self.shared.state().tokens.active_refresh_tokens()
    }

    /// Takes one access token back. Whether it was alive.
    pub fn revoke(&self, token: &str) -> bool {
        let now = self.shared.clock.now();
        self.shared.state().tokens.revoke(token, now)
    }

    /// Takes every access token back; refresh tokens stay good. How many were alive.
    pub fn revoke_all(&self) -> usize {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        let active = state.tokens.active(now);
        active.iter().filter(|token| state.tokens.revoke(token, now)).count()
    }

    /// Kills every refresh token; access tokens stay good.
    pub fn end_logins(&self) {
        self.shared.state().tokens.end_chains();
    }

    /// Turns token requests away as too many, with `retry_after` in whole seconds where one is given.
    pub fn limit_token_endpoint(&self, span: Duration, retry_after: Option<Duration>) {
        let until = self.shared.clock.now().after(span);
        self.shared.state().limit = Some(Limit { until, retry_after });
    }

    /// Ends a limit before its time.
    pub fn lift_limit(&self) {
        self.shared.state().limit = None;
    }

    /// Answers token requests with `answer` until [`Simulator::mend_token_endpoint`].
    pub fn fail_token_endpoint(&self, answer: Answer) {
        self.shared.state().failing = Some(answer);
    }

    /// Ends what [`Simulator::fail_token_endpoint`] began.
    pub fn mend_token_endpoint(&self) {
        self.shared.state().failing = None;
    }

    /// Answers the next token request with `answer`; several queue up.
    pub fn answer_next_token_request(&self, answer: Answer) {
        self.shared.state().next_token_answers.push_back(answer);
    }

    /// Answers the next other request whose path begins with `prefix` with `answer`, whatever token it carries; several
    /// queue up.
    pub fn answer_next(&self, prefix: &str, answer: Answer) {
        self.shared.state().next_answers.push_back((prefix.to_owned(), answer));
    }

    /// Answers every other request whose path begins with `prefix` with `answer`, until [`Simulator::mend`].
    pub fn fail(&self, prefix: &str, answer: Answer) {
        self.mend(prefix);
        self.shared.state().failing_paths.push((prefix.to_owned(), answer));
    }

    /// Ends what [`Simulator::fail`] began for `prefix`.
    pub fn mend(&self, prefix: &str) {
        self.shared.state().failing_paths.retain(|(failing, _)| failing != prefix);
    }

    /// Lets token requests wait before they are looked at. One whose client hangs up meanwhile never is: nothing is granted,
    /// and no refresh token rotates.
    pub fn hold_token_requests(&self) {
        self.shared.barred.send_replace(true);
    }

    /// How many token requests wait.
    pub fn token_requests_waiting(&self) -> usize {
        self.shared.barred.receiver_count()
    }

    /// Lets token requests go on.
    pub fn release_token_requests(&self) {
        self.shared.barred.send_replace(false);
    }

    /// Keeps token responses back, those of requests already processed, until they are released.
    pub fn hold_token_responses(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets token responses go.
    pub fn release_token_responses(&self) {
        self.shared.held.send_replace(false);
    }
}
