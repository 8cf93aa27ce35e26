//! What happens to a request: `exchange` is the spine, everything else a leaf of it.
//!
//! Knows routes, fields, replays, rejections and the answers of bearward's own. Does not know grants, configuration
//! files, or how a request reached us.

pub mod body;
pub mod complaints;
pub mod exchange;
pub mod failure;
mod fields;
mod hops;
mod kept;
pub mod origins;
mod patience;
pub mod rejection;
pub mod replay;
pub mod room;
pub mod routes;
mod sending;
mod stall;
mod upgrade;
pub mod via;

pub use body::ResponseBody;
pub use complaints::Complaints;
pub use exchange::{Worker, exchange};
pub use failure::{Failure, Kind};
pub use kept::Budget;
pub use origins::{Found, Origins, Others, Place};
pub use room::Room;
pub use routes::{Entry, Route, RouteTable, Row, Settings};
pub use via::Via;

#[cfg(test)]
mod tests;
