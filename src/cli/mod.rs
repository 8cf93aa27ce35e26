//! The commands: one file each. Data goes to stdout, messages to stderr.
