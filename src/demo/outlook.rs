//! bearward as an operator sees it: `/readyz` and `/status` of the admin listener.
//!
//! Knows the shape of the status. Does not know what the providers recorded.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use serde::Deserialize;

use super::{Problem, application::Application};
use crate::clock::Clock;

/// `/status`, the part of it that the tour shows.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) tokens: BTreeMap<String, TokenStatus>,
    #[serde(default)]
    pub(super) upstreams: BTreeMap<String, UpstreamStatus>,
}

/// `tokens.NAME`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct TokenStatus {
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) generation: Option<u64>,
}

/// `upstreams.NAME`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct UpstreamStatus {
    #[serde(default)]
    pub(super) replays: u64,
}

/// The way to the admin listener.
pub(super) struct Outlook {
    admin: Application,
}

impl Outlook {
    pub(super) fn new(admin: SocketAddr) -> Self {
        Self { admin: Application::new(admin) }
    }

    /// Waits until `/readyz` says 200, at most `patience`.
    pub(super) async fn ready(&mut self, clock: &Clock, patience: Duration) -> Result<(), Problem> {
        let deadline = clock.now().after(patience);
        loop {
            let answer = self.read("/readyz").await?;
            if answer.status() == StatusCode::OK {
                return Ok(());
            }
            if clock.now().reached(deadline) {
                return Err(Problem::NotReady(String::from_utf8_lossy(answer.body()).trim().to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What bearward says of itself now.
    pub(super) async fn status(&mut self) -> Result<Status, Problem> {
        let answer = self.read("/status").await?;
        serde_json::from_slice(answer.body()).map_err(|problem| Problem::Status(problem.to_string()))
    }

    async fn read(&mut self, path: &'static str) -> Result<Response<Bytes>, Problem> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = Uri::from_static(path);
        self.admin.send(request).await.map_err(|problem| Problem::Status(problem.to_string()))
    }
}
