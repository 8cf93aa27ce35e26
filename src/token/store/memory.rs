//! The store that ends with the process.
//!
//! Knows records in memory and one lock per chain, so that sources of one recipe and reloads share a token. What a
//! server rotates is lost at a restart; it says so once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::OwnedMutexGuard;

use super::{Record, Stamp};

/// Entries beyond which those that nobody needs are swept out; subjects come and go.
const SWEEP_ABOVE: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Records {
    chains: Mutex<HashMap<String, Entry>>,
    warned: AtomicBool,
}

#[derive(Debug, Default)]
struct Entry {
    record: Option<Record>,
    written: u64,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Records {
    pub(super) fn load(&self, chain: &str) -> Option<Record> {
        self.chains().get(chain)?.record.clone()
    }

    pub(super) fn stamp(&self, chain: &str) -> Option<Stamp> {
        self.chains().get(chain).map(|entry| Stamp::Memory(entry.written))
    }

    pub(super) async fn lock(&self, chain: &str) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(&self.chains().entry(chain.to_owned()).or_default().lock);
        lock.lock_owned().await
    }

    pub(super) fn save(&self, chain: &str, record: Record) {
        if record.refresh_token.is_some() && !record.spending && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                token = %record.name,
                "the server issued a refresh token and the store is kind = \"memory\": a restart loses it"
            );
        }
        let mut chains = self.chains();
        if chains.len() >= SWEEP_ABOVE && chains.len().is_power_of_two() {
            let newest = record.obtained_at_ms;
            // An entry whose lock somebody holds is in use, and the lock must stay the same one.
            chains.retain(|_, entry| {
                Arc::strong_count(&entry.lock) > 1
                    || entry.record.as_ref().is_some_and(|record| !record.is_spent(newest))
            });
        }
        let entry = chains.entry(chain.to_owned()).or_default();
        entry.record = Some(record);
        entry.written += 1;
    }

    fn chains(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
