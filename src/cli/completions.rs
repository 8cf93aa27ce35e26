//! `bearward completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::exit::{self, Exit};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell to complete for
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "bearward", &mut script);
    exit::print(&String::from_utf8_lossy(&script))
}
