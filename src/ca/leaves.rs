//! The leaves that are held in memory, each until a day before its end.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use moka::sync::Cache;
use rustls::{ServerConfig, crypto::aws_lc_rs};

use super::{
    LeafError,
    certificate::{Certificate, Leaf},
    hosts::Host,
};
use crate::clock::{Deadline, Moment};

/// Hosts at once; the least recently used go first.
const MOST: u64 = 1024;
/// How long before its end a leaf is replaced: connections that are accepted with it may be resumed for a day.
const RENEWED_BEFORE: Duration = Duration::from_secs(86_400);

pub(super) struct Leaves(Cache<Host, Held>);

#[derive(Clone)]
struct Held {
    config: Arc<ServerConfig>,
    not_before: SystemTime,
    renewed: Deadline,
}

impl Default for Leaves {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Leaves {
    pub(super) fn of(
        &self,
        host: &str,
        authority: &Certificate,
        now: Moment,
    ) -> Result<Arc<ServerConfig>, LeafError> {
        let host = Host::parse(host).ok_or(LeafError::NotAHost)?;
        // A clock that was set back shows clients a leaf that has not begun.
        if let Some(held) = self.0.get(&host)
            && !now.reached(held.renewed)
            && held.not_before <= now.wall()
        {
            return Ok(held.config);
        }
        let leaf = authority.sign(&host, now)?;
        let left = leaf.not_after.duration_since(now.wall()).unwrap_or_default();
        // Where the CA ends first, a share of what is left.
        let renewed = now.after(left.saturating_sub(RENEWED_BEFORE).max(left / 7 * 6));
        let not_before = leaf.not_before;
        let config = Arc::new(accepting(leaf).map_err(|error| LeafError::Unmade(error.to_string()))?);
        self.0.insert(host, Held { config: config.clone(), not_before, renewed });
        Ok(config)
    }
}

fn accepting(leaf: Leaf) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(leaf.chain, leaf.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
