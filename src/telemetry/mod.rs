//! What is counted and what is logged.
//!
//! Knows names and units of metrics and the look of a log line. Does not know when to count or what to say.

pub mod exchanges;
pub mod logs;
pub mod metrics;

pub use exchanges::Exchanges;
pub use metrics::{Metrics, Outcome, TokenMetrics, UpstreamMetrics};
