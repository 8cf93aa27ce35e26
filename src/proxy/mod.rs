//! What happens to a request: `exchange` is the spine, everything else a leaf of it.
//!
//! Knows routes, fields, replays, rejections and the answers of bearward's own. Does not know grants, configuration
//! files, or how a request reached us.

pub mod rejection;
