//! `bearward schema`: the configuration's JSON Schema.

use super::exit::{self, Exit};

pub(super) fn run() -> Result<(), Exit> {
    exit::print(&crate::config::schema())
}
